"""What a job leaves behind when its first process ends alone."""

import multiprocessing
import os
import platform
import signal
import subprocess
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from resnet_lightning import hardware
from resnet_lightning.lock import hold
from resnet_lightning.sweep import node, process
from resnet_lightning.sweep.outcome import settle
from resnet_lightning.sweep.plan import JOB_LOG, Job
from resnet_lightning.sweep.slots import Slot
from tests.sweep.conftest import gone


def leave_child(arguments, slot, log, connection, planned) -> None:
    """In place of ``run_job``: a job that starts another process and falls."""
    os.setsid()
    Path(log).write_text(str(subprocess.Popen(["sleep", "300"]).pid))
    os._exit(1)


def test_ctrl_c_while_the_server_is_started_is_heard(monkeypatch):
    heard = []
    monkeypatch.setattr(forkserver, "ensure_running", lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, lambda signum, frame: heard.append(signum))
    try:
        process.start_server(multiprocessing.get_context("forkserver"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_processes_of_a_fallen_job_end_with_it(method, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "START_METHOD", method)
    monkeypatch.setattr(process, "run_job", leave_child)
    monkeypatch.setattr(process, "PRELOAD", [])
    job = process.JobProcess(process.process_context(), [], Slot("cpu", None, (), 1), tmp_path / "job.log")
    job.close()
    assert job.exit_code == 1 and gone(int((tmp_path / "job.log").read_text()))


def hold_lock(arguments, slot, log, connection, planned) -> None:
    """In place of ``run_job``: a job in the middle of its run."""
    os.setsid()
    with hold(Path(log).parent, "another"):
        Path(log).write_text("runs")
        signal.pause()


def test_jobs_of_a_killed_fork_server_end_with_it(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(process, "run_job", hold_lock)
    monkeypatch.setattr(process, "PRELOAD", [])
    slot, job = Slot("cpu", None, (), 1), Job([], "", settings("logger=none"), "job", "running")
    running = process.JobProcess(process.process_context(), [], slot, tmp_path / "job" / JOB_LOG)
    while not (tmp_path / "job" / JOB_LOG).exists():
        assert running.running
        time.sleep(0.02)
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    running.close()
    result = settle(tmp_path, job, running.exit_code, timed_out=False, stopped=False)
    assert result.status == "killed" and "fork server" in result.reason
    assert gone(running.process.pid)


def say_environment(*arguments) -> None:
    """In place of ``run_job``: the same, but the single run only says which of these variables it has."""
    from resnet_lightning import cli

    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "MASTER_PORT")
    cli.run_command = lambda _: print({name: os.environ[name] for name in names if name in os.environ}) or 0
    process.run_job(*arguments)


def test_a_job_has_its_own_gpus_and_no_meeting_place_of_the_users(tmp_path, monkeypatch):
    for key, value in (("MASTER_PORT", "29500"), ("HIP_VISIBLE_DEVICES", "2,3")):
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(process, "START_METHOD", "spawn")  # a fork server of other tests has another environment
    monkeypatch.setattr(process, "run_job", say_environment)
    monkeypatch.setattr(process, "PRELOAD", [])
    job = process.JobProcess(process.process_context(), [], Slot("device 3", "3", (), 1), tmp_path / "job.log")
    job.close()
    said = "{'CUDA_VISIBLE_DEVICES': '3', 'HIP_VISIBLE_DEVICES': '3'}\n"
    assert (tmp_path / "job.log").read_text() == said and job.exit_code == 0


def test_processes_of_a_fallen_job_on_a_node_end_with_it(tmp_path, monkeypatch, settings):
    mark = tmp_path / "pid"

    def start(task, log):
        script = f"sleep 300 & echo $! > {mark}; exit 1"
        return subprocess.Popen(["sh", "-c", script], start_new_session=True)

    monkeypatch.setattr(node, "start", start)
    monkeypatch.setattr(node.signal, "signal", lambda *_: None)
    job = Job([], "", settings("logger=none"), "job", "waiting")
    result = node.run_task(node.Task(tmp_path, job, tmp_path, [], {}))
    assert result.status == "failed" and gone(int(mark.read_text()))


def test_a_job_that_would_compute_something_else_than_planned_is_refused(sweep, monkeypatch):
    """A file of conf/ was edited after the sweep was checked."""
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(sweep.data_root))
    monkeypatch.setattr(process, "PRELOAD", [])
    log, arguments = sweep.place / "job.log", [*sweep.settings, f"hydra.run.dir={sweep.place / 'run'}"]
    job = process.JobProcess(process.process_context(), arguments, Slot("cpu", None, (), 1), log, "01234567")
    job.close()
    assert job.exit_code == 2 and "Files in conf/ have changed since the sweep was started" in log.read_text()
    assert not (sweep.place / "run" / "result.json").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_job_whose_gpu_is_gone_does_not_train_on_the_cpu(sweep, monkeypatch):
    """The slot says that the launcher has found a GPU; in the job there is none."""
    slot = Slot("device 7", "7", (), 1, needs_gpu=True)
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(sweep.data_root))
    monkeypatch.setattr(process, "PRELOAD", [])
    where = sweep.place / "run"
    arguments = [*(item for item in sweep.settings if item != "accelerator=cpu"), f"hydra.run.dir={where}"]
    job = process.JobProcess(process.process_context(), arguments, slot, sweep.place / "job.log")
    job.close()
    said = (sweep.place / "job.log").read_text()
    assert (
        job.exit_code == 1
        and "device 7 is gone: torch finds no GPU with CUDA_VISIBLE_DEVICES=7." in said
        and "Traceback" not in said
    )
    assert not where.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
def test_gone_gpu_is_no_wrong_setting(monkeypatch, accelerator):
    monkeypatch.setenv(hardware.SLOT, "device 0")
    with pytest.raises(RuntimeError, match="device 0 is gone"):
        hardware.pick_accelerator(accelerator)
    assert hardware.pick_accelerator("cpu") == "cpu"


def test_a_node_whose_gpus_are_gone_does_not_train_on_the_cpu():
    given = {hardware.SLOT: f"the GPU of {platform.node()}"}
    assert node.slot(True, {}) == node.slot(None, {"SLURM_JOB_GPUS": "2,3"}) == given
    assert node.slot(False, {"SLURM_JOB_GPUS": "2,3"}) == node.slot(None, {"CUDA_VISIBLE_DEVICES": "0"}) == {}
