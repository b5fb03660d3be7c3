"""One launcher per sweep. The system drops the lock of a process that dies, so none is ever stale."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_lightning.config import ConfigError


@contextmanager
def sweep_lock(folder: Path) -> Iterator[None]:
    """Hold the sweep while the block runs.

    Raises:
        ConfigError: another launcher holds it; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / ".launcher"
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = holder.read_text(encoding="utf-8").strip() if holder.exists() else "another process"
        raise ConfigError(f"{folder} is being run by {who}: wait for it, or give this sweep another name=.") from None
    try:
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {started}\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
