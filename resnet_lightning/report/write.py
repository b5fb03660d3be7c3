"""From a folder of runs to everything that compares them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_lightning.report.against import Against, against
from resnet_lightning.report.against import write_csv as write_against
from resnet_lightning.report.frame import Comparison, read_comparison
from resnet_lightning.report.statistics import Effect, Row, compare, main_effects
from resnet_lightning.report.summary import summarise
from resnet_lightning.report.tables import console_text, write_csv, write_latex, write_markdown
from resnet_lightning.text import count

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    Attributes:
        console: table, summary and paths, to print.
        paths: of the files written.
        problems: a sentence for each file that could not be written; the others are there.
    """

    console: str
    paths: list[Path]
    problems: list[str]


def write_report(folder: Path) -> Report:
    """Compare the runs below ``folder`` and write tables, figures, page and TensorBoard's columns into it.

    Nothing of the runs is touched; files of an earlier report are replaced.

    Raises:
        FileNotFoundError: there is no such folder, or no run in it.
        ConfigError: its runs do not compare, or its reference is damaged.
    """
    comparison = read_comparison(folder)
    if not comparison.runs:
        raise FileNotFoundError(f"There is no run in {folder}: no folder below it has a result.json.")
    rows, effects = compare(comparison), main_effects(comparison)
    sentences = summarise(comparison, rows, effects)
    compared = against(comparison)
    paths, problems = write_files(comparison, rows, effects, sentences, compared)
    lines = [console_text(comparison, rows, compared), "", *sentences, *problems]
    if paths:
        figures = sum(path.suffix == ".svg" for path in paths)
        drawn = f" and {count(figures, 'figure')} in figures" if figures else ""
        files = ", ".join(path.name for path in paths if path.parent == folder and ".tfevents." not in path.name)
        lines += ["", f"{folder}: {files}{drawn}"]
    return Report("\n".join(lines), paths, problems)


def write_files(
    comparison: Comparison, rows: list[Row], effects: list[Effect], sentences: list[str], compared: Against | None
) -> tuple[list[Path], list[str]]:
    """Write each file, whatever becomes of the others; returns the paths, and a sentence for each that failed."""
    from resnet_lightning.report import figures, hparams_columns, page

    writers: dict[str, Callable[[Path], object]] = {
        "comparison.csv": lambda path: write_csv(comparison, rows, path),
        "comparison.md": lambda path: write_markdown(comparison, rows, sentences, path, compared),
        "comparison.tex": lambda path: write_latex(comparison, rows, path),
        "comparison.html": lambda path: page.write_page(comparison, rows, effects, sentences, path, compared),
        hparams_columns.FILE_NAME: lambda path: hparams_columns.write_columns(comparison, path),
    }
    if compared:
        writers["beside_reference.csv"] = lambda path: write_against(compared, path)
    paths, problems = figures.draw_figures(comparison, rows, effects, comparison.folder / "figures")
    for name, write in writers.items():
        try:
            write(comparison.folder / name)
            paths.append(comparison.folder / name)
        except Exception as error:  # odd data or a full disk: the rest of the report is worth having
            log.debug(name, exc_info=True)
            problems.append(f"{name} could not be written ({type(error).__name__}: {error}).")
    return paths, problems
