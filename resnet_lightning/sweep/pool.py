"""The queue: every slot runs one job at a time, and gets the next one when it is free."""

import os
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from resnet_lightning.result import RunResult
from resnet_lightning.signals import stop_signals
from resnet_lightning.sweep.outcome import (
    RETRIED,
    forget_old_record,
    may_be_of_the_gpu,
    not_started,
    settle,
    unrecorded,
)
from resnet_lightning.sweep.plan import JOB_LOG, Job, single_run
from resnet_lightning.sweep.process import JobProcess, process_context
from resnet_lightning.sweep.slots import Slot
from resnet_lightning.text import tell

GRACE = 20.0  # seconds between asking a job to stop and ending it
START_FAILURES = 3  # in a row, after which a device is taken for broken
LONGEST_PAUSE = 60.0  # seconds before another attempt
LOOK_EVERY = 0.5  # seconds
SHOW_CURSOR = "\x1b[?25h"  # the live table has hidden it


class Watcher(Protocol):
    """Hears what happens in the pool."""

    def started(self, job: Job, slot: Slot) -> None: ...
    def ended(self, job: Job, result: RunResult, seconds: float) -> None: ...
    def tick(self) -> None: ...
    def say(self, text: str) -> None: ...


class StopRequest:
    """Within ``with``: the first signal to stop is noted, the second ends all jobs and this process at once."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        self._previous = {s: signal.signal(s, self._handle) for s in stop_signals()}
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.pool.stop_signal is not None:
            for process in self.pool.running.values():
                process.stop(signal.SIGKILL)
            if sys.stdout.isatty():
                tell(SHOW_CURSOR)
            os._exit(128 + signum)
        self.pool.stop_signal = signum
        tell(f"\n{signal.Signals(signum).name}: no new jobs, running ones stop cleanly; a second signal stops at once.")


class Pool:
    """Runs jobs on slots until none is left.

    A job that fails before its first step, perhaps for its GPU, is tried on another one. A GPU on which that happens
    several times in a row is taken for broken and gets no more jobs; when none is left, the sweep ends. A job that has
    no room on a GPU, which others may fill, has another attempt on another one, and alone where jobs shared the first.

    Args:
        folder: of the sweep.
        timeout: seconds for one job; None = no limit.
        retries: further attempts for a job that failed, crashed or was killed.
    """

    def __init__(
        self, folder: Path, slots: Sequence[Slot], timeout: float | None, retries: int, watcher: Watcher
    ) -> None:
        self.folder, self.slots, self.timeout, self.retries, self.watcher = folder, slots, timeout, retries, watcher
        self.context = process_context()
        self.running: dict[int, JobProcess] = {}  # number of the job -> process
        self.stop_signal: int | None = None
        self._timed_out: set[int] = set()
        self._not_before: dict[int, float] = {}  # number of a job that is tried again -> when
        self._start_failures: Counter[str] = Counter()  # name of a slot -> in a row
        self._moved: set[int] = set()  # numbers of jobs that have been given a second device
        self._shared: set[int] = set()  # numbers of jobs that have had others beside them, on a GPU
        self._alone: set[int] = set()  # numbers of those that had no room there
        self._failed_on: defaultdict[int, set[str]] = defaultdict(set)  # number of a job -> slots where it never began

    def run(self, jobs: Sequence[Job]) -> None:
        """Run all jobs; ends early, in order, when the user asks to stop."""
        queue, free = deque(range(len(jobs))), deque(self.slots)
        with StopRequest(self):
            while self.running or (queue and self.stop_signal is None):
                if self.stop_signal is None:
                    self._fill(queue, free, jobs)
                self._watch()
                for number in [n for n, process in self.running.items() if not process.running]:
                    free.append(self.running[number].slot)
                    if self._end(number, jobs[number]):
                        queue.append(number)
                if queue and not self.running and all(self._broken(slot) for slot in self.slots):
                    self.watcher.say("No device is left for the waiting jobs; the same command again runs them.")
                    return

    def _fill(self, queue: deque[int], free: deque[Slot], jobs: Sequence[Job]) -> None:
        for slot in list(free):
            if self.stop_signal is not None:  # while a job was being started
                return
            number = next((n for n in queue if self._due(n) and self._takes(slot, n)), None)
            if number is not None:
                queue.remove(number)
                if self._start(number, jobs[number], slot):
                    free.remove(slot)
                elif self._try_again(number, jobs[number]):
                    queue.append(number)

    def _broken(self, slot: Slot) -> bool:
        return self._start_failures[slot.name] >= START_FAILURES

    def _working(self) -> set[str]:
        """Names of the slots that still get jobs."""
        return {slot.name for slot in self.slots if not self._broken(slot)}

    def _takes(self, slot: Slot, number: int) -> bool:
        """Whether a job may go there: not where it failed at its start, as long as there is another device."""
        beside = self._on(slot)
        if beside and (number in self._alone or beside & self._alone):
            return False
        untried = self._working() - self._failed_on[number]
        return slot.name in untried if untried else not self._broken(slot)

    def _due(self, number: int) -> bool:
        return time.monotonic() >= self._not_before.get(number, 0.0)

    def _start(self, number: int, job: Job, slot: Slot) -> bool:
        """False where that fails, as on a full disk: others may still end well."""
        place = self.folder / job.name
        job.attempts += 1
        self.watcher.started(job, slot)
        try:
            forget_old_record(place)
            arguments = single_run(self.folder, job)
            if slot.threads is not None and job.config.threads is None and job.config.launcher.threads_per_job is None:
                arguments.append(f"threads={slot.threads}")
            self.running[number] = JobProcess(self.context, arguments, slot, place / JOB_LOG, job.digest)
            self._note_neighbours(number)
        except (OSError, EOFError) as error:  # EOFError: the fork server has fallen; the next start brings it up again
            result = not_started(self.folder, job, error)
            job.status = result.status
            self.watcher.ended(job, result, 0.0)
            return False
        return True

    def _watch(self) -> None:
        """Wait for an end, at most ``LOOK_EVERY``; stop what is over its time or shall stop with the sweep."""
        wait([process.process.sentinel for process in self.running.values()], LOOK_EVERY)
        now = time.monotonic()
        for number, process in self.running.items():
            if not process.running:
                continue
            if process.asked_to_stop is not None:
                if now - process.asked_to_stop > GRACE:
                    process.stop(signal.SIGKILL)
            elif self.stop_signal is not None:
                process.stop(signal.SIGINT)
            elif self.timeout is not None and now - process.started > self.timeout:
                self._timed_out.add(number)
                process.stop(signal.SIGTERM)
        self.watcher.tick()

    def _end(self, number: int, job: Job) -> bool:
        """Settle an ended job; True if it shall be tried again."""
        process = self.running.pop(number)
        process.close()
        result = self._settled(job, process, number in self._timed_out)
        job.status = result.status
        self._timed_out.discard(number)
        self.watcher.ended(job, result, time.monotonic() - process.started)
        if self.stop_signal is not None or job.status not in RETRIED:
            self._start_failures[process.slot.name] = 0
            has_room = self.stop_signal is None and job.status == "oom" and self._may_have_room(number, process.slot)
            return has_room and self._try_again(number, job, move=True)
        move = False
        if process.slot.visible_devices is not None and may_be_of_the_gpu(result, process.exit_code):
            move = self._start_failed(number, process.slot)
        else:
            self._start_failures[process.slot.name] = 0
        return self._try_again(number, job, move)

    def _may_have_room(self, number: int, slot: Slot) -> bool:
        """Whether a job that ran out of memory may fit elsewhere, or alone; True once for a job."""
        if slot.visible_devices is None or number in self._moved:
            return False
        others = self._working() - {slot.name}
        if not (others or number in self._shared):
            return False
        if number in self._shared:
            self._alone.add(number)
        self._failed_on[number].add(slot.name)
        self._moved.add(number)
        return True

    def _on(self, slot: Slot) -> set[int]:
        """Numbers of the jobs that run on the device of a slot."""
        return {n for n, process in self.running.items() if process.slot.visible_devices == slot.visible_devices}

    def _note_neighbours(self, number: int) -> None:
        """At the start of a job: when it is settled, those that took its memory may have ended as well."""
        beside = self._on(self.running[number].slot)
        self._shared.discard(number)
        if len(beside) > 1:
            self._shared |= beside

    def _try_again(self, number: int, job: Job, move: bool = False) -> bool:
        """Whether a job has another attempt, which then waits a little; ``move``: on another device, for free."""
        if move or job.attempts - (number in self._moved) <= self.retries:
            self._not_before[number] = time.monotonic() + min(2.0 ** min(job.attempts - 1, 10), LONGEST_PAUSE)
            return True
        return False

    def _settled(self, job: Job, process: JobProcess, timed_out: bool) -> RunResult:
        stopped, neighbours = self.stop_signal is not None, len(self._on(process.slot))
        try:
            return settle(self.folder, job, process.exit_code, timed_out, stopped, neighbours)
        except OSError as error:
            return unrecorded(self.folder / job.name, job, error)

    def _start_failed(self, number: int, slot: Slot) -> bool:
        """Note that a job failed before its first step; True if it is the job's first time, to be tried elsewhere."""
        self._start_failures[slot.name] += 1
        self._failed_on[number].add(slot.name)
        if self._broken(slot):
            self.watcher.say(
                f"{slot.name}: {START_FAILURES} jobs in a row failed at their start: it gets no more jobs."
            )
        others = self._working() - {slot.name}
        if not others or number in self._moved:
            return False
        self._moved.add(number)
        return True
