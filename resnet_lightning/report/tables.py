"""The comparison table: as CSV for programs, as Markdown and LaTeX for texts, and for the console."""

import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_lightning.files import atomic_write
from resnet_lightning.report.against import Against
from resnet_lightning.report.against import Table as AgainstTable
from resnet_lightning.report.frame import Comparison
from resnet_lightning.report.labels import ON_TEST, caption, header, scaled_down, status_text, title, value_text
from resnet_lightning.report.statistics import Estimate, Row, p_text, ranked, selection

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MISSING = "-"
CONSOLE_ROWS = 30
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
LATIN = 0x180  # Unicode blocks up to Latin Extended-A
PAGE_ROWS = 40  # of LaTeX; a longer table is broken over pages
ESTIMATES = ("train_loss", "test_loss", "test_accuracy", "val_accuracy", "seconds", "peak_memory")
CSV_NAMES = {"seconds": "time_s", "peak_memory": "peak_memory_mib"}
MARKDOWN_SPECIAL = re.compile(r"[\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w)")
LATEX_SPECIAL = str.maketrans(
    {char: rf"\{char}" for char in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"\xa0": "~", "\xad": "", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''"}
    | {"[": "{[}", "*": "{*}"}  # else, first in a line, they are an argument of the end of the line above
    | {"±": r"$\pm$", "≤": r"$\leq$", "…": r"\dots{}"}
)


def headers(comparison: Comparison, rows: list[Row]) -> list[str]:
    """The keys that differ, the metrics, the status; what no run has been measured for or needs is left out."""
    on_test = f", {ON_TEST}" if selection(comparison) == "test" else ""
    metrics = ["Train Loss", f"Test Loss{on_test}", f"Test Accuracy (%){on_test}"]
    metrics += ["Val Accuracy (%)"] * held_out(comparison, rows) + ["Time (s)", "Peak memory (MiB)"]
    return [*map(header, comparison.columns), *metrics, *["p"] * tested(rows), "Status"]


def cells(comparison: Comparison, rows: list[Row]) -> list[list[str]]:
    """One list of texts for every row, in the order of ``headers``."""
    val, p_value = held_out(comparison, rows), tested(rows)
    table = []
    for row in rows:
        metrics = [text(row.train_loss, digits=4), text(row.test_loss, digits=4), text(row.test_accuracy, 100)]
        metrics += [text(row.val_accuracy, 100)] * val + [text(row.seconds, digits=1), text(row.peak_memory, digits=0)]
        settings = [value_text(value) for value in row.group.settings.values()]
        table.append([*settings, *metrics, *[p_cell(row)] * p_value, status_text(row)])
    return table


def held_out(comparison: Comparison, rows: list[Row]) -> bool:
    return selection(comparison) == "validation" or any(row.val_accuracy for row in rows)


def tested(rows: list[Row]) -> bool:
    return any(row.p_value is not None for row in rows)


def text(estimate: Estimate | None, scale: float = 1.0, digits: int = 2) -> str:
    return estimate.text(scale, digits) if estimate else MISSING


def p_cell(row: Row) -> str:
    if row.best:
        return "best"
    if row.p_value is None:
        return MISSING
    return p_text(row.p_value).removeprefix("p = ").removeprefix("p ").replace(" ", "")


def write_csv(comparison: Comparison, rows: list[Row], path: Path) -> None:
    """Raw numbers, one line for every setting; ``_sd`` is empty for a single run, a metric nobody has is empty."""
    names = [CSV_NAMES.get(name, name) for name in ESTIMATES]
    columns = [f"{name}_{part}" for name in names for part in ("mean", "sd", "n")]
    with atomic_write(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        ends = ["runs", "scale", "epochs_scale", "selected_on", "p_value", "note", "status", "reason"]
        writer.writerow([*comparison.columns, "best", *columns, *ends])
        for row in rows:
            estimates = [getattr(row, name) for name in ESTIMATES]
            numbers = [part for one in estimates for part in ((one.mean, one.sd, one.n) if one else (None, None, 0))]
            settings = [str(v).lower() if isinstance(v, bool) else v for v in row.group.settings.values()]
            rest = [len(row.group.runs), *comparison.scale, selection(comparison)]
            rest += [row.p_value, row.note, row.status, row.reason]
            writer.writerow([*settings, str(row.best).lower(), *numbers, *rest])


def write_markdown(
    comparison: Comparison, rows: list[Row], sentences: list[str], path: Path, compared: Against | None = None
) -> None:
    """The table, its caption and the summary, then the reference beside it."""
    lines = [f"**{markdown(title(comparison))}**", ""] if scaled_down(comparison) else []
    marked = [
        [f"**{markdown(cell)}**" if row.best else markdown(cell) for cell in texts]
        for row, texts in zip(rows, cells(comparison, rows), strict=True)
    ]
    lines += markdown_table(headers(comparison, rows), marked)
    lines += ["", markdown(caption(comparison, rows)), "", *(f"- {markdown(sentence)}" for sentence in sentences)]
    lines += markdown_against(compared) if compared else []
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; ``rows`` are Markdown already."""
    lines = ["| " + " | ".join(map(markdown, heads)) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def markdown_against(compared: Against) -> list[str]:
    lines = ["", "## Beside the reference"]
    for table in compared.tables:
        lines += ["", *([f"{markdown(table.title)}:", ""] if table.title else [])]
        lines += markdown_table(table.heads, [list(map(markdown, row)) for row in table.rows])
    return [*lines, "", *(f"- {markdown(note)}" for note in compared.notes)]


def markdown(content: str) -> str:
    return MARKDOWN_SPECIAL.sub(lambda match: "\\" + match[0], content)


def write_latex(comparison: Comparison, rows: list[Row], path: Path) -> None:
    """A booktabs table to ``\\input``: one wider than the text is shrunk, one longer than a page broken over pages."""
    from pandas import DataFrame

    names = [latex(name) for name in headers(comparison, rows)]
    texts = [[latex(cell) for cell in line] for line in cells(comparison, rows)]
    marks = ["textbf:--rwrap" if row.best else "" for row in rows]
    settings = len(comparison.columns)
    long = len(rows) > PAGE_ROWS
    style = DataFrame(texts, columns=names).style.hide(axis="index").apply(lambda column: marks, axis=0)
    table = style.to_latex(
        column_format="l" * settings + "r" * (len(names) - settings - 1) + "l",
        hrules=True,
        caption=latex(caption(comparison, rows)),
        label="tab:comparison",
        environment="longtable" if long else "table",
        position=None if long else "htbp",
        position_float=None if long else "centering",
    )
    if not long:
        table = table.replace(r"\begin{tabular}", FIT + "\n" + r"\begin{tabular}").replace(
            r"\end{tabular}", r"\end{tabular}}"
        )
    with atomic_write(path, "w", encoding="utf-8") as file:
        packages = f"\\usepackage[T1]{{fontenc}} \\usepackage{{booktabs, {'longtable' if long else 'graphicx'}}}"
        file.write(f"% needs {packages}\n{table}")


def latex(content: str) -> str:
    """Escaped; a character that pdflatex has no glyph for becomes a question mark, the other tables have it."""
    known = (char if char in "±≤…" or ord(char) < LATIN else "?" for char in content)
    return "".join(known).translate(LATEX_SPECIAL)


def console_text(comparison: Comparison, rows: list[Row], compared: Against | None = None) -> str:
    """The table and its caption for standard output: coloured on a terminal, as wide as it needs elsewhere.

    Of more than 30 rows only 30 are shown, best first.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = rows if len(rows) <= CONSOLE_ROWS else ranked(rows, selection(comparison))[:CONSOLE_ROWS]
    texts_of = {id(row): texts for row, texts in zip(rows, cells(comparison, rows), strict=True)}
    table = Table(box=box.SIMPLE_HEAD, title=Text(title(comparison)) if scaled_down(comparison) else None)
    for number, name in enumerate(["", *headers(comparison, rows)]):
        is_metric = len(comparison.columns) < number < len(headers(comparison, rows))
        table.add_column(Text(name), justify="right" if is_metric else "left")
    for row in shown:
        style = "bold green" if row.best else "" if row.status == "done" else "dim"
        table.add_row("*" if row.best else "", *map(Text, texts_of[id(row)]), style=style)
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    with console.capture() as capture:
        console.print(table)
        if len(shown) < len(rows):
            left = f"{len(shown)} settings, the best first; {len(rows) - len(shown):,} more in comparison.md and .csv."
            console.print(Text(left))
        console.print(Text(caption(comparison, rows)))
        for one in compared.tables if compared else ():
            console.print(rich_against(one))
        for note in compared.notes if compared else ():
            console.print(Text(note))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def rich_against(one: AgainstTable) -> "RichTable":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=Text(f"Beside the reference. {one.title}".rstrip(". ")))
    for number, name in enumerate(one.heads):
        table.add_column(Text(name), justify="left" if number <= one.heads.index("") else "right")
    for row in one.rows:
        table.add_row(*map(Text, row), style="dim" if "difference" in row else "")
    return table
