"""One job, one fresh process: started from a fork server that has imported torch already.

The server touches no GPU and starts no threads, so that each job gets its own CUDA_VISIBLE_DEVICES before any CUDA
call. On a Mac each job imports torch itself: Apple's GPU does not work in a forked process (pytorch #178037). In the
process runs the command of the single run, with the ``sys.argv`` of the single run: further processes that Lightning
starts for several devices start this job, not the sweep.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_lightning.config import PLANNED, SLOT
from resnet_lightning.sweep.slots import Slot, visible

if TYPE_CHECKING:  # Windows has no fork server
    from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess

    Context = ForkServerContext | SpawnContext

START_METHOD = "spawn" if sys.platform in ("darwin", "win32") else "forkserver"
RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT")  # of several processes; with the user's, jobs would meet each other's
LOST = 255  # exit code of a job whose fork server has ended: nobody hears of its own end any more
PRELOAD = ["resnet_lightning.cli", "resnet_lightning.run", "torchvision", "resnet_lightning.training.figures"]


def process_context() -> "Context":
    if START_METHOD == "spawn":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def start_server(context: "Context") -> None:
    """Start the fork server where there is to be one and it does not run: it then imports torch, while we go on.

    It is of our process group: Ctrl-C on the terminal, or its end, must not end it, on which it would take a job for
    failed. So it inherits that SIGINT and SIGHUP are blocked; ours wait until we hear them again, where ignored ones
    would be lost.
    """
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            resource_tracker.ensure_running()  # the server would start it, which ends with SIGINT no longer blocked
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class JobProcess:
    """A running job, with all the processes that it starts (they share its process group).

    Args:
        arguments: of the single run.
        log: file that takes its output; what is in it stays.
        planned: hash of the settings that it shall have.
    """

    def __init__(self, context: "Context", arguments: list[str], slot: Slot, log: Path, planned: str = "") -> None:
        self.slot = slot
        self.asked_to_stop: float | None = None  # when
        log.parent.mkdir(parents=True, exist_ok=True)
        child_end, self._alive = context.Pipe(duplex=False)
        self.process: ForkServerProcess | SpawnProcess = context.Process(
            target=run_job, args=(arguments, slot, str(log), child_end, planned)
        )
        start_server(context)
        self.process.start()  # waits until the server has imported what it preloads
        self.started = time.monotonic()
        child_end.close()

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """Minus the number of the signal where one ended it."""
        return self.process.exitcode

    def stop(self, signum: int) -> None:
        """Ask it to end in order (SIGINT, SIGTERM) or end it and its processes at once (SIGKILL)."""
        if self.asked_to_stop is None:
            self.asked_to_stop = time.monotonic()
        pid = self.process.pid
        if pid is not None and self.running:
            try:
                if signum == signal.SIGKILL:
                    os.killpg(pid, signum)
                else:
                    os.kill(pid, signum)
            except (ProcessLookupError, PermissionError):  # it has just ended; what macOS says of the dead
                return

    def close(self) -> None:
        """Wait for the end, and end what the job has left behind: a process that fell leaves others on their GPUs."""
        self.process.join()
        self._alive.close()
        end_group(self.process.pid)
        if self.exit_code == LOST:
            wait_for_end(self.process.pid)


def end_group(leader: int | None) -> None:
    """End what is left of a process group whose first process has ended."""
    if leader is not None:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left; what macOS says of the dead
            os.killpg(leader, signal.SIGKILL)


def wait_for_end(leader: int | None, seconds: float = 10.0) -> None:
    """Of a process group that has been killed: until the system has removed it, it holds the lock of its run."""
    deadline = time.monotonic() + seconds
    with suppress(ProcessLookupError, PermissionError):
        while leader is not None and time.monotonic() < deadline:
            os.killpg(leader, 0)
            time.sleep(0.05)


def run_job(arguments: list[str], slot: Slot, log: str, alive: Connection, planned: str) -> None:
    """What the process does: its own group, its log, its devices; then the single run."""
    os.setsid()  # Ctrl-C on the terminal reaches the launcher, which tells the jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=end_with_launcher, args=(alive,), daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    for stream in (1, 2):
        os.dup2(output, stream)
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()  # a crash in compiled code leaves the Python stack in the log
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if slot.visible_devices is not None:
        os.environ.update(visible(slot.visible_devices))
    if slot.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, slot.cores)
    for variable in RENDEZVOUS:
        os.environ.pop(variable, None)
    sys.argv = [sys.argv[0], *arguments]

    from resnet_lightning.cli import run_command
    from resnet_lightning.text import exit_with

    os.environ[PLANNED] = planned
    if slot.needs_gpu:
        os.environ[SLOT] = slot.name
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})  # blocked by the server
    exit_with(run_command(arguments))


def end_with_launcher(alive: Connection) -> None:
    """End this process and those it started when the launcher is gone, however it went.

    The launcher holds the other end of the pipe. PR_SET_PDEATHSIG would not do: the parent of a job is the fork server.
    """
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os.killpg(os.getpid(), signal.SIGKILL)
