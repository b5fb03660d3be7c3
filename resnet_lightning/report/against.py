"""The tables that put a reference beside a sweep: for every setting its figure, ours, and the difference."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lightning.files import atomic_write
from resnet_lightning.report.frame import Comparison
from resnet_lightning.report.labels import ON_TEST, STATUS, header, scaled_down, value_text
from resnet_lightning.report.reference import (
    METRIC,
    NUMBERS,
    SPLITS,
    Pair,
    Reference,
    left_over,
    pair_up,
    read_reference,
)
from resnet_lightning.report.statistics import selection
from resnet_lightning.text import count

MISSING = "-"
LINES = ("reference", "here", "difference")
OVER_BATCH = (
    "Losses of the reference are multiplied by the batch size: it adds up the mean loss of every batch and divides by "
    "the number of images, which divides by the batch size once too often"
)


@dataclass(frozen=True)
class Table:
    """Three lines (``LINES``) for every setting.

    Attributes:
        title: what its columns have in common; empty where they have nothing.
        heads: of the swept keys, of the name of the line, of the metrics.
        rows: texts, as many as ``heads``.
    """

    title: str
    heads: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Against:
    """A reference beside a sweep.

    Attributes:
        scale: shares of the training images and of the epochs that our figures are of.
    """

    title: str
    tables: list[Table]
    notes: list[str]
    scale: tuple[float, float]


def against(comparison: Comparison) -> Against | None:
    """The tables for the reference of a sweep; None where it has none.

    Raises:
        ConfigError: the file of the reference is damaged.
    """
    if comparison.reference is None:
        return None
    reference = read_reference(comparison.reference)
    pairs = pair_up(comparison, reference)
    families: dict[str, list[str]] = {}
    by_test = selection(comparison) == "test"
    for metric in reference.metrics:
        families.setdefault(family(metric, by_test), []).append(metric)
    tables = [table(comparison, pairs, name, metrics) for name, metrics in families.items()] if pairs else []
    return Against(reference.title.rstrip("."), tables, notes(comparison, reference, pairs), comparison.scale)


def family(metric: str, by_test: bool) -> str:
    """``Test accuracy (%) of each class``: what a row of columns shares; empty for a metric on its own."""
    match = METRIC.fullmatch(metric)
    if match is None or not (match["epoch"] or match["class"]):
        return ""
    if match["epoch"]:
        return f"{quantity_text(metric)} after each epoch"
    return f"{quantity_text(metric)} of each class, best epoch{f' {ON_TEST}' if by_test else ''}"


def of_best_epoch(metric: str) -> bool:
    """Whether a figure is that of the epoch that was selected, as all are that do not name another."""
    match = METRIC.fullmatch(metric)
    return match is not None and not (match["final"] or match["epoch"])


def quantity_text(metric: str) -> str:
    match = METRIC.fullmatch(metric)
    assert match is not None
    return f"{SPLITS[match['split']]} {'loss' if match['quantity'] == 'loss' else 'accuracy (%)'}"


def head(comparison: Comparison, metric: str) -> str:
    match = METRIC.fullmatch(metric)
    if match is None:
        return NUMBERS[metric]
    if match["epoch"] or match["class"]:
        return str(match["epoch"] or match["class"])
    if match["final"]:
        return f"{quantity_text(metric)}, last epoch"
    by_test = match["split"] == "test" and selection(comparison) == "test"
    return quantity_text(metric) + (f", {ON_TEST}" if by_test else "")


def table(comparison: Comparison, pairs: Sequence[Pair], title: str, metrics: Sequence[str]) -> Table:
    shown = [pair for pair in pairs if any(pair.theirs[metric] is not None for metric in metrics)]
    keys = list(dict.fromkeys(key for pair in shown for key in pair.settings))
    rows = []
    for pair in shown:
        names = [value_text(pair.settings[key]) if key in pair.settings else "" for key in keys]
        cells = [cell_texts(pair, metric) for metric in metrics]
        for number, line in enumerate(LINES):
            rows.append([*(names if number == 0 else [""] * len(keys)), line, *(texts[number] for texts in cells)])
    return Table(title, [*map(header, keys), "", *(head(comparison, metric) for metric in metrics)], rows)


def cell_texts(pair: Pair, metric: str) -> tuple[str, str, str]:
    """Their figure, ours and the difference, as texts."""
    theirs, ours = pair.theirs[metric], pair.ours[metric]
    digits = digits_of(metric)
    there = MISSING if theirs is None else f"{theirs:.{digits}f}" if isinstance(theirs, float) else theirs
    missing = MISSING if pair.status == "done" else STATUS.get(pair.status, pair.status)
    partly = f", {pair.status}" if pair.status != "done" else ""  # survivors are no sample of the seeds
    here = ours.text(digits=digits) + partly if ours else missing
    gap = f"{round(ours.mean - theirs, digits) + 0.0:+.{digits}f}" if ours and isinstance(theirs, float) else MISSING
    return there, here, gap


def digits_of(metric: str) -> int:
    """As in the comparison itself."""
    if metric in NUMBERS:
        return 0 if metric == "peak_memory" else 1
    return 4 if "_loss" in metric else 2


def notes(comparison: Comparison, reference: Reference, pairs: Sequence[Pair]) -> list[str]:
    """What the two columns of figures are, and what stands in one of them only."""
    found = [reference.title, *reference.notes]
    if scaled := scaled_down(comparison):
        found.insert(0, f"{scaled}: ours are figures of another, smaller experiment")
    if any(metric.endswith("_over_batch") for metric in reference.metrics):
        found.append(OVER_BATCH)
    if selection(comparison) == "test" and any(map(of_best_epoch, reference.metrics)):
        found.append(f"Where no epoch is named, ours are those of the best epoch, {ON_TEST}")
    several = any(estimate and estimate.n > 1 for pair in pairs for estimate in pair.ours.values())
    if several:
        found.append("Ours are means ± sample standard deviations over the seeds (number of runs)")
    if left := left_over(comparison, reference):
        found.append(f"{left} of the {count(len(reference.lines), 'setting')} of the reference: no run in this sweep")
    return [f"{note.rstrip('.')}." for note in found]


def write_csv(compared: Against, path: Path) -> None:
    """All tables, one below the other; a setting is named in each of its three lines, and how ours were scaled."""
    with atomic_write(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for one in compared.tables:
            keys = one.heads.index("")
            metrics = [f"{one.title} {name}".strip() for name in one.heads[keys + 1 :]]
            writer.writerow([*one.heads[:keys], "figure", *metrics, "scale", "epochs_scale"])
            for start in range(0, len(one.rows), len(LINES)):
                names = one.rows[start][:keys]
                for row in one.rows[start : start + len(LINES)]:
                    writer.writerow([*names, *row[keys:], *(compared.scale if row[keys] == "here" else ("", ""))])
