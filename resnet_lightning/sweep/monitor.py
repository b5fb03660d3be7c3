"""What a sweep says while it runs: one live table on a terminal, a line for each start and end otherwise."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from resnet_lightning.config import trained_epochs
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.plan import JOB_LOG, Job
from resnet_lightning.sweep.slots import Slot
from resnet_lightning.text import drop_output, duration, percent, tell


@dataclass
class Progress:
    """A running job, as far as its ``metrics.csv`` tells."""

    job: Job
    slot: Slot
    start: float = field(default_factory=time.monotonic)
    before: int = 0  # epochs of earlier attempts

    def epoch_and_accuracy(self, folder: Path) -> tuple[int, str]:
        """Finished epochs and the validation accuracy of the last one; ``98.80 % (test)`` where nothing is held out."""
        try:
            header, *rows = (folder / self.job.name / "metrics.csv").read_text(encoding="utf-8").splitlines()
            last = dict(zip(header.split(","), rows[-1].split(","), strict=True))
            held_out = "val_accuracy" in last
            accuracy = percent(float(last["val_accuracy" if held_out else "test_accuracy"]))
            return int(last["epoch"]), accuracy if held_out else f"{accuracy} (test)"
        except (OSError, ValueError, IndexError, KeyError):
            return 0, ""


def end_line(folder: Path, job: Job, result: RunResult) -> str:
    """How a job of the sweep in ``folder`` ended."""
    said = f"{result.reason}; see {folder / job.name / JOB_LOG}"
    if result.status == "done" and result.test:
        said = f"test accuracy {percent(result.test['accuracy'])}"
    return f"{result.status:<8} {job.label}: {said}"


class Output(Console):
    """Standard output, as long as somebody reads it: a sweep goes on without."""

    def on_broken_pipe(self) -> None:  # rich would end the process
        self.quiet = True
        with suppress(OSError):
            drop_output()


class Monitor:
    """Shows a sweep.

    Args:
        folder: of the sweep.
        total: jobs to run, without those that were finished before.

    Attributes:
        slots: how many run at a time.
    """

    def __init__(self, folder: Path, total: int) -> None:
        self.folder, self.total, self.slots = folder, total, 1
        self.running: dict[str, Progress] = {}
        self.seconds: list[float] = []  # of every attempt that ended
        self.done: set[str] = set()  # names of ended jobs that nobody has started again
        self.start = time.monotonic()
        self.console = Output(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if sys.stdout.isatty() else None

    def __enter__(self) -> "Monitor":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            with suppress(OSError):
                self.live.stop()

    def started(self, job: Job, slot: Slot) -> None:
        self.done.discard(job.name)
        progress = self.running[job.name] = Progress(job, slot)
        progress.before, _ = progress.epoch_and_accuracy(self.folder)
        if not self.live:
            again = f" (attempt {job.attempts})" if job.attempts > 1 else ""
            self.say(f"start    {job.label} on {slot.name}{again}")

    def ended(self, job: Job, result: RunResult, seconds: float) -> None:
        del self.running[job.name]
        self.done.add(job.name)
        self.seconds.append(seconds)
        self.say(f"{end_line(self.folder, job, result)}, {duration(seconds)}{self.time_left()}")

    def say(self, text: str) -> None:
        if self.live is None:  # rich would say lines that a full disk has refused once more with each new one
            tell(text)
            return
        with suppress(OSError):
            self.console.print(text, markup=False)

    def tick(self) -> None:
        if self.live:
            with suppress(OSError):
                self.live.update(self.table(), refresh=True)

    def time_left(self) -> str:
        """From the mean of the ended jobs; nothing before the first has ended, or after the last."""
        left = self.total - len(self.done)
        if not self.seconds or left <= 0:
            return ""
        mean = sum(self.seconds) / len(self.seconds)
        waiting = max(0, left - len(self.running))
        of_running = max((mean - (time.monotonic() - p.start) for p in self.running.values()), default=0.0)
        return f"; {left} left, about {duration(max(of_running, 0) + mean * waiting / self.slots)}"

    def table(self) -> Table:
        elapsed = duration(time.monotonic() - self.start)
        ended = f"{len(self.done)} of {self.total} jobs ended"
        table = Table(title=f"{self.folder.name}: {ended}, {elapsed}{self.time_left()}")
        for heading in ("job", "device", "epoch", "validation accuracy", "time left"):
            table.add_column(heading)
        for progress in self.running.values():
            table.add_row(*self.row(progress))
        return table

    def row(self, progress: Progress) -> Sequence[str]:
        epoch, accuracy = progress.epoch_and_accuracy(self.folder)
        epochs = trained_epochs(progress.job.config)
        spent = time.monotonic() - progress.start
        own = epoch - progress.before
        left = duration(spent / own * (epochs - epoch)) if own > 0 else ""
        return (
            progress.job.label,
            progress.slot.name,
            f"{epoch}/{epochs}",
            accuracy,
            left,
        )
