"""What a run leaves behind while it runs: ``metrics.csv`` and, besides other loggers, the TensorBoard events."""

import csv
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.tensorboard import SummaryWriter

from resnet_lightning import hparams
from resnet_lightning.files import atomic_write, sync
from resnet_lightning.hardware import process_age, synchronize
from resnet_lightning.training.classifier import ImageClassifier, metrics_of

if TYPE_CHECKING:
    from resnet_lightning.training.loggers import Loggers

log = logging.getLogger(__name__)
FILES = "events.out.tfevents.*"


class Events:
    """The TensorBoard events of a run: scalars against the epoch, and its row in the HPARAMS tab.

    Not Lightning's logger: it starts a second file for the test. The files of an earlier attempt are removed and their
    points written again: no step twice, no torn record, and one row of the tab, with the end that the run really had.

    Args:
        folder: of the run.
        settings, group: of the row, see ``hparams``.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], group: str) -> None:
        self.folder = folder
        for path in folder.glob(FILES):
            path.unlink()
        self.writer = SummaryWriter(folder, purge_step=0)  # a server that watches forgets what it has read
        self._add(hparams.session_start(settings, group))

    def scalars(self, metrics: dict[str, float], epoch: int, moment: float | None = None) -> None:
        """Write points; ``moment`` is when they were made, in seconds since 1970, None for now."""
        with self._named():
            for name, value in metrics.items():
                if math.isfinite(value):
                    self.writer.add_scalar(name, value, epoch, walltime=moment)
            self.writer.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the folder in an OSError, which that of TensorBoard's writer does not; it comes with any later call."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), f"{self.folder}/events.out.tfevents") from error

    def close(self, metrics: dict[str, float], epoch: int, success: bool) -> None:
        """Add the last points and the end of the row; a disk that is full by now costs no more than these."""
        try:
            self.scalars(metrics, epoch)
            self._add(hparams.session_end(success))
            with self._named():
                self.writer.close()
                for path in self.folder.glob(FILES):  # before the record, which is synced too, says `done`
                    sync(path)
                sync(self.folder)
        except OSError as error:
            log.warning(f"{error.filename or self.folder} ends early ({error.strerror})")

    def _add(self, summary: Any) -> None:
        with self._named():
            self.writer._get_file_writer().add_summary(summary)
            self.writer.flush()


class Tracking(Callback):
    """Writes every epoch to ``metrics.csv`` and to the loggers, and times the training steps.

    Both follow from the history, which the checkpoint carries: a run that goes on has no epoch twice and misses none.
    ``metrics.csv`` holds no times: two runs with the same seed give the same file.

    Args:
        folder: of the run.
        selection: what the validation columns are: ``val``, or ``test`` where the test set selects.
        loggers: None in all but the first process of a run.
        epoch_seconds: of earlier attempts.

    Attributes:
        epoch_seconds: training steps of each epoch, without validation.
        startup_seconds: from the start of the process to the first step.
    """

    def __init__(self, folder: Path, selection: str, loggers: "Loggers | None", epoch_seconds: list[float]) -> None:
        self.folder, self.selection, self.loggers = folder, selection, loggers
        self.epoch_seconds = list(epoch_seconds)
        self.startup_seconds: float | None = None
        self._start = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up what the checkpoint brought: as many epochs as it says, whatever was written after it."""
        assert isinstance(pl_module, ImageClassifier)
        history = pl_module.history
        if len(self.epoch_seconds) < len(history):  # the record with the times was lost
            self.epoch_seconds = [math.nan] * len(history)
        del self.epoch_seconds[len(history) :]
        if self.loggers is None:
            return
        self._write_metrics(history)
        moment = time.time() - sum(filter(math.isfinite, self.epoch_seconds))
        for row, seconds in zip(history, self.epoch_seconds, strict=True):
            moment += seconds if math.isfinite(seconds) else 0.0
            self.loggers.scalars(self._scalars(row), row["epoch"], moment)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.startup_seconds = process_age()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self.epoch_seconds.append(time.perf_counter() - self._start)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        if self.loggers is not None:
            self._write_metrics(pl_module.history)
            last = pl_module.history[-1]
            self.loggers.scalars(self._scalars(last), last["epoch"])

    def _metrics(self, row: dict[str, Any]) -> dict[str, float]:
        splits = {"train": row["train"], self.selection: row["val"], "train_eval": row["train_eval"]}
        return {"lr": row["lr"], **metrics_of(splits)}

    def _scalars(self, row: dict[str, Any]) -> dict[str, float]:
        """As in ``metrics.csv``; ``test/accuracy`` is that of the run, not of each epoch where these select on test.

        A point at the best epoch, after those of later ones, would cut them off the curve in TensorBoard.
        """
        return {key.replace("test/", "test_each_epoch/"): value for key, value in self._metrics(row).items()}

    def _write_metrics(self, history: list[dict[str, Any]]) -> None:
        path = self.folder / "metrics.csv"
        rows = [
            {"epoch": row["epoch"], "step": row["step"]}
            | {key.replace("/", "_"): value for key, value in self._metrics(row).items()}
            for row in history
        ]
        if not rows:
            path.unlink(missing_ok=True)
            return
        with atomic_write(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
