"""One start of a run, on top of those before it in the same folder; and what its end is called.

A run that was stopped, in whatever way, goes on from its last checkpoint when the same command starts it again. Its
record adds up: ``attempts`` counts the starts, ``seconds`` is the time of all of them.
"""

import errno
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.utilities.exceptions import SIGTERMException

from resnet_lightning.config import FIRST, DataError
from resnet_lightning.files import remove_half_written, without_nan
from resnet_lightning.hardware import is_first_process, is_out_of_memory
from resnet_lightning.result import FILE_NAME, RunResult, Status
from resnet_lightning.text import NO_ROOM
from resnet_lightning.training.checkpoint import put_aside, say
from resnet_lightning.training.classifier import Diverged
from resnet_lightning.training.interrupt import Interrupted

REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
CARRIED = ("epochs_done", "best_epoch", "train", "val", "seconds", "train_seconds", "epoch_seconds")
FIRST_SPEAKS = 1.0  # seconds that the first process of a run has to record a failure that all of them see
FIRST_WRITES = 60.0  # seconds that it has for its record where all were stopped
FIRST_ENDS = 10.0  # seconds that it then has for the rest
# The first process; once it has ended, a further one has another parent. Not so on Windows, where a program of the
# environment stands between the two.
PARENT = os.getppid() if sys.platform == "win32" else int(os.environ.get(FIRST, os.getppid()))
AGAIN = "the same command resumes from the last checkpoint"


class Attempt:
    """Takes up a folder.

    Attributes:
        epoch_seconds: of the epochs that earlier attempts have recorded.

    Raises:
        OSError: the record of an earlier attempt is there and cannot be read.
    """

    def __init__(self, folder: Path, result: RunResult) -> None:
        self.folder, self.start = folder, time.perf_counter()
        self.epoch_seconds: list[float] = []
        self._before = 0.0
        if is_first_process():
            remove_half_written(folder)
        try:
            earlier = RunResult.read(folder)
            self.epoch_seconds, self._before = list(map(float, earlier.epoch_seconds)), float(earlier.seconds or 0)
            result.attempts = int(earlier.attempts) + 1
        except FileNotFoundError:
            return
        except (ValueError, TypeError) as error:
            put_aside(folder / FILE_NAME, f"cannot be read ({error})")
            return
        for key in CARRIED:  # until the checkpoint is there to say so itself
            setattr(result, key, getattr(earlier, key))

    @property
    def seconds(self) -> float:
        """Of all attempts together."""
        return self._before + time.perf_counter() - self.start


class End(NamedTuple):
    status: Status
    reason: str
    exit_code: int = 1


def end_of(error: BaseException, result: RunResult) -> End | None:
    """What a run that ended by ``error`` is called, in one sentence; None for an error that nobody expects."""
    if isinstance(error, SystemExit | KeyboardInterrupt | Interrupted):
        return stopped(error)
    if isinstance(error, Diverged):
        return End("diverged", str(error))
    if isinstance(error, DataError):
        return End("failed", str(error))
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        return not_written(error)
    if isinstance(error, OSError) or is_out_of_memory(error):
        memory = f", {result.peak_memory:,.0f} MiB at most before" if result.peak_memory else ""
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        batch = f"batch={result.config['batch']} (in validation and test eval_batch={result.config['eval_batch']})"
        return End("oom", f"out of memory with {batch}{memory}: use a smaller one ({said})")
    return None


def stopped(error: BaseException) -> End:
    if isinstance(error, Interrupted):
        return End("interrupted", str(error), error.exit_code)
    if isinstance(error, SIGTERMException):  # a SystemExit of Lightning's, without a code
        return End("interrupted", "stopped by SIGTERM", 143)
    if isinstance(error, SystemExit):
        return End("failed", f"ended without a result (SystemExit {error.code})")
    return End("interrupted", "stopped by SIGINT", 130)


def not_written(error: OSError) -> End | None:
    if error.errno in NO_ROOM:
        return End("failed", f"disk full writing {error.filename} ({error.strerror}): make room, then {AGAIN}")
    if error.errno in REFUSED:
        name = error.filename or "A file of the run"
        return End("failed", f"{name} cannot be read or written ({error.strerror}); once it can, {AGAIN}")
    return None


def said_by_another(folder: Path) -> End | None:
    """What a further process of this run has written of its failure, which the others see as a broken connection."""
    try:
        result = RunResult.read(folder)
    except (OSError, ValueError):
        return None
    return None if result.status == "running" else End(result.status, str(result.reason), result.exit_code)


def tell_of_failure(result: RunResult, folder: Path) -> bool:
    """In a further process of a run: the first one waits for it, and may be ended before it can say what happened.

    Returns:
        Whether the first one does not know, and waits until this one has ended.
    """
    if result.status not in ("failed", "oom") or os.getppid() != PARENT:  # others reach all; the record is another's
        return False
    time.sleep(FIRST_SPEAKS)
    try:
        record = RunResult.read(folder)
        if record.status != "running":
            return False
        record.status, record.reason, record.exit_code = result.status, result.reason, result.exit_code
        record.write(folder)
    except (OSError, ValueError) as error:
        say(f"{folder / FILE_NAME} cannot record this: {error}")
    return True


def wait_for_first(folder: Path) -> None:
    """Until the first process, which Lightning kills where another one has ended with an error, has written its record
    and ended."""
    deadline, written = time.monotonic() + FIRST_WRITES, False
    while time.monotonic() < deadline and os.getppid() == PARENT:
        with suppress(OSError, ValueError):
            if not written and RunResult.read(folder).status != "running":
                deadline, written = time.monotonic() + FIRST_ENDS, True
        time.sleep(0.1)


def end_after_first() -> None:
    """In a thread of a further process: where the first one was killed, this one may wait for it, holding its GPU."""
    while os.getppid() == PARENT:
        time.sleep(1.0)
    time.sleep(FIRST_ENDS)
    os._exit(1)


def write_or_say(result: RunResult, folder: Path) -> None:
    """Write the record; where that fails, the numbers are one line on the error output, and the exit code is not 0."""
    if not is_first_process():
        if not tell_of_failure(result, folder) and result.exit_code:
            wait_for_first(folder)
        return
    try:
        result.write(folder)
    except OSError as error:
        result.exit_code = result.exit_code or 1
        keys = ("loss", "accuracy", "images")
        splits = {name: getattr(result, name) for name in ("train", "val", "test")}
        numbers = {name: {key: sums[key] for key in keys} for name, sums in splits.items() if sums}
        line = {"status": result.status, "best_epoch": result.best_epoch, "epochs_done": result.epochs_done, **numbers}
        said = f"Error: {error.filename} cannot be written ({error.strerror}). It would say:"
        with suppress(OSError):  # a log on the same disk
            print(said, json.dumps(without_nan(line)), file=sys.stderr, flush=True)
