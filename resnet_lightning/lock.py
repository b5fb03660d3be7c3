"""One process per folder. The system drops the lock of a process that dies, so none is ever stale."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_lightning.config import ConfigError
from resnet_lightning.text import tell

HOLDER = ".holder"
ANOTHER_NAME = "give this sweep another name="


@contextmanager
def hold(folder: Path, advice: str) -> Iterator[None]:
    """Hold the folder of a run or of a sweep while the block runs.

    Where the process that held it before was killed, a line says so.

    Args:
        advice: what to do other than wait, for the message.

    Raises:
        ConfigError: another process holds it; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder, lock = folder / HOLDER, acquire(folder, advice)
    try:
        if killed := read(holder):
            tell(f"{folder} was held by {killed}, which ended without a word: taken over")
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {started}\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()  # the empty file stays: two processes could hold it, one its name and one its old content


def refuse_held(folder: Path, advice: str) -> None:
    """
    Raises:
        ConfigError: as ``hold``.
    """
    acquire(folder, advice).release()


def acquire(folder: Path, advice: str) -> FileLock:
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = read(folder / HOLDER) or "another process"
        raise ConfigError(f"{folder} is being run by {who}: wait for it, or {advice}.") from None
    return lock


def read(holder: Path) -> str:
    """Who holds the folder; empty where nobody says."""
    return holder.read_text(encoding="utf-8", errors="replace").strip() if holder.exists() else ""
