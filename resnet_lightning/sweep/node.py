"""One job on a node of a cluster: the single run in a process of its own, and its record, as on one machine."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from resnet_lightning.config import SLOT
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.outcome import forget_old_record, settle
from resnet_lightning.sweep.plan import JOB_LOG, Job
from resnet_lightning.sweep.process import RENDEZVOUS, end_group, end_with_launcher
from resnet_lightning.text import exit_with

GRACE = 15.0  # seconds between asking a job to stop and ending it; SLURM itself waits 30 by default
LOOK_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Task:
    """A job on its way to a node that has the same files and the same Python.

    Attributes:
        folder: of the sweep, absolute.
        directory: where the user started the sweep; relative paths in the arguments start there.
        arguments: of the single run.
        environment: the user's variables for this program; a queue may not pass them on.
        gets_gpus: the queue was asked for GPUs for it; None where that is left to its own options.
    """

    folder: Path
    job: Job
    directory: Path
    arguments: list[str]
    environment: dict[str, str]
    gets_gpus: bool | None = None


def run_task(task: Task) -> RunResult:
    """What the queue calls on the node: run the job to its end, whatever that is, and settle its record."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ray's request to stop; a worker may have it ignored
    place = task.folder / task.job.name
    place.mkdir(parents=True, exist_ok=True)
    forget_old_record(place)
    with (place / JOB_LOG).open("ab") as log:
        process = start(task, log.fileno())
    try:
        while process.poll() is None:  # not wait(): Ray's request to stop is seen between two calls only
            time.sleep(LOOK_EVERY)
    except BaseException as error:
        stop(process)
        result = settle(task.folder, task.job, None, timed_out=isinstance(error, Exception), stopped=True)
        if result.status == "timeout":  # submitit raises when the time is nearly over
            result.reason = "stopped at the time limit of the queue"
            result.write(place)
        raise
    end_group(process.pid)
    return settle(task.folder, task.job, process.returncode, timed_out=False, stopped=False)


def start(task: Task, log: int) -> subprocess.Popen[bytes]:
    """The job's process in a group of its own, which ends with us: it holds the other end of its standard input."""
    command = [sys.executable, "-u", "-X", "faulthandler", "-m", "resnet_lightning.sweep.node", *task.arguments]
    own = {key: value for key, value in os.environ.items() if key not in RENDEZVOUS}
    return subprocess.Popen(
        command,
        cwd=task.directory,
        env=own | task.environment | slot(task.gets_gpus, os.environ),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def slot(gets_gpus: bool | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The variable with which a job that was given GPUs ends where they are gone, and does not train on the CPU."""
    if gets_gpus is None:
        gets_gpus = bool(environment.get("SLURM_STEP_GPUS") or environment.get("SLURM_JOB_GPUS"))
    return {SLOT: f"the GPU of {platform.node()}"} if gets_gpus else {}


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it in order, or after ``GRACE`` at once."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    end_group(process.pid)


def main() -> int:
    """The process of the job."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # SLURM's word that time is nearly over, heard by run_task
    threading.Thread(target=end_with_launcher, args=(Connection(0, writable=False),), daemon=True).start()

    from resnet_lightning.cli import run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    exit_with(main())
