"""``benchmark.md`` and ``benchmark.csv``, written whole after every section: one that is stopped keeps what it has."""

import csv
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from resnet_lightning.benchmark.rounds import Row
from resnet_lightning.files import atomic_write
from resnet_lightning.text import count

TITLES = {
    "training": "Training throughput",
    "plain": "Against plain loops",
    "input": "The input path",
    "overhead": "What is not training",
    "launcher": "The launcher of a sweep",
    "scaling": "Scaling",
    "recommend": "What was compared",
}


def number(value: float) -> str:
    """Three significant digits; 12345.6 -> ``12,346``, what is unknown -> ``-``."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """Two decimals, or two significant digits of less than a tenth."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def group_table(rows: Sequence[Row]) -> str:
    """A Markdown table: median and range of each case, and its ratio to the first, in the same round."""
    unit, first, rounds = rows[0].unit, rows[0].case, count(rows[0].rounds, "round")
    lines = [f"| {rows[0].group} | {unit} | range of {rounds} | x {first} | |", "|---|---:|---:|---:|---|"]
    for row in rows:
        spread = f"{number(row.minimum)} to {number(row.maximum)}"
        ratio = f"{times(row.ratio)} ({times(row.ratio_minimum)} to {times(row.ratio_maximum)})"
        ratio = "-" if math.isnan(row.ratio) else ratio
        lines.append(f"| {row.case} | {number(row.median)} | {spread} | {ratio} | {row.note} |")
    return "\n".join(lines)


def markdown(head: str, rows: Sequence[Row], missing: Iterable[str]) -> str:
    parts = ["# Benchmark", head]
    for section, of_section in itertools.groupby(rows, key=lambda row: row.section):
        parts.append(f"## {TITLES[section]}")
        parts += [group_table(list(group)) for _, group in itertools.groupby(of_section, key=lambda row: row.group)]
    skipped = "\n".join(f"- {sentence}" for sentence in missing)
    return "\n\n".join([*parts, *([f"## Left out\n\n{skipped}"] if skipped else [])]) + "\n"


def write(folder: Path, head: str, rows: Sequence[Row], missing: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "benchmark.md", "w", encoding="utf-8") as file:
        file.write(markdown(head, rows, missing))
    with atomic_write(folder / "benchmark.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
