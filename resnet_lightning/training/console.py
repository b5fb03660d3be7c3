"""What a run says while it trains: a line an epoch, lines between if asked, on a terminal a bar."""

import logging
import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from resnet_lightning.training.classifier import ImageClassifier
from resnet_lightning.training.lines import Lines

log = logging.getLogger(__name__)


class Console(Callback):
    """Lines through ``logging`` (so that they are in ``run.log`` too), the bar on a terminal only.

    Args:
        lines: how they are worded.
        log_every: steps between two lines with the loss of a step; 0 = none.
    """

    def __init__(self, lines: Lines, log_every: int) -> None:
        self.lines, self.log_every = lines, log_every
        self._bar: tqdm[Any] | None = None
        self._start = self._epoch_start = 0.0
        self._first = 0  # epochs of earlier attempts

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start, self._first = time.perf_counter(), trainer.current_epoch
        if trainer.is_global_zero and sys.stderr.isatty():
            total = int(trainer.num_training_batches) * int(trainer.max_epochs or 1)
            done = int(trainer.num_training_batches) * self._first
            self._bar = tqdm(total=total, initial=done, unit="step", leave=False, mininterval=0.5, dynamic_ncols=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.perf_counter()
        if self._bar is not None:
            self._bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None:
            self._bar.update()
        if self.log_every and batch_idx % self.log_every == 0 and trainer.is_global_zero:
            self._say(self.lines.step(trainer.current_epoch, batch_idx, float(outputs["loss"])))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        if not trainer.is_global_zero:
            return
        row, now = pl_module.history[-1], time.perf_counter()
        epochs = int(trainer.max_epochs or 1)
        done = trainer.current_epoch + 1
        left = (now - self._start) / (done - self._first) * (epochs - done)
        self._say(self.lines.epoch(row, now - self._epoch_start, left))

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        log.info(line)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
