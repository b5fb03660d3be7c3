"""The record of a run: one ``result.json`` in its folder.

Tables, plots, resuming and skipping read this file and nothing else.
"""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from resnet_lightning.config import ConfigError, differing_keys
from resnet_lightning.files import write_json

FILE_NAME = "result.json"
Status = Literal[
    "running", "done", "failed", "oom", "diverged", "interrupted",
    "crashed", "killed", "timeout",  # what only the launcher of a sweep sees
    "unavailable",  # never started: this machine has no such device
]  # fmt: skip

FINISHED = ("done", "diverged")  # another attempt would end the same way
TYPES: dict[str, tuple[type, ...]] = {  # of the fields, where what reads a record relies on them
    "config choices train val test train_eval model data versions": (dict,),
    "overrides epoch_seconds": (list,),
    "attempts epochs_done exit_code": (int,),
    "status selection name": (str,),
    "reason device precision started git_commit": (str, type(None)),
}


@dataclass
class RunResult:
    """Everything a table or a plot says about a run.

    Losses are means per sample (natural logarithm), accuracies lie between 0 and 1, times are seconds, memory is MiB.
    What has not been measured is None.
    """

    status: Status
    overrides: list[str]
    config: dict[str, Any]
    seed: int
    choices: dict[str, str] = field(default_factory=dict)  # model, stem, data, augment, optimizer, scheduler by option
    name: str = ""
    reason: str | None = None  # one sentence on why the status is not done
    exit_code: int = 1
    attempts: int = 1  # how often it was started, by whomever
    started: str | None = None  # local time, ISO 8601 with offset
    selection: str = "validation"  # what chose best_epoch; "test": test figures are the best of all epochs
    best_epoch: int | None = None  # from 1
    epochs_done: int = 0
    train: dict[str, Any] = field(default_factory=dict)  # best epoch, training mode, augmented: loss, accuracy, ...
    train_eval: dict[str, Any] = field(default_factory=dict)  # best epoch, training images in evaluation mode: as test
    val: dict[str, Any] = field(default_factory=dict)  # best epoch: loss, accuracy, per_class_accuracy, images
    test: dict[str, Any] = field(default_factory=dict)  # best epoch: the same and confusion_matrix
    model: dict[str, Any] = field(default_factory=dict)  # stem, stages, parameters, multiply_accumulates
    data: dict[str, Any] = field(default_factory=dict)  # classes, image shape, images in each split, mean, std, digest
    seconds: float | None = None  # all of it, from reading the data to the last figure, over all attempts
    startup_seconds: float | None = None  # from the start of the last attempt's process to its first step
    train_seconds: float | None = None  # the training steps alone
    epoch_seconds: list[float] = field(default_factory=list)  # training steps of each epoch that is in the result
    images_per_second: float | None = None  # training steps, first epoch left out where there are more
    peak_memory: float | None = None  # of the process on a CPU, of the GPU's allocator on a GPU
    device: str | None = None
    visible_devices: str | None = None  # CUDA_VISIBLE_DEVICES of the run
    precision: str | None = None  # 32, bf16 or 16: what auto came to
    threads: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None

    @property
    def refused(self) -> bool:
        """Whether its settings did not fit the data, so that nothing was trained."""
        return self.exit_code == 2 and not self.epochs_done

    @property
    def device_kind(self) -> str:
        """``cuda NVIDIA A100``: which of several equal GPUs it was does not matter. Empty where it is not known."""
        return re.sub(r"^cuda:\d+", "cuda", self.device or "")

    def write(self, folder: Path) -> None:
        """Write ``result.json`` into ``folder``: the old file or the new one is there at any moment."""
        write_json(folder / FILE_NAME, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "RunResult":
        """Read the record in ``folder``.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
            ValueError: it is damaged, or not a record of a run.
        """
        text = (folder / FILE_NAME).read_text(encoding="utf-8")
        known = {f.name for f in fields(cls)}
        try:
            record = cls(**{key: value for key, value in json.loads(text).items() if key in known})
        except (AttributeError, TypeError, RecursionError) as error:
            raise ValueError(f"it is not the record of a run: {error}") from error
        record.check_types()
        return record

    def check_types(self) -> None:
        """
        Raises:
            ValueError: a field has another type than a run gives it.
        """
        for keys, kinds in TYPES.items():
            for key in keys.split():
                if not isinstance(getattr(self, key), kinds):
                    raise ValueError(f"{key} is {getattr(self, key)!r:.40}")


def status_in(folder: Path, settings: dict[str, Any]) -> str:
    """The status of the run in a folder; ``waiting`` where there is no record, a damaged one, or one of settings
    that were refused.

    Raises:
        ConfigError: the folder holds a run with other settings than these.
        OSError: there is a record that cannot be read.
    """
    try:
        result = RunResult.read(folder)
    except (FileNotFoundError, ValueError):
        return "waiting"
    differing = differing_keys(result.config, settings)
    if differing and result.refused:
        return "waiting"
    if differing:
        raise ConfigError(
            f"{folder} holds a run with other settings ({'; '.join(differing[:5])}; there / here): "
            "move it away, or choose another folder or name=."
        )
    return result.status
