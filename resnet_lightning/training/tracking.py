"""What a run leaves behind while it runs: ``metrics.csv`` and the TensorBoard events, a row and a point per epoch."""

import csv
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.tensorboard import SummaryWriter

from resnet_lightning import hparams
from resnet_lightning.hardware import process_age
from resnet_lightning.training.classifier import ImageClassifier


class Events:
    """The TensorBoard events of a run: scalars against the epoch, and its row in the HPARAMS tab.

    Not Lightning's logger: it starts a second file for the test.

    Args:
        folder: of the run.
        settings, group: of the row, see ``hparams``.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], group: str) -> None:
        self.writer = SummaryWriter(folder)
        self._add(hparams.session_start(settings, group))

    def scalars(self, metrics: dict[str, float], epoch: int) -> None:
        for name, value in metrics.items():
            if math.isfinite(value):
                self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def close(self, success: bool) -> None:
        self._add(hparams.session_end(success))
        self.writer.close()

    def _add(self, summary: Any) -> None:
        self.writer._get_file_writer().add_summary(summary)
        self.writer.flush()


class Tracking(Callback):
    """Writes every epoch to ``metrics.csv`` and to the TensorBoard events, and times the training steps.

    ``metrics.csv`` holds no times: two runs with the same seed give the same file.

    Args:
        folder: of the run.
        selection: what the validation columns are: ``val``, or ``test`` where the test set selects.
        events: None in all but the first process of a run.

    Attributes:
        epoch_seconds: training steps of each epoch, without validation.
        startup_seconds: from the start of the process to the first step.
    """

    def __init__(self, folder: Path, selection: str, events: Events | None) -> None:
        self.folder, self.selection, self.events = folder, selection, events
        self.epoch_seconds: list[float] = []
        self.startup_seconds: float | None = None
        self._start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.startup_seconds = process_age()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        elif pl_module.device.type == "mps":
            torch.mps.synchronize()
        self.epoch_seconds.append(time.perf_counter() - self._start)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        if self.events is None:
            return
        last = pl_module.history[-1]
        metrics = {f"train/{key}": last["train"][key] for key in ("loss", "accuracy")}
        metrics |= {f"{self.selection}/{key}": last["val"][key] for key in ("loss", "accuracy")}
        if last["train_eval"]:
            metrics |= {f"train_eval/{key}": last["train_eval"][key] for key in ("loss", "accuracy")}
        row = {"epoch": last["epoch"], "step": last["step"], "lr": last["lr"], **metrics}
        self._append({key.replace("/", "_"): value for key, value in row.items()})
        self.events.scalars({"lr": last["lr"], **metrics}, last["epoch"])

    def _append(self, row: dict[str, Any]) -> None:
        path = self.folder / "metrics.csv"
        with path.open("w" if row["epoch"] == 1 else "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if row["epoch"] == 1:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            os.fsync(file.fileno())
