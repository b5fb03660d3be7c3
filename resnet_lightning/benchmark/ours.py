"""Our training as ``python -m resnet_lightning`` does it, a few steps at a time: data module, classifier, Trainer."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resnet_lightning import hardware
from resnet_lightning.build import build_classifier, build_data, build_trainer
from resnet_lightning.compose import compose_all
from resnet_lightning.config import Config
from resnet_lightning.run import quiet_lightning
from resnet_lightning.training.console import Console
from resnet_lightning.training.interrupt import Interrupted, StopOnSignal
from resnet_lightning.training.lines import lines_of

WARM_UP = 3  # steps that are not timed
LEAST_STEPS = 4  # of a turn, however long one takes


def compose(arguments: Sequence[str]) -> Config:
    """
    Raises:
        ConfigError: a setting that cannot be.
    """
    return compose_all(list(arguments), multirun=False).jobs[0][1]


class StepClock(Checkpoint):
    """Seconds from the end of step ``WARM_UP`` to the end of the last one.

    A checkpoint callback that saves nothing: without one the Trainer brings its own.
    """

    def __init__(self) -> None:
        self.start = self.seconds = 0.0
        self.steps = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps = batch_idx + 1 - WARM_UP
        if self.steps == 0 or trainer.is_last_batch:
            hardware.synchronize(pl_module.device)
            now = time.perf_counter()
            self.start, self.seconds = (now, 0.0) if self.steps == 0 else (self.start, now - self.start)


class StepsConsole(Console):
    """The console of a run but for the line of an epoch: without validation there is nothing for it to say."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pass


class OurTraining:
    """Trains the same network again and again, ``steps`` at a time, each time with a new Trainer.

    Raises:
        ConfigError: a setting that cannot be.
        DataError: the data are not here.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        quiet_lightning()
        self.config = config = compose(arguments)
        self.data = build_data(config)
        self.every_image = self.data.train_index
        self.classifier = build_classifier(config, self.data)
        self.precision = hardware.pick_precision(config.precision, hardware.pick_accelerator(config.accelerator))

    def step_seconds(self, steps: int) -> float:
        """Seconds a step, as the mean over ``steps``; at most those of an epoch."""
        clock = StepClock()
        self.only(steps)
        with tempfile.TemporaryDirectory() as folder:
            self.train(Path(folder), clock)
        return clock.seconds / clock.steps

    def only(self, steps: int) -> None:
        """Leave so many images that an epoch has this many steps after those of the warm-up."""
        self.data.train_index = self.every_image[: (steps + WARM_UP) * self.config.batch]

    def train(self, folder: Path, clock: StepClock) -> None:
        """An epoch with every callback of a run that does something in a step."""
        lines = lines_of(self.config, self.data.selection, len(self.data.train_index))
        try:
            with StopOnSignal() as stop:
                callbacks = [stop, StepsConsole(lines, self.config.log_every), clock]
                trainer = build_trainer(self.config, folder, self.precision, callbacks)
                trainer.fit_loop.max_epochs = 1
                trainer.limit_val_batches = 0
                trainer.fit(self.classifier, datamodule=self.data)
        except Interrupted as error:
            raise KeyboardInterrupt from error

    def images_per_second(self, steps: int) -> float:
        return self.config.batch / self.step_seconds(steps)

    def steps_in(self, seconds: float) -> int:
        """Warm up, and say how many steps fit into ``seconds``."""
        self.step_seconds(2)
        most = len(self.every_image) // self.config.batch - WARM_UP
        return min(most, max(LEAST_STEPS, round(seconds / self.step_seconds(3))))
