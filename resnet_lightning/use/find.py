"""From what the user calls a run to its folder. Needs no torch."""

import math
from pathlib import Path
from typing import NamedTuple

from resnet_lightning.checks import nearest_of
from resnet_lightning.config import ConfigError, DataError
from resnet_lightning.result import FILE_NAME, RunResult
from resnet_lightning.text import percent

WEIGHTS = "best.ckpt"
PLACES = ("outputs/*", "multirun/*/*")  # where runs land


class Found(NamedTuple):
    """A run and why it is this one.

    Attributes:
        why: empty where the user named the folder itself.
    """

    folder: Path
    result: RunResult
    why: str


def find_run(run: str | Path) -> Found:
    """The run that ``run`` names: a run folder, a sweep (its best run), or ``latest``.

    Raises:
        ConfigError: there is none.
        DataError: its record or its weights are missing or damaged.
    """
    folder = Path(run)
    if str(run) == "latest" and not folder.exists():
        return latest()
    if folder.name in (FILE_NAME, WEIGHTS) and folder.is_file():
        folder = folder.parent
    if (folder / FILE_NAME).exists():
        return Found(folder, whole(folder), "")
    if not folder.is_dir():
        known = [str(path) for place in (*PLACES, "multirun/*") for path in Path().glob(place) if path.is_dir()]
        by_name = {Path(path).name: path for path in known}
        name = nearest_of(folder.name, by_name)
        raise ConfigError(f"There is no folder {run}.{f' Did you mean {by_name[name]}?' if name else ''}")
    return best_of(folder)


def latest() -> Found:
    weights = [path for place in PLACES for path in Path().glob(f"{place}/{WEIGHTS}")]
    weights = [path for path in weights if (path.parent / FILE_NAME).exists()]
    if not weights:
        raise ConfigError("There is no run with weights (best.ckpt) below outputs/ or multirun/ here.")
    folder = max(weights, key=lambda path: path.stat().st_mtime_ns).parent
    return Found(folder, whole(folder), f"{folder} (the latest run)")


def best_of(sweep: Path) -> Found:
    """The finished run with the highest validation accuracy below ``sweep``; the first of equals.

    Where every run was selected on the test set, the test accuracy decides.
    """
    found = sorted((folder, read(folder)) for folder in (path.parent for path in sweep.glob(f"*/{FILE_NAME}")))
    if not found:
        raise ConfigError(f"{sweep} is neither a run nor a sweep: neither it nor a folder in it has a {FILE_NAME}.")
    usable = [(folder, r) for folder, r in found if r and r.test and (folder / WEIGHTS).exists()]
    if not usable:
        raise ConfigError(f"{sweep} has {len(found)} runs, but none of them has finished with weights ({WEIGHTS}).")
    validated = [(folder, r) for folder, r in usable if r.selection != "test"]
    split = "val" if validated else "test"
    scored = [(accuracy(r, split), folder, r) for folder, r in validated or usable]
    score, folder, result = max(scored, key=lambda item: item[0])  # max keeps the first of equals
    by = f"validation accuracy {percent(score)}"
    if not validated:
        by = f"test accuracy {percent(score)}: the test set selected it, so this number is too good"
    return Found(folder, result, f"{folder} (the best of {len(scored)} finished, by {by})")


def accuracy(result: RunResult, split: str) -> float:
    value = getattr(result, split).get("accuracy")
    return value if isinstance(value, (int, float)) and math.isfinite(value) else -1.0


def read(folder: Path) -> RunResult | None:
    from resnet_lightning.report.frame import read_result

    return read_result(folder)[0]


def whole(folder: Path) -> RunResult:
    """The record of a run that has weights.

    Raises:
        DataError: it has none, or the record is damaged.
    """
    from resnet_lightning.report.frame import read_result

    result, status, reason = read_result(folder)
    if result is None:
        raise DataError(f"{folder}: {reason or status}.")
    if not (folder / WEIGHTS).exists():
        raise DataError(f"{folder} has no {WEIGHTS}: the run is {status}{f' ({reason})' if reason else ''}.")
    return result
