"""The statistics of all measurements: ways take turns, a few rounds; figures are medians, ratios are within a round.

A machine gets slower and faster by the minute. What is compared is therefore measured in turn, in reversed order every
other round, and divided within a round; the median of these ratios is steadier than the ratio of two medians.
"""

import gc
import logging
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from resnet_lightning.config import ConfigError, DataError

log = logging.getLogger(__name__)
Way = Callable[[], float]  # a turn of it: warm, and measured


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


@contextmanager
def noted(name: str, missing: list[str]) -> Iterator[None]:
    """What fails within becomes a sentence in ``missing``: no compiler, no memory; the rest is measured all the same.

    Raises:
        ConfigError, DataError: those are for the user to mend.
    """
    try:
        yield
    except (ConfigError, DataError):
        raise
    except Exception as error:  # torch.compile and a full GPU can fail in many ways
        log.debug(name, exc_info=True)
        first = (str(error).splitlines() or [""])[0][:200]
        missing.append(f"{name}: not possible here ({': '.join(filter(None, (type(error).__name__, first)))}).")


def interleave(group: str, ways: Mapping[str, Way], rounds: int, missing: list[str]) -> dict[str, list[float]]:
    """Figures of each way, one a round; all ways have their turn before the first has its second.

    Args:
        missing: gets a sentence for each way that fails in a turn; it is left out from then on.
    """
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(figures) if number % 2 == 0 else list(figures)[::-1]
        for name in order:
            turn = None
            with noted(f"{group}, {name}", missing):
                gc.collect()  # else it falls into the turn of one of them, with what another has left
                turn = ways[name]()
            if turn is None:
                del figures[name]
            else:
                figures[name].append(turn)
    return figures


def compare(
    group: str, makers: Mapping[str, Callable[[], Way]], rounds: int, missing: list[str]
) -> dict[str, list[float]]:
    """Make and warm a way each, then ``interleave`` those that work here."""
    ways: dict[str, Way] = {}
    for name, make in makers.items():
        with noted(f"{group}, {name}", missing):
            ways[name] = make()
    return interleave(group, ways, rounds, missing)


def ratios(figures: Sequence[float], base: Sequence[float]) -> list[float]:
    """Those of each round; of a round where ``base`` has failed (0) there is none."""
    return [figure / other for figure, other in zip(figures, base, strict=True) if other] or [math.nan]


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
