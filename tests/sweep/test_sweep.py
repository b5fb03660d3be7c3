"""Sweeps of real runs, with everything that can happen to a job."""

import csv
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnet_lightning.lock import hold
from resnet_lightning.result import RunResult
from tests.sweep.conftest import SMALL, alive, gone, interrupt


def table(sweep) -> list[dict[str, str]]:
    with (sweep.folder / "comparison.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def timeless(sweep) -> list[dict[str, str]]:
    """The comparison without what a clock or a memory meter says."""
    return [
        {key: value for key, value in row.items() if not re.search("second|time|memory", key)} for row in table(sweep)
    ]


def test_eight_jobs_of_which_four_go_wrong(sweep):
    rates = "lr=0.1,0.05,0.02,0.03,0.04,0.06,0.01,1e20"
    done = sweep.run(rates, faults={"0.03": "raise", "0.04": "signal9", "0.06": "vanish"})
    assert done.returncode == 1, done.stdout + done.stderr
    results = sweep.results()
    assert {lr: results[lr].status for lr in (0.1, 0.05, 0.02, 0.01)} == dict.fromkeys((0.1, 0.05, 0.02, 0.01), "done")
    assert (results[0.03].status, results[0.03].reason) == ("failed", "RuntimeError: injected")
    assert results[0.04].status == "killed" and "signal 9" in results[0.04].reason
    assert results[0.06].status == "failed" and "without a result" in results[0.06].reason
    assert results[1e20].status == "diverged"
    assert len(table(sweep)) == 8
    assert "RuntimeError: injected" in (sweep.job(0.03) / "job.log").read_text()
    for name in ("comparison.md", "comparison.tex", "comparison.html", "commands.sh", "figures/accuracy_vs_time.png"):
        assert (sweep.folder / name).stat().st_size > 0, name

    stamps = {lr: (sweep.job(lr) / "result.json").stat().st_mtime_ns for lr in results}
    again = sweep.run(rates)
    assert again.returncode == 1 and "3 to run" in again.stdout
    changed = {lr for lr in results if (sweep.job(lr) / "result.json").stat().st_mtime_ns != stamps[lr]}
    assert changed == {0.03, 0.04, 0.06}
    assert {result.status for lr, result in sweep.results().items() if lr != 1e20} == {"done"}


def test_other_ends_of_a_job(sweep):
    faults = {"0.1": "signal11", "0.2": "oom", "0.3": "exit"}
    done = sweep.run("lr=0.1,0.2,0.3", faults=faults)
    results = sweep.results()
    assert done.returncode == 1
    assert results[0.1].status == "crashed" and "signal 11 (SIGSEGV)" in results[0.1].reason
    assert results[0.2].status == "oom" and "out of memory" in results[0.2].reason
    assert results[0.3].status == "failed" and "without a result" in results[0.3].reason
    log = (sweep.job(0.1) / "job.log").read_text()
    assert "Segmentation fault" in log and "training_step" in log


@pytest.mark.slow
def test_job_over_its_time_is_stopped_and_the_others_go_on(sweep):
    faults = {"0.4": "hang", "0.5": "hang deaf"}
    done = sweep.run("lr=0.4,0.5,0.6", "launcher.job_timeout=15", faults=faults)
    assert done.returncode == 1
    assert [sweep.results()[lr].status for lr in (0.4, 0.5, 0.6)] == ["timeout", "timeout", "done"]


@pytest.mark.slow
def test_failed_job_is_tried_again(sweep, tmp_path):
    faults = {"0.1": f"once:{tmp_path / 'marker'}", "0.2": "raise"}
    sweep.run("lr=0.1,0.2", "launcher.retries=1", faults=faults)
    results = sweep.results()
    assert (results[0.1].status, results[0.1].attempts) == ("done", 2)
    assert (results[0.2].status, results[0.2].attempts) == ("failed", 2)
    assert (sweep.job(0.1) / "job.log").read_text().count("injected once") > 0


def test_launcher_killed_leaves_no_orphan_and_goes_on_where_it_stopped(sweep):
    rates = "lr=0.1,0.2,0.3"
    process = sweep.start(rates, faults={"0.2": "slow:60"})
    first, second = sweep.wait_for_start(0.1), sweep.wait_for_start(0.2)
    assert not alive(first) and alive(second)
    os.kill(process.pid, signal.SIGKILL)
    assert gone(second)
    stamp = (sweep.job(0.1) / "result.json").stat().st_mtime_ns
    assert sweep.run(rates).returncode == 0
    assert (sweep.job(0.1) / "result.json").stat().st_mtime_ns == stamp
    assert [row["status"] for row in table(sweep)] == ["done"] * 3


def test_two_devices_are_both_busy_and_never_shared(sweep):
    rates = [0.1, 0.2, 0.3, 0.4, 0.5]
    faults = {"0.1": "slow:4", "0.3": "slow:1"}  # jobs of unequal length
    done = sweep.run(f"lr={','.join(map(str, rates))}", "launcher.devices=[3,5]", faults=faults)
    assert done.returncode == 0, done.stdout
    assert {result.visible_devices for result in sweep.results().values()} == {"3", "5"}
    spans = {}
    for moment, event, lr, device, _ in sweep.events():
        spans.setdefault((device, lr), {})[event] = moment
    for device in ("3", "5"):
        mine = sorted((span["start"], span["end"]) for (where, _), span in spans.items() if where == device)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(mine))
    by_device = {device: sorted(lr for where, lr in spans if where == device) for device in ("3", "5")}
    assert by_device["3"][0] == 0.1 and len(by_device["3"]) < len(by_device["5"])  # the long job kept its device


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)]
)
def test_a_signal_of_the_terminal_ends_in_order_with_a_report(sweep, signum, code):
    process = sweep.start("lr=0.1,0.2,0.3", faults={"0.2": "slow:3"})
    sweep.wait_for_start(0.2)
    os.killpg(process.pid, signum)  # as a terminal sends it: to the fork server too
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    results = sweep.results()
    assert (results[0.1].status, results[0.2].status) == ("done", "interrupted") and 0.3 not in results
    assert "no new jobs" in output and (sweep.folder / "comparison.csv").exists()


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_in_order_whose_reader_has_gone(sweep):
    """``| tee log``: Ctrl-C ends tee first."""
    process = sweep.start("lr=0.1,0.2", "epochs=500", "logger=none")
    sweep.wait_for_start(0.1)
    process.stdout.close()
    interrupt(process)
    assert process.wait(timeout=60) == 130
    assert {result.status for result in sweep.results().values()} == {"interrupted"}
    assert (sweep.folder / "comparison.csv").exists()


@pytest.mark.slow
def test_ctrl_c_twice_ends_at_once(sweep):
    process = sweep.start("lr=0.1,0.2", faults={"0.1": "hang deaf"})
    job = sweep.wait_for_start(0.1)
    time.sleep(1)
    interrupt(process)
    time.sleep(0.5)
    interrupt(process)
    assert process.wait(timeout=60) == 130
    assert gone(job)


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_before_the_first_job_starts_none(sweep):
    """The terminal sends it to the whole process group, of which is what starts the jobs, still busy with importing."""
    process = sweep.start("lr=0.1,0.2,0.3", "launcher.devices=[0,1,2]")
    deadline = time.monotonic() + 60
    while not list(sweep.folder.glob("*/")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "no new jobs" in output and "Traceback" not in output, output
    assert len(sweep.results()) <= 1 and all(result.status == "interrupted" for result in sweep.results().values())


def test_second_launcher_says_who_holds_the_sweep(sweep):
    with hold(sweep.folder, "wait"):
        (sweep.folder / "multirun.yaml").write_text("of the first")
        second = sweep.run("lr=0.1")
    assert second.returncode == 2 and f"process {os.getpid()} on " in second.stderr
    assert (sweep.folder / "multirun.yaml").read_text() == "of the first"
    assert [path.name for path in sweep.folder.glob("[!.]*")] == ["multirun.yaml"]


def test_bad_value_anywhere_in_the_grid_starts_nothing(sweep):
    done = sweep.run("lr=0.1,-1", "activation=relu,tanh")
    assert done.returncode == 2 and done.stderr.startswith("Error: lr=-1.0 is not possible")
    assert not sweep.folder.exists() and not sweep.journal.exists()


def test_dry_run_lists_and_starts_nothing(sweep):
    done = sweep.run("lr=0.1,0.2,0.1", "dry_run=true")
    assert done.returncode == 0 and "2 jobs, 0 finished, 2 to run" in done.stdout
    assert "multirun/s/lr-0.1_" in done.stdout and not sweep.folder.exists()


def test_grown_grid_adds_jobs_and_a_changed_folder_is_refused(sweep):
    assert sweep.run("lr=0.1").returncode == 0
    grown = sweep.run("lr=0.1,0.2,0.2")
    assert grown.returncode == 0
    assert "2 jobs (3 points of the grid, some of which compute the same), 1 already finished, 1 to run" in grown.stdout
    assert len(table(sweep)) == 2
    path = sweep.job(0.1) / "result.json"
    path.write_text(path.read_text().replace('"batch": 32', '"batch": 48'))
    refused = sweep.run("lr=0.1,0.2")
    assert refused.returncode == 2 and "batch: 48 / 32" in refused.stderr and "name=" in refused.stderr


@pytest.mark.slow
def test_moved_sweep_goes_on_and_reports(sweep):
    assert sweep.run("lr=0.1,0.2").returncode == 0
    before = timeless(sweep)
    moved = sweep.place / "elsewhere"
    shutil.move(sweep.folder, moved)
    report = [sys.executable, "-m", "resnet_lightning.report", str(moved)]
    subprocess.run(report, check=True, capture_output=True, cwd=sweep.place)
    with (moved / "comparison.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    shutil.move(moved, sweep.folder)
    again = sweep.run("lr=0.1,0.2")
    assert "0 to run" in again.stdout and timeless(sweep) == before


@pytest.mark.slow
def test_command_of_a_job_repeats_it_alone(sweep):
    sweep.run("lr=0.1", faults={"0.1": "raise"})
    (line,) = [x for x in (sweep.folder / "commands.sh").read_text().splitlines() if x.startswith("python -m")]
    environment = sweep.environment(None) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", line], cwd=sweep.place, env=environment, check=True, capture_output=True)
    assert sweep.results()[0.1].status == "done"
    assert "1 already finished, 0 to run" in sweep.run("lr=0.1").stdout


@pytest.mark.slow
def test_jobs_of_two_processes_each(sweep):
    """The processes that Lightning starts belong to the job: they must not start the sweep again."""
    done = sweep.run("lr=0.1", "devices=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sweep.results()[0.1].test["images"] == 10_000
    assert [lr for _, event, lr, _, _ in sweep.events() if event == "start"] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["launcher.jobs_per_device=2"], "needs launcher.threads_per_job"),
        (["launcher.jobs_per_device=64", "launcher.threads_per_job=64"], "this machine has"),
        (["launcher.devices=[0]", "devices=2"], "A job asks for 2 devices, but the sweep has 1: 0."),
        (["launcher.devices=[0,0]"], "names a device twice"),
        (["name=s,t"], "a sweep can have only one name"),
        (["accelerator=cpu,auto", "precision=16"], "precision=16 is not possible on a CPU"),
    ],
)
def test_impossible_sweeps_are_one_sentence(sweep, arguments, sentence):
    done = sweep.run("lr=0.1,0.2", *arguments)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr
    assert not list(sweep.place.glob("multirun/*/lr-*"))


def test_single_run_into_the_folder_of_another_is_refused(command, tmp_path):
    assert command(*SMALL, "hydra.run.dir=here").returncode == 0
    before = (tmp_path / "here" / ".hydra" / "overrides.yaml").read_text()
    other = command(*SMALL, "activation=tanh", "hydra.run.dir=here")
    assert (tmp_path / "here" / ".hydra" / "overrides.yaml").read_text() == before
    assert other.returncode == 2 and "activation: relu / tanh" in other.stderr
    assert RunResult.read(tmp_path / "here").config["activation"] == "relu"
