"""The report as a whole: which files it writes, and that nothing in a folder stops it; its command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resnet_lightning.report import __main__ as report_command
from resnet_lightning.report import page, write_report
from resnet_lightning.report.__main__ import main
from tests.forked import run_module
from tests.report.conftest import write_grid, write_run

FILES = {"comparison.csv", "comparison.md", "comparison.tex", "comparison.html", "events.out.tfevents.0.comparison"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_written_and_nothing_of_the_runs_is_touched(sweep):
    write_grid(sweep, lambda lr, seed: 0.9 + lr, lr=[0.01, 0.02])
    before = content(sweep)
    report = write_report(sweep)
    after = content(sweep)
    assert {name for name in after if "/" not in name} == FILES and report.problems == []
    assert {name: after[name] for name in before} == before
    assert {path.relative_to(sweep).as_posix() for path in report.paths} == set(after) - set(before)
    assert "Best of 2 settings" in report.console and "comparison.html" in report.console
    assert "Best of 2 settings" in after["comparison.md"].decode()


def test_the_report_of_a_moved_sweep_is_the_same_files(sweep, tmp_path):
    write_grid(sweep, lambda lr, seed: "oom" if lr == 0.03 else 0.9 + lr, seeds=2, lr=[0.01, 0.02, 0.03])
    write_report(sweep)
    first = content(sweep)
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(sweep, tmp_path / "elsewhere" / "sweep"))
    write_report(moved)
    assert content(moved) == first


def test_a_file_that_cannot_be_written_is_a_sentence_and_the_others_are_there(sweep, monkeypatch):
    write_grid(sweep, lambda lr, seed: 0.9 + lr, lr=[0.01, 0.02])
    (sweep / "comparison.tex").mkdir()
    monkeypatch.setattr(page, "write_page", lambda *_: 1 / 0)
    report = write_report(sweep)
    assert {path.name for path in report.paths} >= FILES - {"comparison.tex", "comparison.html"}
    assert "comparison.html could not be written (ZeroDivisionError: division by zero)." in report.console
    assert len(report.problems) == 2 and "comparison.tex could not be written" in report.problems[0]


def test_odd_folders_make_a_whole_report(sweep):
    write_run(sweep / "whole", lr=0.1)
    write_run(
        sweep / "nothing measured", lr=0.2, train={}, val={}, test={}, seconds=None, peak_memory=None, device=None
    )
    write_run(sweep / "odd", lr="a", test={"accuracy": 0.5, "per_class_accuracy": [0.5, None]}, data={}, epochs=0)
    write_run(sweep / "nan", lr=float("nan"), seconds=float("inf"), peak_memory=-1)
    write_run(sweep / "empty", lr=0.3, choices={}, versions={})
    write_run(sweep / "$<b>|%_&\\ 漢", lr=0.4, status="failed", reason="\x1b[2J</script>\n" * 50)
    (sweep / "cut").mkdir()
    (sweep / "cut" / "result.json").write_bytes((sweep / "whole" / "result.json").read_bytes()[:300])
    (sweep / "folder").mkdir()
    (sweep / "folder" / "result.json").mkdir()
    (sweep / "whole" / "metrics.csv").write_bytes(os.urandom(2000))
    report = write_report(sweep)
    assert report.problems == [] and {path.name for path in report.paths} >= FILES
    assert "unreadable" in report.console and "\x1b" not in report.console


def test_runs_without_a_setting_that_others_have_make_a_whole_report(sweep):
    for momentum in (0.5, 0.9):
        write_run(sweep / f"{momentum}", **{"optimizer.name": "momentum", "optimizer.momentum": momentum})
    write_run(sweep / "adam", **{"optimizer.name": "adam"})
    report = write_report(sweep)
    assert report.problems == [] and "| adam | - |" in (sweep / "comparison.md").read_text().replace("*", "")


@pytest.mark.slow
def test_a_thousand_runs(sweep):
    axes: dict[str, list[Any]] = {
        "lr": [0.1 * n for n in range(10)],
        "batch": [2**n for n in range(10)],
        "dropout": [0.0, 0.5],
    }
    write_grid(sweep, lambda **settings: 0.5 + settings["lr"] / 3 + 0.01 * settings["seed"], seeds=5, **axes)
    report = write_report(sweep)
    assert report.problems == [] and "1,000 runs of 200 settings" in report.console
    assert len((sweep / "comparison.csv").read_text().splitlines()) == 201


# the command


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_module("resnet_lightning.report", *arguments, cwd=cwd)


def test_the_command_prints_the_report_of_each_folder(sweep, tmp_path):
    write_run(sweep / "run")
    shutil.copytree(sweep, tmp_path / "other")
    done = command("sweep", "other", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("Only model=resnet18") == 2 and "other: comparison.csv" in done.stdout


def test_help_answers_without_anything_heavy(tmp_path):
    done = command("--help", cwd=tmp_path)
    assert done.returncode == 0 and "comparison.csv" in done.stdout and "Exit codes" in done.stdout


NO_TORCH = """
import sys
from pathlib import Path
from resnet_lightning.report import write_report
assert not {"pandas", "matplotlib", "scipy", "plotly"} & set(sys.modules)
write_report(Path("sweep"))
assert not {"torch", "lightning"} & set(sys.modules)
"""


def test_the_report_needs_no_torch_and_nothing_heavy_before_it_starts(sweep):
    write_run(sweep / "run")
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH], cwd=sweep.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_misspelt_folder_gets_a_hint(sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "multirun" / "lr_batch").mkdir(parents=True)
    for name, meant in (
        ("swep", "sweep"),
        ("multirun/lr_bach", "multirun/lr_batch"),
        ("lr_batch", "multirun/lr_batch"),
    ):
        assert main([name]) == 2
        assert capsys.readouterr().err == f"There is no folder {name}. Did you mean {meant}?\n"


def test_a_folder_without_runs_is_one_sentence(sweep, capsys):
    assert main([str(sweep)]) == 2
    assert capsys.readouterr().err == f"There is no run in {sweep}: no folder below it has a result.json.\n"
    assert content(sweep) == {}


def test_a_run_or_a_folder_of_sweeps_instead_of_a_sweep_gets_a_hint(sweep, capsys):
    write_run(sweep / "run")
    assert main([str(sweep / "run")]) == 2
    assert (
        f"It is a run itself; the folder above it compares it with the runs beside it: {sweep}"
        in capsys.readouterr().err
    )
    assert main([str(sweep.parent)]) == 2
    assert f"There are sweeps in {sweep}." in capsys.readouterr().err


def test_a_folder_that_cannot_be_compared_keeps_none_of_the_others_away(sweep, tmp_path, capsys):
    write_run(tmp_path / "mixed" / "a", lr=0.1, scale=0.1)
    write_run(tmp_path / "mixed" / "b", lr=0.1)
    write_run(sweep / "run")
    assert main([str(tmp_path / "mixed"), str(sweep)]) == 2
    said = capsys.readouterr()
    assert "mixes runs" in said.err and said.err.count("\n") == 1 and "Only model=resnet18" in said.out


def test_a_reference_that_cannot_be_put_there_is_a_sentence(sweep, capsys, monkeypatch):
    write_run(sweep / "run")

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "reference.csv")

    monkeypatch.setattr(report_command, "add_reference", refuse)
    assert main([str(sweep), "reference=r1_lr_batch"]) == 1
    assert capsys.readouterr().err == "Error: reference.csv cannot be read or written (Permission denied).\n"


def test_files_that_could_not_be_written_are_exit_code_1(sweep, capsys):
    write_run(sweep / "run")
    (sweep / "comparison.md").mkdir()
    assert main([str(sweep)]) == 1
    assert "comparison.md could not be written" in capsys.readouterr().out
