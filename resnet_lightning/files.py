"""Files that are there as a whole or not at all, whatever happens while they are written."""

import errno
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

HALF_WRITTEN = re.compile(r"\..+\.\d+\.tmp")  # .name.process.tmp
INNERMOST_LIST = re.compile(r"\[[^\[\]{}\"]*\]")  # of numbers: it takes one line


@contextmanager
def atomic_write(path: Path, mode: str = "wb", keep: Path | None = None, **options: Any) -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` that takes its place when the block ends, and not at all when it raises.

    A reader, or a machine that loses power, finds the old content or the new one, never a part.

    Args:
        keep: where the old file goes; None = nowhere.

    Raises:
        OSError: with the path, also where the system names none (a full disk).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except OSError as error:
        discard(temporary)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        discard(temporary)
        raise
    sync(path.parent)


def discard(path: Path) -> None:
    """Remove a file if there is one and if it can be removed."""
    with suppress(OSError):
        path.unlink()


def remove_half_written(folder: Path) -> None:
    """Remove what a process that was killed in ``atomic_write`` has left in ``folder``."""
    for path in folder.glob(".*.tmp"):
        if HALF_WRITTEN.fullmatch(path.name):
            discard(path)


def sync(path: Path) -> None:
    """Make what was written to a file, or renamed in a folder, outlive a power cut, where the system can (POSIX).

    Raises:
        OSError: with the path.
    """
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:  # shared folders may not know of it; the rename is done
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            os.close(descriptor)


def put_aside(path: Path) -> None:
    """Keep a damaged file for whoever wants to know why, where nobody takes it for a good one."""
    path.replace(path.with_name(f"{path.name}.bad"))


def write_json(path: Path, content: Any) -> None:
    with atomic_write(path, "w", encoding="utf-8") as file:
        text = json.dumps(without_nan(content), indent=1, allow_nan=False)
        file.write(INNERMOST_LIST.sub(lambda match: " ".join(match[0].split()), text) + "\n")


def without_nan(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
