"""What became of a job: its record if it wrote one, else what its end says. Never its exit code alone: a process that
was told to go may end with 0 and no result."""

import re
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from resnet_lightning import hparams
from resnet_lightning.config import logger_names, plain_settings
from resnet_lightning.lock import hold_if_free
from resnet_lightning.result import FINISHED, RunResult, Status
from resnet_lightning.sweep.plan import JOB_LOG, Job
from resnet_lightning.sweep.process import LOST
from resnet_lightning.text import count, file_error

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
REFUSED = 2  # exit code of a run whose settings cannot be
SENTENCES = (1, REFUSED)  # exit codes with which the command ends after one; an old attempt's may be in the log too
LAST_LINES = 20  # of a log, where that of the last attempt is
RETRIED = ("failed", "crashed", "killed")  # out of memory, timeout and divergence would come again
OF_A_GPU = re.compile(r"cuda|cudnn|cublas|nccl|nvml|\bgpus?\b|\bhip\b", re.IGNORECASE)


def settle(
    folder: Path, job: Job, exit_code: int | None, timed_out: bool, stopped: bool, neighbours: int = 0
) -> RunResult:
    """Make the record of an ended job say how it ended, and return it.

    Args:
        folder: of the sweep. Where somebody else runs the job by now, the record is theirs and is left alone.
        timed_out: the launcher stopped it for its time.
        stopped: the launcher stopped it since the user asked.
        neighbours: how many other jobs run on its device.
    """
    place = folder / job.name
    with hold_if_free(place) as free:
        if free:
            return settle_own(place, job, exit_code, timed_out, stopped, neighbours)
    reason = last_error(place / JOB_LOG) or "another process runs it"
    return failed(job, reason)


def settle_own(
    place: Path, job: Job, exit_code: int | None, timed_out: bool, stopped: bool, neighbours: int
) -> RunResult:
    result = read_or_new(place, job)
    recorded = replace(result)
    ended_itself = result.status != "running"
    timed_out = timed_out and result.status not in FINISHED  # it may have ended by itself meanwhile
    if timed_out:
        result.status, result.reason, result.exit_code = "timeout", "stopped after launcher.job_timeout", 1
    elif not ended_itself:
        result.status, result.reason = verdict(exit_code, stopped)
        result.exit_code = 1
        if result.status == "failed" and exit_code in SENTENCES:
            result.reason = last_error(place / JOB_LOG) or result.reason
    if result.status == "oom" and neighbours:
        result.reason = (
            f"{result.reason}; {count(neighbours, 'other job')} shared the memory (launcher.jobs_per_device)"
        )
    result.attempts = max(result.attempts, job.attempts)  # a run counts itself, unless it fell before it could
    if result != recorded:  # a full disk is no matter where there is nothing to add
        result.write(place)
    if not ended_itself or timed_out:
        close_row(place, job, result)
    return result


def close_row(place: Path, job: Job, result: RunResult) -> None:
    """Have TensorBoard show as failed what could not say so itself."""
    if "tensorboard" in logger_names(job.config.logger):
        settings = hparams.columns(job.config, result.choices, job.overrides)
        with suppress(OSError):  # the record says it
            hparams.mark_failed(place, settings, hparams.group_name(job.config))


def unrecorded(place: Path, job: Job, error: OSError) -> RunResult:
    """The end of a job whose record can be neither read nor written, as on a full disk: other jobs go on."""
    said = f"no record of its end: {file_error(error, str(place))}"
    return replace(failed(job, said), startup_seconds=0.0)


def failed(job: Job, reason: str) -> RunResult:
    """The end of a job without a record of its own."""
    return RunResult("failed", job.overrides, {}, job.config.seed, reason=reason)


def read_or_new(place: Path, job: Job) -> RunResult:
    """
    Raises:
        OSError: there is a record that cannot be read; what it says is not lost.
    """
    try:
        return RunResult.read(place)
    except (FileNotFoundError, ValueError):
        place.mkdir(parents=True, exist_ok=True)
        return RunResult("running", job.overrides, plain_settings(job.config), job.config.seed, name=job.name)


def last_error(log: Path) -> str | None:
    """The sentence with which a job ended before it could write a record: refused settings, a lost device."""
    if not log.exists():
        return None
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return next((line.removeprefix("Error: ") for line in reversed(last) if line.startswith("Error: ")), None)


def verdict(exit_code: int | None, stopped: bool) -> tuple[Status, str]:
    """Status and reason for a process that left no final record."""
    if stopped:
        return "interrupted", "stopped with the sweep"
    if exit_code is not None and exit_code < 0:
        name = signal_name(-exit_code)
        if -exit_code in CRASHES:
            return "crashed", f"ended by signal {-exit_code} ({name})"
        hint = ": perhaps the system ran out of memory" if -exit_code == signal.SIGKILL else ""
        return "killed", f"ended by signal {-exit_code} ({name}){hint}"
    if exit_code == LOST:
        return "killed", "ended without a result, as when the process that starts the jobs (fork server) is killed"
    return "failed", f"ended without a result (exit code {exit_code})"


def signal_name(number: int) -> str:
    """``SIGKILL``; real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "no name"


def may_be_of_the_gpu(result: RunResult, exit_code: int | None) -> bool:
    """Whether a GPU may have made a job fail before its first step: a crash, or words about CUDA; not a full disk, a
    kill for want of memory, a logger whose server does not answer, a setting that was refused."""
    if result.startup_seconds is not None or exit_code == REFUSED:
        return False
    reason = re.sub(r"\S*/\S*", "", result.reason or "")  # without paths: a sweep may be called gpu
    return result.status == "crashed" or OF_A_GPU.search(reason) is not None


def not_started(folder: Path, job: Job, error: OSError | EOFError) -> RunResult:
    """The end of a job whose process could not be started: no room for its files, no more memory for a process."""
    place = folder / job.name
    said = file_error(error, str(place)) if isinstance(error, OSError) else "the process that starts them has ended"
    reason = f"not started: {said.rstrip('.')}"
    result = failed(job, reason)
    with suppress(OSError), hold_if_free(place) as free:
        result = replace(read_or_new(place, job), status="failed", exit_code=1, reason=reason)
        if free:
            result.write(place)
    return result


def mark_unavailable(folder: Path, job: Job, reason: str) -> None:
    """Say so in the record of a job that this machine cannot run; what it reached elsewhere stays."""
    with hold_if_free(folder / job.name) as free:
        if free:
            result = read_or_new(folder / job.name, job)
            result.status, result.reason, result.exit_code = "unavailable", reason, 1
            result.write(folder / job.name)
    job.status = "unavailable"


def forget_old_record(place: Path) -> None:
    """Before another attempt: the record of the last one must not be taken for that of this one.

    One that is finished stays: somebody else has run the job since it was planned, and the run will say so. So does
    that of a run which somebody else has under way.

    Raises:
        OSError: it cannot be read or written.
    """
    with hold_if_free(place) as free:
        try:
            old = RunResult.read(place)
        except (FileNotFoundError, ValueError):
            return
        if free and old.status not in FINISHED:
            replace(old, status="running", reason=None, exit_code=1, startup_seconds=None).write(place)
