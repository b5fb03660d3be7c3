"""Folders of runs that were never trained: records and curves as a run leaves them, with numbers that a test sets."""

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from resnet_lightning.result import RunResult

CLASSES = [str(digit) for digit in range(10)]
REASONS = {
    "oom": "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "failed": "ValueError: batch 64 is | more than 100 % of _the_ images",
    "diverged": "The training loss of epoch 2 is nan.",
}
RECORD_FIELDS = set(RunResult.__dataclass_fields__) - {"seed", "model", "data"}  # these are settings as well


def write_run(folder: Path, accuracy: float = 0.9, status: str = "done", epochs: int = 3, **settings: Any) -> RunResult:
    """One run folder as a run leaves it.

    Args:
        accuracy: on the test images; that on validation images is 0.01 lower.
        epochs: rows of ``metrics.csv``, without its file where 0.
        settings: keys of the config as on the command line, and fields of the record such as ``selection``, ``device``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fields = {key: settings.pop(key) for key in list(settings) if key in RECORD_FIELDS}
    seed = settings.pop("seed", 0)
    config = {"lr": 0.1, "batch": 64, "epochs": 3, "seed": seed, **settings}
    choices = {key: str(config.pop(key, default)) for key, default in (("model", "resnet18"), ("data", "mnist"))}
    config |= {f"{key}.name": choice for key, choice in choices.items() if f"{key}.name" not in config}
    done = {"accuracy": accuracy, "loss": 1 - accuracy, "per_class_accuracy": [accuracy] * len(CLASSES)}
    measured = {
        "train": done | {"loss": 1.2 * (1 - accuracy), "images": 54_000},
        "val": done | {"accuracy": accuracy - 0.01, "images": 6_000},
        "test": done | {"images": 10_000},
        "data": {"classes": CLASSES, "images": {"train": 54_000, "val": 6_000, "test": 10_000}},
        "best_epoch": epochs,
        "epochs_done": epochs,
        "seconds": 10.0 + len(str(config["batch"])),
        "peak_memory": 1000.0,
        "device": "Test CPU",
        "precision": "32",
        "threads": 2,
    }
    result = RunResult(
        **{
            "status": status,
            "overrides": [
                f"{key}={'null' if value is None else value}" for key, value in ({**settings, "seed": seed}).items()
            ],
            "config": nested(config),
            "choices": choices,
            "seed": seed,
            "reason": REASONS.get(status),
            **(measured if status == "done" else {}),
            **fields,
        }
    )
    result.write(folder)
    if epochs:
        write_history(folder, accuracy, epochs, "test" if result.selection == "test" else "val")
    return result


def nested(config: dict[str, Any]) -> dict[str, Any]:
    """``{"augment.rotation": 15}`` -> ``{"augment": {"rotation": 15}}``."""
    tree: dict[str, Any] = {}
    for key, value in config.items():
        *path, last = key.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return tree


def write_history(folder: Path, accuracy: float, epochs: int, split: str = "val") -> None:
    lines = [f"epoch,step,lr,train_loss,train_accuracy,{split}_loss,{split}_accuracy"]
    for epoch in range(1, epochs + 1):
        reached = accuracy * (1 - math.exp(-2.0 * epoch / epochs))
        numbers = [epoch, epoch * 100, 0.1, 1.2 * (1.01 - reached), reached, 1.01 - reached, reached - 0.01]
        lines.append(",".join(str(number) for number in numbers))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def write_grid(folder: Path, accuracy: Any, seeds: int = 1, **axes: list[Any]) -> None:
    """Every combination of ``axes`` with every seed; ``accuracy(seed=..., lr=...)`` gives a number, or a status."""
    for number, values in enumerate(product(*axes.values(), range(seeds))):
        settings = dict(zip([*axes, "seed"], values, strict=True))
        reached = accuracy(**settings)
        known = {"status": reached} if isinstance(reached, str) else {"accuracy": reached}
        write_run(folder / f"job_{number:04d}", **known, **settings)


def write_plan(folder: Path, jobs: dict[str, list[str]]) -> None:
    """``sweep.json`` with a job folder and its overrides each."""
    content = {"jobs": [{"folder": name, "overrides": overrides, "command": "x"} for name, overrides in jobs.items()]}
    (folder / "sweep.json").write_text(json.dumps(content))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "sweep"
    folder.mkdir()
    return folder
