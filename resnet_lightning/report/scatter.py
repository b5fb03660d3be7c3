"""Accuracy against one swept key at a time, and against the time it takes."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_lightning.report.columns import ABSENT, Value
from resnet_lightning.report.curves import COLOURS, logarithmic
from resnet_lightning.report.frame import Comparison
from resnet_lightning.report.labels import ON_TEST, clean, header, setting_text, shorten, value_text
from resnet_lightning.report.statistics import (
    Effect,
    Estimate,
    Row,
    devices_of,
    is_balanced,
    is_numeric,
    measured,
    selection,
    selection_metric,
)
from resnet_lightning.text import count

PANELS = 4  # in a line
CATEGORIES = 12  # levels up to which each has its own place and tick
LISTED = 12  # settings of the front that are named
MARKERS = "osD^vP*X"
HOLES = "\n(the grid has holes: levels are over different combinations of the others)"


def main_effects(comparison: Comparison, effects: list[Effect]) -> Figure | None:
    """One panel for every swept key: all finished runs, mean and standard deviation of each level."""
    if not effects:
        return None
    across = min(len(effects), PANELS)
    down = math.ceil(len(effects) / across)
    figure = Figure(figsize=(max(2.9 * across, 5.0), 3.0 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for panel, effect in zip(panels.flat, effects, strict=False):
        draw_effect(panel, comparison, effect)
    for panel in panels.flat[len(effects) :]:
        panel.set_axis_off()
    on_test = f",\n{ON_TEST}" if selection(comparison) == "test" else ""
    for line in panels:
        line[0].set_ylabel(f"test accuracy (%){on_test}")
    runs = count(effects[0].runs, "finished run")
    holes = "" if len(effects) == 1 or is_balanced(comparison) else HOLES
    figure.suptitle(f"Main effects over {runs}: mean ± sd of each level{holes}", fontsize=10)
    return figure


def draw_effect(panel: Axes, comparison: Comparison, effect: Effect) -> None:
    places = level_places(panel, [level.value for level in effect.levels])
    found = [(run.settings[effect.key], measured(run, "test", "accuracy")) for run in comparison.runs]
    dots = [(places[value], 100 * accuracy) for value, accuracy in found if accuracy is not None and value != ABSENT]
    panel.plot(*zip(*dots, strict=True), ".", color="#999999", alpha=0.6, markersize=5, markeredgewidth=0)
    if len(effect.levels) <= CATEGORIES:
        means = [100 * level.accuracy.mean for level in effect.levels]
        bars = [bar(level.accuracy) for level in effect.levels]
        joined = all(is_numeric(value) for value in places) and is_balanced(comparison)  # else they do not compare
        line = "-" if joined else ""
        panel.errorbar(list(places.values()), means, bars, color=COLOURS[0], marker="o", capsize=4, linestyle=line)
    share = "" if effect.share is None else f"{share_text(effect.share)} of variance"  # without the key: it may be long
    panel.set(xlabel=header(effect.key), title=share)


def bar(estimate: Estimate) -> float:
    """Half the length of an error bar in percent; not a number, which draws none, for a single run."""
    return math.nan if estimate.sd is None else 100 * estimate.sd


def share_text(share: float) -> str:
    return "<1 %" if share < 0.01 else f"{100 * share:.0f} %"


def level_places(panel: Axes, levels: list[Value]) -> dict[Value, float]:
    """Where each level stands on the horizontal axis: side by side, or many numbers at their value."""
    numbers = [float(value) for value in levels if is_numeric(value)]  # type: ignore[arg-type]
    if len(levels) > CATEGORIES and len(numbers) == len(levels):
        if numbers[0] > 0 and numbers[-1] > 100 * numbers[0]:
            logarithmic(panel, "x", numbers[0], numbers[-1])
        return dict(zip(levels, numbers, strict=True))
    texts = [value_text(value) for value in levels]
    crowded = max(map(len, texts)) * len(texts) > 30
    if len(levels) <= 2 * CATEGORIES:
        panel.set_xticks(
            range(len(levels)),
            [shorten(text, 16) for text in texts],
            rotation=45 if crowded else 0,
            ha="right" if crowded else "center",
        )
    else:
        panel.set_xticks([])
    panel.set_xlim(-0.5, len(levels) - 0.5)
    return {value: float(number) for number, value in enumerate(levels)}


def accuracy_vs_time(comparison: Comparison, rows: list[Row]) -> Figure | None:
    """Every setting, and on each device the Pareto front: the settings that no faster one equals."""
    by = selection(comparison)
    points = [(row.seconds.mean, metric, row) for row in rows if row.seconds and (metric := selection_metric(row, by))]
    if len(points) < 2:
        return None
    devices = sorted({device_of(row) for _, _, row in points})
    figure = Figure(figsize=(7.5, 5.2), layout="constrained")
    panel = figure.subplots()
    front: list[Row] = []
    for number, device in enumerate(devices):
        own = [(seconds, metric, row) for seconds, metric, row in points if device_of(row) == device]
        front += draw_device(panel, own, number, len(front))
    times = [seconds for seconds, _, _ in points]
    if max(times) > 10 * min(times) > 0:
        logarithmic(panel, "x", min(times), max(times))
    on_test = f", {ON_TEST}" if by == "test" else ""
    panel.set(xlabel="time of a run (s), mean over seeds", ylabel=f"{by} accuracy (%){on_test}")
    name_front(figure, front, devices)
    return figure


def draw_device(panel: Axes, points: list[tuple[float, Estimate, Row]], number: int, named: int) -> list[Row]:
    """Draw the settings of a device and their front; returns the front, whose numbers start after ``named``."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    times = [seconds for seconds, _, _ in points]
    means = [100 * metric.mean for _, metric, _ in points]
    bars = [bar(metric) for _, metric, _ in points]
    panel.errorbar(
        times, means, bars, color=colour, marker=marker, linestyle="", markersize=5, elinewidth=0.8, alpha=0.7
    )
    front = pareto_front(list(zip(times, means, strict=True)))
    panel.step([times[i] for i in front], [means[i] for i in front], where="post", color=colour, linewidth=1)
    for label, position in enumerate(front[: max(LISTED - named, 0)], start=named + 1):
        place = (times[position], means[position])
        panel.annotate(str(label), place, (-3, 4), textcoords="offset points", ha="right", weight="bold")
    return [points[position][2] for position in front]


def device_of(row: Row) -> str:
    """Times compare on one device only; a setting that ran on several has none."""
    return clean(min(devices_of(row.group)) or "unknown device")


def pareto_front(points: list[tuple[float, float]]) -> list[int]:
    """Positions of the (time, accuracy) that no point beats in one and equals in the other, fastest first."""
    front: list[int] = []
    for position in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[position][1] > points[front[-1]][1]:
            front.append(position)
    return front


def name_front(figure: Figure, front: list[Row], devices: list[str]) -> None:
    """Below the panel: what the numbers at the points stand for, and which colour is which device."""
    handles = [
        Line2D([], [], color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)], label=device)
        for number, device in enumerate(devices)
    ]
    texts = [f"{number}  {setting_text(row.group.settings, 80)}" for number, row in enumerate(front[:LISTED], start=1)]
    handles += [Line2D([], [], linestyle="", label=text) for text in texts]
    columns = 2 if max(map(len, texts)) < 50 else 1
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, handlelength=1.5, ncols=columns)
    left = f", the first {LISTED} of {len(front)} named" if len(front) > LISTED else ""
    figure.suptitle(f"Accuracy against time; the line is the Pareto front{left}", fontsize=10)
