"""Numbers, and errors of the system, as people read them, the same everywhere."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota left, no larger file allowed


def duration(seconds: float) -> str:
    """``8.3 s``, ``2 min 05 s``, ``3 h 07 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """0.9905 -> ``99.05 %``"""
    return f"{100 * share:.2f} %"


def count(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``, ``60,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tell(text: str) -> None:
    """Print to whoever still reads: an output that has ended (``| tee`` after Ctrl-C) or is full ends no work."""
    with suppress(OSError, RuntimeError):  # RuntimeError: a signal has come in the middle of another print
        try:
            print(text, flush=True)
        except BrokenPipeError:
            drop_output()


def give_streams() -> None:
    """Python has None for an output that was closed before it started (``>&-``): what goes there is dropped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


def drop_output() -> None:
    """Nobody reads standard output any more: what is in its buffer would be an error at the end of Python."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_with(code: int) -> NoReturn:
    """End the program; Python would turn an exit code into 120 where the last lines find no reader, or no room."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        drop_output()
    if code and is_one_of_several():
        with suppress(OSError, AttributeError):  # closed before the start it is None
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def is_one_of_several() -> bool:
    """Whether this process has a connection to others of its run.

    Where it ends alone, NCCL closes the connection only together with them: at its end, Python would wait for processes
    that wait for this one.
    """
    torch = sys.modules.get("torch")
    return bool(torch and torch.distributed.is_available() and torch.distributed.is_initialized())


def file_error(error: OSError, place: str = "A file") -> str:
    """``outputs/a cannot be read or written (Permission denied).``; what is not about a file as the system says it.

    Args:
        place: what could not be written where the system does not say.
    """
    if error.strerror is None or (error.filename is None and error.errno not in NO_ROOM):
        return str(error) or type(error).__name__
    return f"{error.filename or place} cannot be read or written ({error.strerror})."
