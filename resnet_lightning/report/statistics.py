"""What the runs of a comparison amount to: estimates over seeds, the selected setting, the effect of every swept key.

Losses, accuracies (0 to 1), seconds and MiB are those of the run records; only runs that are done count.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from resnet_lightning.report.anova import variance_shares
from resnet_lightning.report.columns import ABSENT, Value
from resnet_lightning.report.frame import Comparison, Group, Run, epochs_of

SIGNIFICANT = 0.05  # a larger p value is called noise
MOST_LEVELS = 20  # of a swept key; a number with more of them is a sample of a range, not a grid
WORST_FIRST = (
    "crashed",
    "killed",
    "oom",
    "failed",
    "timeout",
    "diverged",
    "unreadable",
    "interrupted",
    "unavailable",
    "running",
    "waiting",
)


@dataclass(frozen=True)
class Estimate:
    """One metric over the seeds of a setting.

    Attributes:
        sd: sample standard deviation; None for a single run.
        n: runs that have a finite value.
    """

    mean: float
    sd: float | None
    n: int

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """``97.30``, or with more than one seed ``97.30 ± 0.12 (3)``."""
        mean = f"{self.mean * scale:.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {self.sd * scale:.{digits}f} ({self.n})"


@dataclass(frozen=True)
class Row:
    """One line of the comparison: the runs of a setting, which differ by the seed only.

    Attributes:
        train_loss: of the best epoch, in training mode, on augmented images.
        val_accuracy: of the best epoch; None where no images were held out for validation.
        seconds: all of a run, from reading the data to the last figure; None where the runs had different devices.
        peak_memory: MiB, of the process on a CPU, of the GPU's allocator on a GPU; None as above.
        status: ``done``, another status all runs share, ``running 3/10`` (epochs), or ``2 of 3 done, 1 failed``.
        reason: why the worst of the unfinished runs is not done.
        best: the selected setting, see ``compare``.
        p_value: Welch's t-test of the selection metric against the best row; None where a side has less than two runs,
            or neither has any spread.
        note: what the p value says, where it says that the difference is noise.
        at_chance: no better on the test images, in the mean, than always naming their most frequent class.
    """

    group: Group
    train_loss: Estimate | None
    val_accuracy: Estimate | None
    test_loss: Estimate | None
    test_accuracy: Estimate | None
    seconds: Estimate | None
    peak_memory: Estimate | None
    status: str
    reason: str | None
    best: bool = False
    p_value: float | None = None
    note: str = ""
    at_chance: bool = False


@dataclass(frozen=True)
class Level:
    """A value of a swept key, and the test accuracy of all runs that have it."""

    value: Value
    accuracy: Estimate


@dataclass(frozen=True)
class Effect:
    """Main effect of one swept key on test accuracy, see ``main_effects``.

    Attributes:
        levels: numbers in ascending order, before texts in the order of the sweep.
        share: of the variance of the test accuracy, 0 to 1; None where the runs cannot tell.
        p_value: of the F test against what no main effect explains (interactions, noise); None where that is nothing.
        runs: that are done, over all levels.
    """

    key: str
    levels: list[Level]
    share: float | None
    p_value: float | None
    runs: int


def compare(comparison: Comparison) -> list[Row]:
    """The rows in the order of the sweep, the best one marked.

    The best setting has the highest mean validation accuracy, the first of equals. Where a run held no validation
    images out, the test accuracy selects (``selection`` says ``test``), and the numbers of the best row are too good.
    """
    by = selection(comparison)
    rows = [row_of(group) for group in comparison.groups]
    scores = [selection_metric(row, by) for row in rows]
    best = max((score for score in scores if score), key=lambda score: score.mean, default=None)
    if best is None:
        return rows
    chosen = scores.index(best)
    return [
        replace(row, best=True) if number == chosen else against_best(row, scores[number], best)
        for number, row in enumerate(rows)
    ]


def selection(comparison: Comparison) -> str:
    """``validation``, or ``test`` where some finished run held no validation images out."""
    chosen_by = {run.result.selection for run in comparison.done if run.result}
    return "test" if "test" in chosen_by else "validation"


def selection_metric(row: Row, by: str) -> Estimate | None:
    return row.test_accuracy if by == "test" else row.val_accuracy


def ranked(rows: list[Row], by: str) -> list[Row]:
    """Best first by the selection metric; settings without a finished run last, in the order of the sweep."""
    scores = [(selection_metric(row, by), row) for row in rows]
    finished = sorted(((score.mean, row) for score, row in scores if score), key=lambda pair: -pair[0])
    return [row for _, row in finished] + [row for score, row in scores if score is None]


def row_of(group: Group) -> Row:
    held_out = [run for run in group.runs if run.result and run.result.selection != "test"]
    worst = min((run for run in group.runs if run.status != "done"), key=severity, default=None)
    one_device = runs_on_one_device(group)
    return Row(
        group,
        train_loss=estimate(measured(run, "train", "loss") for run in group.runs),
        val_accuracy=estimate(measured(run, "val", "accuracy") for run in held_out),
        test_loss=estimate(measured(run, "test", "loss") for run in group.runs),
        test_accuracy=estimate(measured(run, "test", "accuracy") for run in group.runs),
        seconds=estimate(measured(run, "seconds") for run in one_device),
        peak_memory=estimate(measured(run, "peak_memory") for run in one_device),
        status=status_of(group.runs),
        reason=worst.reason if worst else None,
        at_chance=at_chance(group),
    )


def devices_of(group: Group) -> set[str]:
    """The devices that the finished runs had."""
    return {run.result.device_kind for run in group.runs if run.result and run.status == "done"}


def runs_on_one_device(group: Group) -> list[Run]:
    """The runs of a group, none where they had several devices: a mean over two is the time of neither."""
    return group.runs if len(devices_of(group)) < 2 else []


def at_chance(group: Group) -> bool:
    reached = estimate(measured(run, "test", "accuracy") for run in group.runs)
    chance = estimate(most_frequent_share(run) for run in group.runs)
    return reached is not None and chance is not None and reached.mean <= chance.mean


def most_frequent_share(run: Run) -> float | None:
    """Share of the most frequent class among the test images; None where the record does not say."""
    rows: Any = run.result.test.get("confusion_matrix") if run.result and run.status == "done" else None
    try:
        counts = [sum(row) for row in rows]
        return float(max(counts) / sum(counts))
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def measured(run: Run, *path: str) -> float | None:
    """``measured(run, "test", "accuracy")``: a number of the record; None unless the run is done and it is finite."""
    if run.result is None or run.status != "done":
        return None
    value: Any = getattr(run.result, path[0])
    for key in path[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """None without a single value."""
    known = [value for value in values if value is not None]
    return Estimate(fmean(known), stdev(known) if len(known) > 1 else None, len(known)) if known else None


def severity(run: Run) -> int:
    return WORST_FIRST.index(run.status) if run.status in WORST_FIRST else 0


def status_of(runs: list[Run]) -> str:
    """``done``, ``oom``, ``running 3/10`` (epochs), or for seeds that ended differently ``2 of 3 done, 1 failed``."""
    counts = Counter(run.status for run in sorted(runs, key=severity))
    if len(counts) > 1:
        others = [f"{count} {status}" for status, count in counts.items() if status != "done"]
        return ", ".join([f"{counts['done']} of {len(runs)} done", *others])
    epochs = epochs_of(runs[0].result) if runs[0].result else None
    progress = f" {len(runs[0].history)}/{epochs}" if runs[0].status == "running" and epochs and len(runs) == 1 else ""
    return runs[0].status + progress


def against_best(row: Row, score: Estimate | None, best: Estimate) -> Row:
    """Add the p value, and a note where the difference is noise."""
    p_value = welch(score, best) if score else None
    if score is None or p_value is None or p_value < SIGNIFICANT:
        return replace(row, p_value=p_value)
    runs = f"{score.n}" if score.n == best.n else f"{score.n} and {best.n}"
    return replace(row, p_value=p_value, note=f"not distinguishable from the best ({p_text(p_value, 2)}, n = {runs})")


def welch(one: Estimate, other: Estimate) -> float | None:
    """Two-sided p value of Welch's t-test, which takes no equal variances for granted."""
    if one.sd is None or other.sd is None or one.sd == other.sd == 0:
        return None
    from scipy.stats import ttest_ind_from_stats

    test = ttest_ind_from_stats(one.mean, one.sd, one.n, other.mean, other.sd, other.n, equal_var=False)
    return float(test.pvalue)


def p_text(p_value: float, digits: int = 3) -> str:
    """``p < 0.001``, ``p = 0.012``; with more digits where fewer would round it onto the level, as 0.0497."""
    if p_value < 0.001:
        return "p < 0.001"
    while round(p_value, digits) == SIGNIFICANT != p_value and digits < 6:
        digits += 1
    return f"p = {p_value:.{digits}f}"


def main_effects(comparison: Comparison) -> list[Effect]:
    """The effect of every key that has at least two levels among the finished runs, in the order of the columns.

    A level's mean is over all finished runs that have it; runs that do not have the key at all are a level of the model
    without a mean. In a grid with holes (failed runs, other numbers of seeds) levels are therefore averaged over
    different combinations of the other keys; ``is_balanced`` tells.

    The share of the variance is eta squared of an additive model with one term for every key, fitted by least squares:
    the sum of squares that the model loses without the key (type II) over the total sum of squares. In a balanced grid
    that is the main effect of the textbook. With holes it counts only what no other key explains as well, so that the
    shares need not add up; a key that goes along with others entirely has none. Nor has one with more than 20 levels
    (it is no term of the model), or any key where the model leaves no degree of freedom: there a large share would
    follow from counting alone.
    """
    found = [(run, measured(run, "test", "accuracy")) for run in comparison.runs]
    runs = [(run, accuracy) for run, accuracy in found if accuracy is not None]
    levels = {key: sort_levels(run.settings[key] for run, _ in runs) for key in comparison.columns}
    keys = [key for key in comparison.columns if len(set(levels[key]) - {ABSENT}) > 1]
    factors = {
        key: [levels[key].index(run.settings[key]) for run, _ in runs]
        for key in keys
        if len(levels[key]) <= MOST_LEVELS
    }
    shares = variance_shares(factors, [accuracy for _, accuracy in runs])
    effects = []
    for key in keys:
        means = [
            Level(value, estimated)
            for value in levels[key]
            if value != ABSENT
            if (estimated := estimate(accuracy for run, accuracy in runs if run.settings[key] == value))
        ]
        effects.append(Effect(key, means, *shares.get(key, (None, None)), runs=len(runs)))
    return effects


def is_balanced(comparison: Comparison) -> bool:
    """Whether every combination of the levels that have a finished run has the same number of them."""
    counts = [sum(measured(run, "test", "accuracy") is not None for run in group.runs) for group in comparison.groups]
    finished = [group for group, runs in zip(comparison.groups, counts, strict=True) if runs]
    levels = [sort_levels(group.settings[key] for group in finished) for key in comparison.columns]
    return len(set(counts) - {0}) == 1 and len(finished) == math.prod(map(len, levels))


def sort_levels(values: Iterable[Value]) -> list[Value]:
    """Distinct values: numbers in ascending order, then the others in the order of their first appearance."""
    distinct = list(dict.fromkeys(values))
    numbers = [value for value in distinct if is_numeric(value)]
    return sorted(numbers, key=float) + [value for value in distinct if not is_numeric(value)]  # type: ignore[arg-type]


def is_numeric(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
