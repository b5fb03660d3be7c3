"""A sweep whose jobs run in the queue of a cluster; folders, records, resuming and report are those of one machine."""

import importlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from resnet_lightning.config import PLANNED, Config, ConfigError, device_count, key_of
from resnet_lightning.lock import ANOTHER_NAME, hold, hold_if_free
from resnet_lightning.result import FILE_NAME, FINISHED, RunResult, Status
from resnet_lightning.sweep.launch import prepare_data, report
from resnet_lightning.sweep.monitor import end_line
from resnet_lightning.sweep.node import Task
from resnet_lightning.sweep.outcome import close_row, read_or_new, unrecorded
from resnet_lightning.sweep.plan import Job, plan_jobs, refuse_other_images, single_run, write_plan
from resnet_lightning.text import count, tell

LOOK_EVERY = 1.0  # seconds
CANCEL_GRACE = 60.0  # seconds that a queue has to end cancelled jobs


@dataclass(frozen=True)
class Loss:
    """How a job ended that could not say so itself: the queue ended it, or never ran it."""

    status: Status
    reason: str


class Ticket(Protocol):
    """A job in the queue."""

    def poll(self) -> RunResult | Loss | None:
        """Its end; None while it waits or runs."""

    def cancel(self) -> None: ...


class Queue(Protocol):
    """What runs jobs on other machines.

    Attributes:
        name: how messages call it.
        threads: CPU threads of a job; None = the queue or the job's own ``threads=`` decides.
    """

    name: str
    threads: int | None

    def connect(self) -> None:
        """Raises ConfigError if the queue is not there."""

    def submit(self, folder: Path, tasks: Sequence[Task]) -> Sequence[Ticket]:
        """A ticket for each task.

        Raises:
            ConfigError: the queue refuses the jobs.
        """


def extra_package(module: str, extra: str) -> Any:
    """Import a package that comes with an extra of ours.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f'hydra/launcher={extra} needs the package {module}: pip install -e ".[{extra}]"') from error


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def gpus_per_job(configs: Sequence[Config]) -> int:
    """How many GPUs the largest job uses where there are GPUs."""
    counts = [device_count(config.devices) or 1 for config in configs if config.accelerator not in ("cpu", "mps")]
    return max(counts, default=0)


def run_on_cluster(folder: Path, jobs: Sequence[tuple[Sequence[str], Config]], command: str, queue: Queue) -> int:
    """Run what is missing in the queue, then write the comparison of all.

    Returns:
        the exit code: 0 if every job is done, 1 if not, 130 or 143 if the user stopped the sweep.

    Raises:
        ConfigError: another launcher holds the sweep, a folder holds other settings, the queue refuses the jobs.
        DataError: data are missing or damaged; nothing has been submitted.
    """
    refuse_keys_of_one_machine(jobs, queue)
    queue.connect()  # before our signal handlers: Ray sets its own
    with hold(folder, ANOTHER_NAME):
        planned = plan_jobs(folder, jobs)
        refuse_other_images(folder, planned)
        write_plan(folder, command, planned)
        waiting = [job for job in planned if not job.finished]
        before = len(planned) - len(waiting)
        already = f", {before} already finished" if before else ""
        tell(f"{folder}: {count(len(planned), 'job')}{already}, {len(waiting)} to run with {queue.name}")
        stop_signal = None
        if waiting:
            prepare_data([job.config for job in waiting])
            stop_signal = Round(folder, waiting, queue).run()
        compared = report(folder)
    if stop_signal is not None:
        return 128 + stop_signal
    return 0 if compared and all(job.status == "done" for job in planned) else 1


def refuse_keys_of_one_machine(jobs: Sequence[tuple[Sequence[str], Config]], queue: Queue) -> None:
    for overrides, _ in jobs:
        for override in overrides:
            key = key_of(override)
            if key.partition(".")[0] == "launcher":
                raise ConfigError(f"{key} is for sweeps on one machine; with {queue.name}, use hydra.launcher.*")


def make_task(folder: Path, job: Job, threads: int | None) -> Task:
    arguments = single_run(folder, job)
    threads = threads and max(1, threads // (device_count(job.config.devices) or 1))  # each process of it has its own
    if threads is not None and job.config.threads is None and job.config.launcher.threads_per_job is None:
        arguments.append(f"threads={threads}")
    own = {key: value for key, value in os.environ.items() if key.startswith("RESNET_LIGHTNING_")}
    return Task(folder.resolve(), job, Path.cwd(), arguments, own | {PLANNED: job.digest})


@dataclass
class StopRequest:
    """The first SIGINT or SIGTERM is noted, the second raises KeyboardInterrupt.

    The end of the terminal ends this process; jobs of SLURM stay in their queue, those of Ray end with it.
    """

    signum: int | None = None

    @contextmanager
    def listen(self) -> Iterator[None]:
        previous = {s: signal.signal(s, self.handle) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise KeyboardInterrupt
        self.signum = signum
        tell(f"\n{signal.Signals(signum).name}: cancelling the jobs; a second signal does not wait for them.")


@dataclass
class Round:
    """Submits jobs and waits for all of them."""

    folder: Path
    jobs: Sequence[Job]
    queue: Queue
    stop: StopRequest = field(default_factory=StopRequest)
    cancelled: float | None = None  # when

    def run(self) -> int | None:
        """Returns the signal with which the user stopped it."""
        for job in self.jobs:
            job.attempts += 1
        with self.stop.listen():
            tickets = self.queue.submit(self.folder, [make_task(self.folder, j, self.queue.threads) for j in self.jobs])
            left = dict(enumerate(zip(self.jobs, tickets, strict=True)))
            while left:
                for number, (job, ticket) in list(left.items()):
                    end = self.end(ticket)
                    if end is not None:
                        del left[number]
                        self.note(job, end, len(left))
                if left:
                    self.cancel_if_asked([ticket for _, ticket in left.values()])
                    time.sleep(LOOK_EVERY)
        return self.stop.signum

    def cancel_if_asked(self, tickets: Sequence[Ticket]) -> None:
        if self.stop.signum is not None and self.cancelled is None:
            self.cancelled = time.monotonic()
            for ticket in tickets:
                ticket.cancel()

    def end(self, ticket: Ticket) -> RunResult | Loss | None:
        end = ticket.poll()
        if end is None and self.cancelled is not None and time.monotonic() - self.cancelled > CANCEL_GRACE:
            return Loss("killed", f"{self.queue.name} did not answer after the sweep was stopped")
        return end

    def note(self, job: Job, end: RunResult | Loss, left: int) -> None:
        """Record and say the end of a job."""
        try:
            result = end if isinstance(end, RunResult) else self.record(job, end)
        except OSError as error:
            result = unrecorded(self.folder / job.name, job, error)
        if result is not None:
            job.status = result.status
            tell(f"{end_line(self.folder, job, result)}; {left} left")

    def record(self, job: Job, loss: Loss) -> RunResult | None:
        """Write a loss into the job's record; None if the sweep was stopped before the job began."""
        place = self.folder / job.name
        stopped = self.stop.signum is not None
        if stopped and not (place / FILE_NAME).exists():
            return None
        with hold_if_free(place) as free:
            result = read_or_new(place, job)
            was_running = result.status == "running"
            if stopped and not was_running:
                return result if result.status in (*FINISHED, "interrupted") else None
            if result.status in FINISHED:
                return result
            if stopped:
                loss = Loss("interrupted", "stopped with the sweep")
            result.status, result.reason, result.exit_code = loss.status, loss.reason, 1
            result.attempts = max(result.attempts, job.attempts)
            if free:  # else somebody else runs it by now: the record is theirs
                with suppress(OSError):  # a full disk must not end the jobs that run; the line of this one says its end
                    result.write(place)
                if was_running:
                    close_row(place, job, result)
        return result
