"""The statistics of all measurements: ways take turns, a few rounds; figures are medians, ratios are within a round.

A machine gets slower and faster by the minute. What is compared is therefore measured in turn, in reversed order every
other round, and divided within a round; the median of these ratios is steadier than the ratio of two medians.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure.

    Attributes:
        rounds: how often each way is measured.
        seconds: about how long each time.
        quick: networks and images so small that everything takes seconds; for tests, the figures mean nothing.
    """

    rounds: int = 5
    seconds: float = 3.0
    quick: bool = False


@dataclass(frozen=True)
class Row:
    """A line of ``benchmark.csv``. ``ratio`` is this figure divided by that of the first case of its group."""

    section: str
    group: str
    case: str
    unit: str
    median: float
    minimum: float
    maximum: float
    rounds: int
    ratio: float
    ratio_minimum: float
    ratio_maximum: float
    note: str = ""


def interleave(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Figures of each way, one a round; all ways have their turn before the first has its second."""
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            figures[name].append(ways[name]())
    return figures


def ratios(figures: Sequence[float], base: Sequence[float]) -> list[float]:
    return [figure / other for figure, other in zip(figures, base, strict=True)]


def rows(
    section: str, group: str, unit: str, figures: Mapping[str, Sequence[float]], notes: Mapping[str, str] | None = None
) -> list[Row]:
    """A row for each way; the first one is what the others are compared with."""
    made, base = [], next(iter(figures.values()), [])
    for case, values in figures.items():
        spread, note = ratios(values, base), (notes or {}).get(case, "")
        middle = (statistics.median(values), min(values), max(values), len(values))
        made.append(Row(section, group, case, unit, *middle, statistics.median(spread), min(spread), max(spread), note))
    return made


def spread_text(values: Sequence[float]) -> str:
    """``  2.31  (2.20 to 2.45)``: median, minimum, maximum."""
    return f"{statistics.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})"
