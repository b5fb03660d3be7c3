"""Accuracy as colour: over a pair of swept numbers, and over settings and classes."""

import math
from collections import Counter
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resnet_lightning.report.columns import Value
from resnet_lightning.report.curves import settings_to_draw
from resnet_lightning.report.frame import Comparison, Run
from resnet_lightning.report.labels import ON_TEST, STATUS, clean, header, setting_text, value_text
from resnet_lightning.report.statistics import MOST_LEVELS, Row, is_numeric, measured, selection, sort_levels

BEST, WORST = 20, 10  # rows of the classes' figure
ANNOTATED = 400  # cells up to which each has its number
Cells = list[list[float]]  # percent; nan without a value


def numeric_columns(comparison: Comparison) -> list[str]:
    """Swept keys whose levels are numbers, at least two of them and few enough for a grid."""
    found = []
    for key in comparison.columns:
        levels = levels_of(comparison, key)
        if all(map(is_numeric, levels)) and 2 <= len(levels) <= MOST_LEVELS:
            found.append(key)
    return found


def levels_of(comparison: Comparison, key: str) -> list[Value]:
    return sort_levels(group.settings[key] for group in comparison.groups)


def parameter_pair(comparison: Comparison, one: str, other: str) -> Figure | None:
    """Mean test accuracy over everything but two keys; None where most combinations have not been tried.

    A hatched cell has runs but none that is done; an empty one has no runs.
    """
    across, down = levels_of(comparison, one), levels_of(comparison, other)
    runs = [
        [[run for run in comparison.runs if run.settings[one] == x and run.settings[other] == y] for x in across]
        for y in down
    ]
    cells = [[mean_accuracy(cell) for cell in line] for line in runs]
    tried = sum(bool(cell) for line in runs for cell in line)
    if 2 * tried < len(across) * len(down) or all(math.isnan(value) for line in cells for value in line):
        return None
    figure = Figure(figsize=(2.4 + 0.95 * len(across), 1.6 + 0.62 * len(down)), layout="constrained")
    panel = figure.subplots()
    texts = [
        [cell_text(value, cell) for value, cell in zip(*pair, strict=True)] for pair in zip(cells, runs, strict=True)
    ]
    draw_cells(figure, panel, cells, texts, accuracy_name(comparison))
    hatch(
        panel,
        [(x, y) for y, line in enumerate(runs) for x, cell in enumerate(line) if cell and math.isnan(cells[y][x])],
    )
    panel.set_xticks(range(len(across)), [value_text(value) for value in across])
    panel.set_yticks(range(len(down)), [value_text(value) for value in down])
    panel.set(xlabel=header(one), ylabel=header(other))
    others = [header(key) for key in comparison.columns if key not in (one, other)]
    over = f"\nwith any {', '.join(others)}" if others else ""
    figure.suptitle(f"Mean over the finished runs (number){over}", fontsize=10)
    return figure


def accuracy_name(comparison: Comparison) -> str:
    return "test accuracy (%)" + (f",\n{ON_TEST}" if selection(comparison) == "test" else "")


def mean_accuracy(runs: list[Run]) -> float:
    known = [accuracy for run in runs if (accuracy := measured(run, "test", "accuracy")) is not None]
    return 100 * fmean(known) if known else math.nan


def cell_text(value: float, runs: list[Run]) -> str:
    """The mean above the number of runs it is of, or what became of the runs."""
    if not math.isnan(value):
        return f"{value:.2f}\n({sum(measured(run, 'test', 'accuracy') is not None for run in runs)})"
    return "\n".join(STATUS.get(status, status).lower() for status in Counter(run.status for run in runs))


def draw_cells(figure: Figure, panel: Axes, cells: Cells, texts: list[list[str]], name: str) -> None:
    picture = panel.imshow(cells, cmap="viridis", aspect="auto")
    known = [value for line in cells for value in line if not math.isnan(value)]
    middle = min(known) + 0.6 * (max(known) - min(known))
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    for y, line in enumerate(texts):
        for x, text in enumerate(line):
            colour = "#222222" if math.isnan(cells[y][x]) else "white" if cells[y][x] < middle else "black"
            behind = {"facecolor": "#eeeeee", "linewidth": 0, "pad": 1} if text and math.isnan(cells[y][x]) else None
            panel.text(x, y, text, ha="center", va="center", fontsize=8, color=colour, bbox=behind)
    figure.colorbar(picture, ax=panel, label=name)


def hatch(panel: Axes, positions: list[tuple[int, int]]) -> None:
    for x, y in positions:
        panel.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="#eeeeee", edgecolor="#999999", hatch="///", zorder=0.5)
        )


def per_class_accuracy(comparison: Comparison, rows: list[Row]) -> Figure | None:
    """Test accuracy of every class for every setting, mean over seeds; None where the classes are not the same ones."""
    finished = [row for row in rows if row.test_accuracy and any(map(classes_of, row.group.runs))]
    drawn, which = settings_to_draw(finished, comparison, BEST, WORST)
    names = {tuple(classes_of(run)) for row in drawn for run in row.group.runs if run.status == "done"}
    if len(names) != 1 or len(drawn) == 1:
        return None
    classes = names.pop()
    cells = [class_means(row.group.runs, len(classes)) for row in drawn]
    if all(math.isnan(value) for line in cells for value in line):
        return None
    few = len(drawn) * len(classes) <= ANNOTATED
    labels = [setting_text(row.group.settings, 60) for row in drawn]
    width = 3 + 0.07 * max(map(len, labels)) + (0.55 if few else 0.13) * len(classes)
    figure = Figure(figsize=(width, 1.6 + 0.28 * len(drawn)), layout="constrained")
    panel = figure.subplots()
    texts = [[f"{value:.1f}" if few and not math.isnan(value) else "" for value in line] for line in cells]
    draw_cells(figure, panel, cells, texts, accuracy_name(comparison))
    panel.set_xticks(
        range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 3 else 0, fontsize=8 if few else 6
    )
    panel.set_yticks(range(len(drawn)), labels, fontsize=8)
    panel.set_xlabel("class")
    figure.suptitle(f"Accuracy per class, mean over seeds{which}", fontsize=10)
    return figure


def classes_of(run: Run) -> list[str]:
    """Names of the classes; without them their numbers; empty where the run has no accuracy per class."""
    if run.result is None or run.status != "done":
        return []
    shares, names = run.result.test.get("per_class_accuracy"), run.result.data.get("classes")
    if not isinstance(shares, list):
        return []
    return (
        [clean(str(name)) for name in names]
        if isinstance(names, list) and len(names) == len(shares)
        else [str(number) for number in range(len(shares))]
    )


def class_means(runs: list[Run], classes: int) -> list[float]:
    """Percent; nan for a class without test images."""
    shares = [run.result.test["per_class_accuracy"] for run in runs if run.result and classes_of(run)]
    columns = [[line[number] for line in shares if isinstance(line[number], (int, float))] for number in range(classes)]
    return [100 * fmean(column) if column else math.nan for column in columns]
