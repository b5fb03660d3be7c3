"""The table as CSV, Markdown, LaTeX and text says the same numbers, what they are, and survives any name."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from resnet_lightning.report.frame import read_comparison
from resnet_lightning.report.labels import caption
from resnet_lightning.report.statistics import compare
from resnet_lightning.report.tables import console_text, write_csv, write_latex, write_markdown
from tests.report.conftest import write_grid, write_run

HOSTILE = r"50 % of_the #1 {a} & b~c^d $x$ \end{tabular} | *bold* <b> `code` [x](y) ü" + "\n\x1b[31m 漢字 …"
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs, longtable, graphicx}
\begin{document}
\input{table}
\end{document}
"""


class Tables:
    """All tables of a folder."""

    def __init__(self, folder: Path) -> None:
        self.comparison = read_comparison(folder)
        self.rows = compare(self.comparison)
        write_csv(self.comparison, self.rows, folder / "table.csv")
        write_markdown(self.comparison, self.rows, ["A sentence."], folder / "table.md")
        write_latex(self.comparison, self.rows, folder / "table.tex")
        self.csv = (folder / "table.csv").read_text(encoding="utf-8")
        self.markdown = (folder / "table.md").read_text(encoding="utf-8")
        self.latex = (folder / "table.tex").read_text(encoding="utf-8")
        self.console = console_text(self.comparison, self.rows)
        self.caption = caption(self.comparison, self.rows)

    def markdown_cells(self) -> list[list[str]]:
        lines = [line for line in self.markdown.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.fixture
def grid(sweep):
    """Two settings of three seeds, one that ran out of memory, one that failed."""
    write_grid(sweep, lambda lr, batch, seed: 0.9 + lr + 0.01 * seed, seeds=3, lr=[0.01, 0.05], batch=[32])
    write_run(sweep / "x", status="oom", lr=0.01, batch=1024)
    write_run(sweep / "y", status="failed", lr=0.05, batch=1024)
    return Tables(sweep)


def test_columns_are_what_differs_then_the_metrics(grid):
    header, *_ = grid.markdown_cells()
    assert header == [
        "LR", "BS", "Train Loss", "Test Loss", "Test Accuracy (%)", "Val Accuracy (%)", "Time (s)", "Peak memory (MiB)",
        "p", "Status",
    ]  # fmt: skip


def test_the_numbers_in_markdown(grid):
    _, _, first, best, oom, failed = grid.markdown_cells()
    assert first[:2] == ["0.01", "32"] and first[4] == "92.00 ± 1.00 (3)"
    assert best[4] == "**96.00 ± 1.00 (3)**" and best[-2:] == ["**best**", "**done**"]
    assert oom[2:] == ["-"] * 7 + ["Out of memory"]
    assert failed[-1] == r"failed: ValueError: batch 64 is \| more than 100 % of \_the\_ images"


def test_csv_has_the_raw_numbers(grid, sweep):
    frame = pandas.read_csv(sweep / "table.csv")
    assert list(frame["best"]) == [False, True, False, False]
    assert frame["test_accuracy_mean"][0] == pytest.approx(0.92) and frame["test_accuracy_sd"][0] == pytest.approx(0.01)
    assert list(frame["test_accuracy_n"]) == [3, 3, 0, 0] and frame["test_accuracy_mean"][2:].isna().all()
    assert list(frame["status"]) == ["done", "done", "oom", "failed"]
    assert frame["p_value"][0] == pytest.approx(grid.rows[0].p_value) and set(frame["selected_on"]) == {"validation"}


def test_console_and_latex_have_the_same_cells(grid):
    for cell in ("92.00", "96.00", "Out of memory"):
        assert cell in grid.console and cell in grid.latex
    (marked,) = [line for line in grid.console.splitlines() if line.strip().startswith("*")]
    assert "96.00 ± 1.00 (3)" in marked
    assert r"\textbf{96.00 $\pm$ 1.00 (3)}" in grid.latex
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"Test Accuracy (\%)"):
        assert command in grid.latex


def test_away_from_a_terminal_the_console_has_no_colour_and_no_broken_line(grid):
    assert "\x1b" not in grid.console
    assert sum("±" in line and "Mean" not in line for line in grid.console.splitlines()) == 2


def test_the_caption_says_what_the_numbers_are(grid):
    for part in (
        "8 runs of 4 settings, 6 done",
        "sample standard deviation over the seeds",
        "10,000 test and 6,000 validation images",
        "Validation accuracy selects",
        "Welch",
        "Test CPU, 32 precision, 2 CPU threads",
    ):
        assert part in grid.caption and part in grid.console
    assert "do not compare" not in grid.caption


def test_mixed_devices_and_precisions_are_said(sweep):
    write_run(sweep / "a", lr=0.1, device="GPU 1", precision="bf16")
    write_run(sweep / "b", lr=0.2, device="CPU 1", precision="32")
    text = Tables(sweep).caption
    assert "GPU 1 (1 run) and CPU 1 (1 run), bf16 precision (1 run) and 32 precision (1 run)" in text
    assert "they do not compare where the device or the precision differs." in text
    write_run(sweep / "c", lr=0.2, seed=1, device="GPU 1", precision="bf16")
    assert "differs, and are left out of a setting with runs on several devices" in Tables(sweep).caption


def test_the_caption_says_what_the_user_set_for_all_runs(sweep):
    for lr in (0.1, 0.2):
        write_run(sweep / str(lr), lr=lr, log_every=7, ema=0.9, **{"model.widths": [16, 32, 64], "scale": 0.5})
    assert "All with model resnet18 and data mnist, ema=0.9 model.widths=[16, 32, 64]." in Tables(sweep).caption


def test_numbers_selected_on_test_are_labelled(sweep):
    write_grid(sweep, lambda lr, seed: 0.9, lr=[0.1, 0.2])
    for folder in sweep.iterdir():
        write_run(folder, lr=0.1 if folder.name.endswith("0") else 0.2, selection="test")
    tables = Tables(sweep)
    header, *_ = tables.markdown_cells()
    assert "Test Accuracy (%), selected on test" in header and "Test Loss, selected on test" in header
    assert not any(name.startswith("Val") for name in header)
    assert "No validation images were held out" in tables.caption


def test_one_seed_has_neither_deviation_nor_p_value(sweep):
    write_grid(sweep, lambda lr, seed: 0.9, lr=[0.1, 0.2])
    tables = Tables(sweep)
    assert "±" not in tables.console and "p" not in tables.markdown_cells()[0]


def test_many_rows_the_console_shows_the_best_and_says_where_the_others_are(sweep):
    write_grid(sweep, lambda lr, seed: lr, lr=[number / 100 for number in range(1, 51)])
    tables = Tables(sweep)
    shown = [line.split()[0] for line in tables.console.splitlines() if line.strip().endswith("done")]
    assert len(shown) == 30 and shown[0] == "*" and shown[1:3] == ["0.49", "0.48"]
    assert "30 settings, the best first; 20 more in comparison.md" in tables.console
    assert len(tables.markdown_cells()) == 52 and r"\begin{longtable}" in tables.latex


def test_every_row_of_the_console_has_the_columns_of_all(sweep):
    """The only setting with a p-value is none of the best thirty."""
    write_grid(sweep, lambda lr, seed: 0.5 + lr, lr=[number / 100 for number in range(1, 41)])
    for seed in (1, 2):
        for lr in (0.4, 0.02):
            write_run(sweep / f"again_{lr}_{seed}", 0.5 + lr + seed / 1000, lr=lr, seed=seed)
    lines = Tables(sweep).console.splitlines()
    heading = next(line for line in lines if " p " in line)
    rows = [line for line in lines if line.rstrip().endswith("done")]
    assert len(rows) == 30 and {line.rindex("done") for line in rows} == {heading.rindex("Status")}


def test_latex_has_the_sign_of_a_run_at_chance(sweep):
    run = write_run(sweep / "a", 0.6, lr=0.1)
    run.test["confusion_matrix"] = [[60, 0], [40, 0]]
    run.write(sweep / "a")
    write_run(sweep / "b", 0.9, lr=0.2)
    assert r"done, $\leq$ chance" in Tables(sweep).latex


def test_the_caption_counts_validation_images_where_some_were_held_out(sweep):
    write_run(sweep / "a", 0.9, lr=0.1)
    run = write_run(sweep / "b", 0.9, lr=0.2, selection="test")
    run.val["images"] = 10_000  # those of the test set, which selected
    run.write(sweep / "b")
    assert "10,000 test and 6,000 validation images" in Tables(sweep).caption


def hostile(folder: Path, count: int = 2) -> Tables:
    for number in range(count):
        status = "failed" if number else "done"
        write_run(folder / f"r{number}", status=status, reason=HOSTILE, device=HOSTILE, activation=f"{HOSTILE}{number}")
    return Tables(folder)


def test_hostile_names_stay_in_their_cell(sweep):
    tables = hostile(sweep)
    assert {len(cells) for cells in tables.markdown_cells()} == {8}
    assert "<b>" not in tables.markdown.replace(r"\<b>", "") and "\x1b" not in tables.console
    lines = list(csv.DictReader(tables.csv.splitlines(keepends=True)))
    assert lines[0]["activation"] == HOSTILE + "0"
    assert tables.latex.count(r"\end{tabular}") == 1


def test_a_list_that_begins_a_line_of_latex_is_no_argument_of_the_line_above(sweep):
    write_run(sweep / "a", **{"model.depths": [1, 1]})
    write_run(sweep / "b", **{"model.depths": [2, 2]})
    assert "\n{[}2, 2] &" in Tables(sweep).latex


def test_a_name_that_is_no_text_is_in_the_csv_all_the_same(sweep):
    write_run(sweep / "a", status="failed", reason="caf\udce9.png is no image")
    assert r"caf\udce9.png" in Tables(sweep).csv


def test_smoothed_labels_are_said(sweep):
    write_run(sweep / "a", label_smoothing=0.0)
    assert "smoothed" not in Tables(sweep).caption
    write_run(sweep / "b", label_smoothing=0.1)
    assert "train loss in training mode, of smoothed labels where there is label_smoothing" in Tables(sweep).caption


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
@pytest.mark.parametrize("count", [2, 60])
def test_latex_compiles(sweep, tmp_path, count):
    (tmp_path / "table.tex").write_text(hostile(sweep, count).latex)
    (tmp_path / "document.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "document.pdf").stat().st_size > 1000


def test_on_a_terminal_the_best_row_is_coloured(grid, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    coloured = [line for line in console_text(grid.comparison, grid.rows).splitlines() if "\x1b[1;32m" in line]
    assert len(coloured) == 1 and "96.00" in coloured[0]
