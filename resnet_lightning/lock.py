"""One process per folder. The system drops the lock of a process that dies, so none is ever stale.

But on a file system without locks, as Lustre may be mounted: there filelock takes the existence of a file for one.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_lightning.config import ConfigError
from resnet_lightning.text import tell

HOLDER = ".holder"
SILENT = 20.0  # seconds of waiting that are not worth a line
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
            tell(f"{folder} was held by {killed}, which ended without releasing it: taken over")
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


@contextmanager
def hold_if_free(folder: Path) -> Iterator[bool]:
    """Hold a folder to change the record of a run that has ended; False where another process runs it."""
    lock = None
    try:
        lock = acquire(folder, "")
    except ConfigError:
        yield False
        return
    except OSError:  # there is no folder, or nothing can be written in it: whoever tries will say so
        pass
    try:
        yield True
    finally:
        if lock is not None:
            lock.release()


def acquire(folder: Path, advice: str) -> FileLock:
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = read(folder / HOLDER) or "another process"
        told = f"{folder} is being run by {who}: wait for it, or {advice}.{if_killed(Path(lock.lock_file))}"
        raise ConfigError(told) from None
    except OSError as error:  # a shared folder whose locks nobody serves: the system does not say where
        raise OSError(error.errno, error.strerror or str(error), lock.lock_file) from error
    return lock


@contextmanager
def wait_for(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs, however long another process holds it; after a while a line says so."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=SILENT)
    except Timeout:
        tell(f"waiting for the process that holds {path}.{if_killed(path)}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def if_killed(lock: Path) -> str:
    """What to do where nothing but a file is the lock: only then it has a content. Empty where the system has locks."""
    with suppress(FileNotFoundError):  # it has just been released
        if lock.stat().st_size > 0:
            return f" If that one has been killed, delete {lock}: this file system has no locks."
    return ""


def read(holder: Path) -> str:
    """Who holds the folder; empty where nobody says."""
    return holder.read_text(encoding="utf-8", errors="replace").strip() if holder.exists() else ""
