"""Somebody else's figures beside those of a sweep: a CSV file with a line for every setting that they published.

    # Report R1: MNIST, learning rate x batch size.       what it is, for the caption; more such lines are notes
    model,lr,batch,train_loss_over_batch,test_accuracy     settings as on the command line, then metrics
    resnet10,0.01,32,0.014376,97.30

An empty setting is no condition, an empty metric was not published, a text (``Out of Memory``) is shown as it is.

Metrics: ``<split>_loss`` and ``<split>_accuracy`` (in %) of the best epoch, for the splits ``train`` (training mode),
``train_eval`` (training images in evaluation mode) and ``test``; with ``final_`` before it that of the last epoch, with
``_epoch_3`` behind it that of the third, with ``_class_7`` the accuracy of one class, with ``_over_batch`` a loss that
was divided by the batch size once too often; ``seconds`` (all of a run), ``train_seconds`` (its training steps),
``peak_memory`` (MiB).
"""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lightning.checks import nearest
from resnet_lightning.config import CHOICES, ConfigError, is_place
from resnet_lightning.files import atomic_write
from resnet_lightning.help import type_names
from resnet_lightning.report.columns import NOT_SETTINGS, Value, comparable, parsed, settings_of
from resnet_lightning.report.frame import REFERENCE_FILE, Comparison, Group, Run
from resnet_lightning.report.statistics import Estimate, estimate, measured, runs_on_one_device, status_of

FOLDER = Path(__file__).parents[1] / "references"
NUMBERS = {"seconds": "Time (s)", "train_seconds": "Time of training (s)", "peak_memory": "Peak memory (MiB)"}
METRIC = re.compile(
    r"(?P<final>final_)?(?P<split>train_eval|train|test)_(?P<quantity>loss|accuracy)"
    r"(?:_epoch_(?P<epoch>[1-9]\d*)|_class_(?P<class>\d+))?(?P<over>_over_batch)?"
)
SPLITS = {"train": "Train", "train_eval": "Train (evaluated)", "test": "Test"}
OWNERS = ("optimizer.", "scheduler.")  # whose keys differ by option


@dataclass(frozen=True)
class Reference:
    """Published figures.

    Attributes:
        title, notes: the comments at the head of the file.
        keys, metrics: names of its columns.
        lines: of the file, column -> text.
    """

    title: str
    notes: list[str]
    keys: list[str]
    metrics: list[str]
    lines: list[dict[str, str]]


@dataclass(frozen=True)
class Pair:
    """A line of the reference and the setting of the sweep that it is about.

    Attributes:
        settings: what names the line, the swept keys that the reference does not know included.
        theirs: metric -> number in our unit, or the text of the file; None where nothing was published.
        ours: metric -> estimate over the seeds; None where no run was measured.
        status: of our runs.
    """

    settings: dict[str, Value]
    theirs: dict[str, float | str | None]
    ours: dict[str, Estimate | None]
    status: str


def find_reference(name: str) -> Path:
    """The file that ``reference=`` means: a path, or the name of one that comes with the package.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(name)
    inside = FOLDER / f"{name.removesuffix('.csv')}.csv"
    if path.is_file() or inside.is_file():
        return path if path.is_file() else inside
    known = sorted(file.stem for file in FOLDER.glob("*.csv"))
    raise ConfigError(f"reference={name} is not a file.{nearest(name, known)} In the package: {', '.join(known)}.")


def add_reference(folder: Path, source: Path) -> None:
    """Check a reference and put a copy into the folder of a sweep, where every report finds it.

    Raises:
        ConfigError: it is damaged.
    """
    read_reference(source)
    content = source.read_bytes()
    with atomic_write(folder / REFERENCE_FILE) as file:
        file.write(content)


def read_reference(path: Path) -> Reference:
    """Read and check a reference.

    Raises:
        ConfigError: a column is neither a setting nor a metric, a line has another number of cells, or a loss over the
            batch size has no batch.
    """
    try:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    notes = [text.lstrip("# ").strip() for text in texts if text.startswith("#")]
    table = [row for row in csv.reader(text for text in texts if not text.startswith("#")) if row]
    if len(table) < 2:
        raise ConfigError(f"{path} has no figures: it needs a line of column names and a line for each setting.")
    names = [name.strip() for name in table[0]]
    for name in names:
        check_column(path, name)
    for row in table[1:]:
        if len(row) != len(names):
            raise ConfigError(f"{path}: {','.join(row)} has {len(row)} cells, the header {len(names)}.")
    lines = [dict(zip(names, (cell.strip() for cell in row), strict=True)) for row in table[1:]]
    check_batches(path, names, lines)
    metrics = [name for name in names if is_metric(name)]
    keys = [name for name in names if name not in metrics]
    return Reference(notes[0] if notes else path.stem, notes[1:], keys, metrics, lines)


def check_batches(path: Path, names: list[str], lines: list[dict[str, str]]) -> None:
    over_batch = [name for name in names if name.endswith("_over_batch")]
    if over_batch and "batch" not in names:
        raise ConfigError(f"{path}: a loss over the batch size needs the column batch.")
    for line in lines:
        if any(line[name] for name in over_batch) and not line["batch"]:
            raise ConfigError(f"{path}: a loss over the batch size has no batch in the line {','.join(line.values())}.")


def check_column(path: Path, name: str) -> None:
    if name in NOT_SETTINGS or is_place(name, None):
        raise ConfigError(
            f"{path}: the column {name} is not possible: it does not tell settings apart (seeds are averaged)."
        )
    known = [*type_names(), *CHOICES]
    if is_metric(name) or name in known or name.startswith(OWNERS):
        return
    metrics = [f"{split}_{quantity}" for split in SPLITS for quantity in ("loss", "accuracy")]
    hint = nearest(name, [*known, *metrics, *(f"final_{metric}" for metric in metrics), *NUMBERS])
    raise ConfigError(f"{path}: the column {name} is neither a setting nor a metric.{hint}")


def is_metric(name: str) -> bool:
    match = METRIC.fullmatch(name)
    return name in NUMBERS or (match is not None and is_recorded(match))


def is_recorded(match: re.Match[str]) -> bool:
    """A class has an accuracy, of the best epoch alone; of an accuracy there is no sum over batches."""
    if match["class"]:
        return match["quantity"] == "accuracy" and not match["final"] and not match["over"]
    return not (match["final"] and match["epoch"]) and not (match["over"] and match["quantity"] == "accuracy")


def metric_value(run: Run, metric: str) -> float | None:
    """The number of a finished run that a column is about; accuracies in %, losses as means per image."""
    if metric in NUMBERS:
        return measured(run, metric)
    match = METRIC.fullmatch(metric)
    assert match is not None
    split, quantity = match["split"], match["quantity"]
    if match["final"] or match["epoch"]:
        value = from_history(run, f"{split}_{quantity}", int(match["epoch"] or 0) - 1)
    elif match["class"]:
        value = from_classes(run, split, int(match["class"]))
    else:
        value = measured(run, split, quantity)
    return value if value is None or quantity == "loss" else 100 * value


def from_history(run: Run, column: str, position: int) -> float | None:
    """A number of ``metrics.csv``; position -1 is the last epoch."""
    rows = run.history if run.status == "done" else []
    value = rows[position].get(column) if rows and position < len(rows) else None
    return value if value is not None and math.isfinite(value) else None


def from_classes(run: Run, split: str, label: int) -> float | None:
    shares: Any = getattr(run.result, split).get("per_class_accuracy") if run.result and run.status == "done" else None
    known = isinstance(shares, list) and label < len(shares) and isinstance(shares[label], (int, float))
    return float(shares[label]) if known else None


def published(line: dict[str, str], metric: str) -> float | str | None:
    """The figure of a line in our unit; a text as it is, None where the cell is empty.

    The mean loss of a batch is a sum over its images divided by the batch size. Added up over all batches and divided
    by the number of images, it has been divided by the batch size twice: times the batch size it is the mean per image.
    """
    try:
        value = float(line[metric])
        return value * float(line["batch"]) if metric.endswith("_over_batch") else value
    except (KeyError, ValueError):
        return line[metric] or None


def pair_up(comparison: Comparison, reference: Reference) -> list[Pair]:
    """Every line of the reference with each setting of the sweep that fits it, in the order of the reference."""
    pairs = []
    for line, groups in fitting(comparison, reference):
        for group in groups:
            named = {key: parsed(line[key]) for key in reference.keys if line[key]}
            others = {key: value for key, value in group.settings.items() if key not in reference.keys}
            ours = {
                metric: estimate(
                    metric_value(run, metric)
                    for run in (runs_on_one_device(group) if metric in NUMBERS else group.runs)
                )
                for metric in reference.metrics
            }
            theirs = {metric: published(line, metric) for metric in reference.metrics}
            pairs.append(Pair(named | others, theirs, ours, status_of(group.runs)))
    return pairs


def fitting(comparison: Comparison, reference: Reference) -> list[tuple[dict[str, str], list[Group]]]:
    """Each line of the reference with the runs that it is about, if there are any."""
    known = [(run.overrides, run.result) for run in comparison.runs]
    columns = {key: settings_of(key, known) for key in reference.keys}
    values = {
        run.name: {key: comparable(column[position]) for key, column in columns.items()}
        for position, run in enumerate(comparison.runs)
    }
    wanted = [{key: comparable(line[key]) for key in reference.keys if line[key]} for line in reference.lines]
    return [
        (line, [group for group in comparison.groups if keys.items() <= values[group.runs[0].name].items()])
        for line, keys in zip(reference.lines, wanted, strict=True)
    ]


def left_over(comparison: Comparison, reference: Reference) -> int:
    """How many lines of the reference are about no run of the sweep."""
    return sum(not groups for _, groups in fitting(comparison, reference))
