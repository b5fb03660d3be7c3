"""The figures of a comparison, each as PNG and SVG in ``figures/``: which there are, their style, their files.

What is in them: ``curves``, ``heatmaps`` and ``scatter``.
"""

import logging
import re
import textwrap
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from resnet_lightning.files import atomic_write
from resnet_lightning.fonts import ANY_NAME
from resnet_lightning.report import curves, heatmaps, scatter
from resnet_lightning.report.frame import Comparison
from resnet_lightning.report.labels import scaled_down
from resnet_lightning.report.statistics import Effect, Row
from resnet_lightning.text import file_error

log = logging.getLogger(__name__)
STYLE: dict[Any, Any] = {
    **ANY_NAME,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.08,  # inches
    "figure.constrained_layout.h_pad": 0.08,
    "hatch.color": "#999999",
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "comparison",  # the same numbers give the same file
}
OURS = re.compile(r"(learning_curves|heatmap_.+|main_effects|accuracy_vs_time|per_class_accuracy)\.(png|svg)")
LETTERS = 13  # of a title in an inch
FORMATS: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}


def draw_figures(
    comparison: Comparison, rows: list[Row], effects: list[Effect], folder: Path
) -> tuple[list[Path], list[str]]:
    """Draw every figure that the data allow into ``folder``, and remove those of an earlier report that they do not.

    Returns:
        The paths written, and a sentence for each figure that could not be drawn.
    """
    paths, problems, failed = [], [], set()
    for name, draw in drawings(comparison, rows, effects).items():
        try:
            with matplotlib.rc_context(STYLE), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a name may hold signs that the font has not
                figure = draw()
                if figure is not None:
                    say_scale(figure, comparison)
                    paths += save(figure, folder, name)
        except Exception as error:  # whatever it is, the other figures are worth having
            log.debug("figure %s", name, exc_info=True)
            problems.append(f"The figure {name} could not be drawn ({type(error).__name__}: {error}).")
            failed.add(name)  # better an old one than none
    return paths, problems + remove_old(folder, failed | {path.stem for path in paths})


def say_scale(figure: Figure, comparison: Comparison) -> None:
    """A figure of scaled-down runs says so in its title, on as many lines as its width takes."""
    if scaled_down(comparison):
        lines = [*figure.get_suptitle().splitlines(), scaled_down(comparison)]
        width = int(LETTERS * figure.get_figwidth())
        figure.suptitle("\n".join(textwrap.fill(line, width) for line in lines), fontsize=10)


def remove_old(folder: Path, kept: set[str]) -> list[str]:
    """Remove the figures of an earlier report whose names are not ``kept``, and nothing else; what went wrong."""
    try:
        for old in folder.iterdir() if folder.is_dir() else ():
            if OURS.fullmatch(old.name) and old.stem not in kept:
                old.unlink(missing_ok=True)
    except OSError as error:
        return [f"Figures of an earlier report could not be removed: {file_error(error)}"]
    return []


def drawings(comparison: Comparison, rows: list[Row], effects: list[Effect]) -> dict[str, Callable[[], Figure | None]]:
    """``{file name: function}``; a function gives None where the data make no such figure."""
    found: dict[str, Callable[[], Figure | None]] = {
        "learning_curves": lambda: curves.learning_curves(comparison, rows),
        "main_effects": lambda: scatter.main_effects(comparison, effects),
        "accuracy_vs_time": lambda: scatter.accuracy_vs_time(comparison, rows),
        "per_class_accuracy": lambda: heatmaps.per_class_accuracy(comparison, rows),
    }
    for one, other in combinations(heatmaps.numeric_columns(comparison), 2):
        name = "heatmap_" + re.sub(r"[^\w.-]", "_", f"{one}_{other}")
        found[name] = lambda one=one, other=other: heatmaps.parameter_pair(comparison, one, other)  # type: ignore[misc]
    return found


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for kind, options in FORMATS.items():
        path = folder / f"{name}.{kind}"
        with atomic_write(path) as file:
            figure.savefig(file, format=kind, **options)
        paths.append(path)
    return paths
