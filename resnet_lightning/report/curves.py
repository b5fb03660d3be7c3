"""Loss and accuracy against the epoch, one line for every setting."""

import math
from collections import defaultdict
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from resnet_lightning.report.frame import Comparison, Run
from resnet_lightning.report.labels import setting_text
from resnet_lightning.report.statistics import Row, ranked, selection, selection_metric

BEST, WORST = 8, 4  # settings drawn where there are more than twelve
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b")  # told apart by the colour-blind
LINES = ("-", "--")  # twelve combinations with the colours
LOG_FROM = 20  # ratio of the largest to the smallest loss from which its axis is logarithmic
Points = dict[int, list[float]]  # epoch -> values of the seeds


def learning_curves(comparison: Comparison, rows: list[Row]) -> Figure | None:
    """Train loss, validation loss and validation accuracy; the line is the mean over seeds, the band their range.

    A setting with a finished run is drawn from its finished runs, another from what there is of them.
    """
    drawn, which = settings_to_draw([row for row in rows if any(run.history for run in row.group.runs)], comparison)
    longest = max((len(run.history) for run in comparison.runs), default=0)
    if not drawn or longest < 2 or len(comparison.runs) == 1:  # one epoch is no curve; a single run has its own
        return None
    split = splits_drawn(drawn)
    titles = {"train_loss": "train loss", "val_loss": f"{split} loss", "val_accuracy": f"{split} accuracy (%)"}
    figure = Figure(figsize=(11, 3.4 + 0.19 * len(drawn)), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, (metric, title) in zip(panels, titles.items(), strict=True):
        means: list[float] = []
        for number, row in enumerate(drawn):
            points = by_epoch(runs_to_draw(row), metric, 100 if metric == "val_accuracy" else 1)
            line = LINES[number // len(COLOURS) % len(LINES)]
            means += draw_line(panel, points, COLOURS[number % len(COLOURS)], line, label(row))
        panel.set(xlabel="epoch", title=title)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if metric != "val_accuracy":
            set_scale(panel, means)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2 if max(map(len, texts)) < 70 else 1)
    several = ", mean and range over the seeds" if any(len(row.group.runs) > 1 for row in drawn) else ""
    on_test = " (epoch and setting selected on test)" if selection(comparison) == "test" else ""
    figure.suptitle(f"Learning curves{several}{which}{on_test}", fontsize=11)
    return figure


def settings_to_draw(
    rows: list[Row], comparison: Comparison, best: int = BEST, worst: int = WORST
) -> tuple[list[Row], str]:
    """All of few settings; of many the best and the worst, with words that say so for the title."""
    if len(rows) <= best + worst:
        return rows, ""
    by = selection(comparison)
    finished = [row for row in ranked(rows, by) if selection_metric(row, by)]
    if len(finished) <= best + worst:
        chosen = (finished + [row for row in rows if row not in finished])[: best + worst]
        return chosen, f": {len(chosen)} of {len(rows):,} settings, best {by} accuracy first"
    chosen = finished[:best] + finished[-worst:]
    return chosen, f": the best {best} and the worst {worst} of {len(finished):,} finished settings by {by} accuracy"


def runs_to_draw(row: Row) -> list[Run]:
    return [run for run in row.group.runs if run.status == "done"] or row.group.runs


def splits_drawn(rows: list[Row]) -> str:
    """``validation``, ``test``, or both where some of the runs held no images out."""
    first = [run.history[0] for row in rows for run in runs_to_draw(row) if run.history]
    return " or ".join(sorted({"validation" if "val_loss" in line else "test" for line in first}, reverse=True))


def label(row: Row) -> str:
    status = "" if row.status == "done" else f" ({row.status})"
    return setting_text(row.group.settings, 90) + status


def by_epoch(runs: list[Run], metric: str, scale: float) -> Points:
    """Finite values of all runs; a run without validation images has those of the test images instead."""
    points: Points = defaultdict(list)
    for run in runs:
        for row in run.history:
            value = row.get(metric, row.get(metric.replace("val", "test"), math.nan)) * scale
            if math.isfinite(value) and math.isfinite(row.get("epoch", math.nan)):
                points[int(row["epoch"])].append(value)
    return dict(sorted(points.items()))


def draw_line(panel: Axes, points: Points, colour: str, line: str, name: str) -> list[float]:
    """Draw mean and range of one setting; returns the means."""
    epochs = list(points)
    means = [sum(values) / len(values) for values in points.values()]
    marker = "o" if len(epochs) < 30 else None
    panel.plot(epochs, means, color=colour, linestyle=line, linewidth=1.4, marker=marker, markersize=2.5, label=name)
    if any(len(values) > 1 for values in points.values()):
        lowest, highest = map(min, points.values()), map(max, points.values())
        panel.fill_between(epochs, list(lowest), list(highest), color=colour, alpha=0.15, linewidth=0)
    return means


def logarithmic(panel: Axes, axis: Literal["x", "y"], lowest: float, highest: float) -> None:
    """A logarithmic axis with ticks written as plain numbers, more of them where it is short."""
    subs = (1, 2, 5) if highest < 300 * lowest else (1,)
    panel.set(**{f"{axis}scale": "log"})
    side = {"x": panel.xaxis, "y": panel.yaxis}[axis]
    side.set_major_locator(LogLocator(subs=subs))
    side.set_major_formatter(lambda value, _: f"{value:g}")
    side.set_minor_formatter(NullFormatter())


def set_scale(panel: Axes, losses: list[float]) -> None:
    """Logarithmic where the losses spread over more than a decade or so, else from zero."""
    if losses and min(losses) > 0 and max(losses) > LOG_FROM * min(losses):
        logarithmic(panel, "y", min(losses), max(losses))
    elif losses:
        panel.set_ylim(bottom=min(0.0, *losses))
