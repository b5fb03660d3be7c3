"""Ctrl-C, SIGTERM and the end of the terminal end a run in order, after the step, with a record that says so; a second
signal ends it at once.
"""

import os
import signal
import subprocess
import threading
import time
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_lightning.hardware import is_first_process
from resnet_lightning.signals import stop_signals
from resnet_lightning.text import tell

AGREE_SECONDS = 1.0  # between two exchanges in a run of several processes,
AGREE_STEPS = 20  # or as many steps, where these are short


class Interrupted(BaseException):
    """The run was asked to stop. As with KeyboardInterrupt, what takes any Exception for its own must not catch it.

    Attributes:
        exit_code: 128 + the number of the signal, as a shell says it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


class StopOnSignal(Callback):
    """Within ``with``, turns SIGINT, SIGTERM and SIGHUP into ``Interrupted``, raised after the step that is running.

    Lightning's own handling ends a process that got SIGTERM with exit code 0, as if it had finished.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._training = False
        self._previous: dict[int, Any] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._steps, self._exchange_at, self._since = 0, 1, time.monotonic()

    def __enter__(self) -> "StopOnSignal":
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._handle) for s in stop_signals()}
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def end_others(self) -> None:
        """Where this process ends early: the further ones may wait for it, for half an hour, holding their GPUs."""
        for process in self._processes:
            process.kill()
        self._processes.clear()  # Lightning watches this list, and would end us as well

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._processes = getattr(trainer.strategy.launcher, "procs", [])

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.end_others()
            os._exit(128 + signum)
        self.received = signum
        if not self._training:
            raise Interrupted(signum)
        if is_first_process():
            tell(f"\n{signal.Signals(signum).name}: stopping after this step; a second signal stops at once.")

    def _stop(self, trainer: Trainer, now: bool = False) -> None:
        """Raise if a signal has come; several processes exchange it now and then, so that all stop at one step."""
        if trainer.world_size > 1:
            self._steps += 1
            if self._steps < self._exchange_at and not now:
                return
            self._exchange(trainer)
        if self.received is not None:
            self._training = False
            raise Interrupted(self.received)

    def _exchange(self, trainer: Trainer) -> None:
        """Tell each other of signals, and of the seconds of a step: all have to agree on when to do so again."""
        seconds = (time.monotonic() - self._since) / self._steps
        told = torch.tensor([float(self.received or 0), seconds], device=trainer.strategy.root_device)
        signum, seconds = trainer.strategy.reduce(told, reduce_op="max").tolist()
        self.received = int(signum) or None
        steps = AGREE_SECONDS / max(seconds, AGREE_SECONDS / AGREE_STEPS)
        self._steps, self._exchange_at, self._since = 0, max(1, int(steps)), time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training = True
        self._steps, self._exchange_at, self._since = 0, 1, time.monotonic()
        self._take_sigterm()
        if self._previous and hasattr(trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor"):
            # Lightning's own exchange of signals, whose handler is not there any more: in every step it waits for a GPU
            trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_sigterm()

    def _take_sigterm(self) -> None:
        """Lightning's handler, which it has set by now, talks to the other processes of a run, and may wait for them
        where they wait for this one in a step; ``_stop`` asks them between two steps."""
        if self._previous:
            signal.signal(signal.SIGTERM, self._handle)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop(trainer, now=True)  # the last exchange may have been before the signal
        self._training = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._stop(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._stop(trainer)
