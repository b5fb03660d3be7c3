"""Runs that were never written to disk, and the page that compares them."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from resnet_lightning.report.frame import Comparison, Run, group_runs
from resnet_lightning.report.page import write_page
from resnet_lightning.report.statistics import compare, main_effects
from resnet_lightning.result import RunResult


def make_run(settings: dict[str, Any], seed: int = 0, accuracy: float | None = 0.9, **changes: Any) -> Run:
    """A finished run with that test accuracy, or a failed one for None; ``result`` changes the record."""
    done = accuracy is not None
    part = {"loss": 0.1, "accuracy": accuracy, "images": 500, "per_class_accuracy": [accuracy, None]} if done else {}
    record: dict[str, Any] = {
        "status": "done" if done else "failed",
        "reason": None if done else "ValueError: a reason",
        "overrides": [],
        "config": {**settings, "seed": seed, "optimizer": {"name": "sgd", "momentum": 0.9}},
        "seed": seed,
        "best_epoch": 2,
        "epochs_done": 2,
        **{"train": part | {"images": 4992}, "val": part, "test": part},
        "data": {"classes": ["cat", "dog"], "images": {"train": 5000, "val": 500, "test": 500}},
        "seconds": 10.0 + seed,
        **{"device": "cpu", "precision": "32", "threads": 2},
    }
    result = RunResult(**record | changes.pop("result", {}))
    accuracies = [0.4, accuracy or 0.5]
    run = {
        "name": ",".join(f"{key}={value}" for key, value in {**settings, "seed": seed}.items()),
        "status": result.status,
        "reason": result.reason,
        "history": [
            {"epoch": epoch + 1.0, "train_loss": 1.0 - epoch / 2, "val_loss": 1.1 - epoch / 2, "val_accuracy": value}
            for epoch, value in enumerate(accuracies)
        ],
        "command": "python -m resnet_lightning " + " ".join(f"{key}={value}" for key, value in settings.items()),
    }
    return Run(settings=settings, seed=seed, result=result, **run | changes)


def grid(folder: Path) -> Comparison:
    """2 models x 3 lr x 3 batch x 2 seeds; the runs of one setting and one more have failed."""
    runs = []
    for model, lr, batch, seed in itertools.product(("resnet10", "resnet18"), (0.1, 0.01, 0.001), (9, 10, 100), (0, 1)):
        failed = (model, lr, batch) == ("resnet18", 0.1, 100) or (model, lr, batch, seed) == ("resnet10", 0.1, 9, 1)
        accuracy = None if failed else 0.9 + lr / 2 + batch / 5000 + seed / 1000 + (model == "resnet18") / 100
        runs.append(make_run({"model": model, "lr": lr, "batch": batch}, seed, accuracy))
    return comparison_of(folder, runs)


def comparison_of(folder: Path, runs: list[Run]) -> Comparison:
    return Comparison(folder, list(runs[0].settings) if runs else ["model"], runs, group_runs(runs))


def write(comparison: Comparison, sentences: tuple[str, ...] = ("A sentence.",)) -> Path:
    path = comparison.folder / "comparison.html"
    write_page(comparison, compare(comparison), main_effects(comparison), list(sentences), path)
    return path


def data_of(path: Path) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"))
    return json.loads(text, parse_constant=pytest.fail)
