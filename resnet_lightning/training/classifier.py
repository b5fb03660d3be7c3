"""The LightningModule: a network, its loss, its optimizer, and the sums that become metrics."""

import json
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lightning.checks import WORDS, check_needed, choose
from resnet_lightning.data.loader import Batch
from resnet_lightning.hardware import memory_format
from resnet_lightning.presets import check_limit, preset
from resnet_lightning.randomness import stream_seed
from resnet_lightning.training.averaging import Following, follower_of
from resnet_lightning.training.hooks import QuickHooks, described
from resnet_lightning.training.metrics import Tally
from resnet_lightning.training.optimizers import build_optimizer, build_scheduler, check_options, check_schedule

LOOK_EVERY = 50  # steps between two looks at the loss on a GPU: each look waits for all work queued there


class Diverged(RuntimeError):
    """The training loss is no finite number any more."""


def best_row(history: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The first epoch with the highest validation accuracy; one whose validation loss is not finite is never it."""
    finite = [row for row in history if math.isfinite(row["val"]["loss"])]
    return max(finite, key=lambda row: float(row["val"]["accuracy"]), default=None)


class ImageClassifier(QuickHooks, LightningModule):
    """Trains a network by cross-entropy.

    Args:
        network: (N, C, H, W) floats -> (N, num_classes) logits.
        optimizer, scheduler: a file of ``conf/optimizer`` and of ``conf/scheduler``, by its name or by its keys.
        lr, weight_decay: of the optimizer, None for those of its file; ``lr`` is the peak of the schedule.
        label_smoothing: share of the target spread over all classes, in training only.
        ema: decay a step of the moving average of the weights that is evaluated; 0 evaluates the weights themselves.
        tta: ``flip`` evaluates the mean of the logits of an image and its mirror image, ``none`` the image.
        seed: of dropout: torch's generator is set by it at the start of each epoch, on which the order of somebody
            else's loader may depend as well. None leaves the generator alone.
        compiled: run the network through ``torch.compile``.
        schedule_epochs: length of the schedule; fewer epochs of training go through it faster. None = those trained.

    Attributes:
        average: the moving average, part of every checkpoint; None without ``ema``.

    Raises:
        ConfigError: a value is not possible, or there is no such optimizer or schedule.
    """

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        optimizer: str | dict[str, Any] = "momentum",
        scheduler: str | dict[str, Any] = "cosine",
        lr: float | None = None,
        weight_decay: float | None = None,
        label_smoothing: float = 0.0,
        ema: float = 0.0,
        tta: str = "none",
        seed: int | None = None,
        compiled: bool = False,
        schedule_epochs: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = follower_of(self.network) if ema else None
        self.ema, self.tta = ema, tta
        if compiled:
            self.network.compile()
        self.optimizer_options = options_of("optimizer", optimizer, lr=lr, weight_decay=weight_decay)
        self.scheduler_options = options_of("scheduler", scheduler)
        self.lr = float(self.optimizer_options["lr"] if lr is None else lr)
        self.weight_decay = float(self.optimizer_options["weight_decay"] if weight_decay is None else weight_decay)
        self.label_smoothing, self.seed = label_smoothing, seed
        check_options(self.optimizer_options)
        check_schedule(self.scheduler_options)
        for key in ("lr", "weight_decay", "label_smoothing", "ema"):
            check_limit(key, getattr(self, key))
        choose("tta", tta, WORDS["tta"])
        self.epoch_lr = self.lr  # of the first step of the epoch
        self.schedule_epochs = schedule_epochs
        self.history: list[dict[str, Any]] = []  # a row an epoch; see close_epoch
        self.epoch_closed = False  # whether the epoch that runs has its row
        self.test_sums: dict[str, Any] = {}  # of the last test
        self.test_predictions: list[Tensor] = []  # (n,) predicted classes of each test batch of this process
        self.tallies = nn.ModuleDict(
            {f"{split}_tally": Tally(num_classes) for split in ("train", "val", "train_eval", "test")}
        )
        # else DDP gives every process the sums of the first one, before each step
        self._ddp_params_and_buffers_to_ignore = [f"tallies.{name}" for name, _ in self.tallies.named_buffers()]

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) normalised images to (N, num_classes) logits."""
        return cast(Tensor, self.network(images))

    @property
    def evaluated(self) -> nn.Module:
        """The network whose figures and weights are those of the run: ``average`` where there is one."""
        return self.network if self.average is None else self.average

    def evaluate(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of (N, C, H, W) normalised images as validation and test count them."""
        logits = cast(Tensor, self.evaluated(images))
        # in float32: the mean would be rounded once more, and close classes tie more often
        return (logits.float() + self.evaluated(images.flip(3)).float()) / 2 if self.tta == "flip" else logits

    def tally(self, split: str) -> Tally:
        return cast(Tally, self.tallies[f"{split}_tally"])

    def on_train_start(self) -> None:
        if self.average is not None:
            self.following = Following(self.average, self.network, self.ema)
            self.followed = self.global_step

    def on_train_end(self) -> None:
        if self.average is not None:
            del self.following  # it would hold both networks on the GPU when they leave it

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.average is not None and self.global_step != self.followed:  # not while gradients are accumulated
            self.following.step(self.global_step)
            self.followed = self.global_step

    def on_train_epoch_start(self) -> None:
        self.tally("train").reset()
        if self.seed is not None:
            torch.manual_seed(stream_seed(self.seed, self.current_epoch, f"dropout of process {self.global_rank}"))
        self.epoch_lr = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.epoch_closed = False

    @described
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch[:2]  # any pair will do, so that other people's loaders fit
        logits = self(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        tally = self.tally("train")
        tally.add(loss, logits, labels)
        if self.looks_at(batch_idx) and not math.isfinite(tally.loss_sum.item()):
            lr, value = self.trainer.optimizers[0].param_groups[0]["lr"], loss.detach().item()
            now = not math.isfinite(value)  # else it was in a step since the last look
            at = f"is {value} at" if now else "was infinite or not a number before"
            raise Diverged(f"The loss {at} step {batch_idx + 1} of epoch {self.current_epoch + 1}, lr {lr:g}.")
        return loss

    def looks_at(self, batch_idx: int) -> bool:
        """Whether to look at the loss in this step; one of several processes never does, it would leave the others."""
        return self.trainer.world_size == 1 and (self.device.type == "cpu" or batch_idx % LOOK_EVERY == 0)

    def on_validation_epoch_start(self) -> None:
        for split in ("val", "train_eval"):
            self.tally(split).reset()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._count("train_eval" if dataloader_idx else "val", batch)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.state.fn == "validate":
            self.log_dict(metrics_of({"val": self.tally("val").total()}))
        elif not self.trainer.sanity_checking:  # else no epoch has ended
            train_eval = self.tally("train_eval").total()
            self.close_epoch(self.tally("val").total(), train_eval if train_eval["images"] else {})

    def on_train_epoch_end(self) -> None:
        if not self.epoch_closed:  # by a validation
            self.close_epoch({}, {})

    def close_epoch(self, val: dict[str, Any], train_eval: dict[str, Any]) -> None:
        """The sums of the epoch become a row of the history, and Lightning's metrics for any other callback.

        The last of several validations in an epoch has the row.

        Raises:
            Diverged: the training loss is no finite number.
        """
        train = self.tally("train").total()
        if not math.isfinite(train["loss"]):
            raise Diverged(f"The loss is {train['loss']} in epoch {self.current_epoch + 1}, lr {self.epoch_lr:g}.")
        head = {"epoch": self.current_epoch + 1, "step": self.global_step, "lr": self.epoch_lr}
        if self.epoch_closed:
            self.history.pop()
        self.epoch_closed = True
        self.history.append({**head, "train": train, "val": val, "train_eval": train_eval})
        self.log_dict(metrics_of({"train": train, "val": val}))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Logits (N, num_classes) as the test counts them, of (images, labels) or of images alone."""
        return self.evaluate(batch[0] if isinstance(batch, (tuple, list)) else batch)

    def on_test_epoch_start(self) -> None:
        self.tally("test").reset()
        self.test_predictions.clear()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.test_predictions.append(self._count("test", batch).argmax(dim=1))

    def on_test_epoch_end(self) -> None:
        # here, not after the test: Lightning then moves the sums to the CPU, where several GPUs cannot add them up
        self.test_sums = self.tally("test").total()
        self.test_sums["confusion_matrix"] = self.tally("test").over_processes()[1].tolist()
        self.log_dict(metrics_of({"test": self.test_sums}))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = json.dumps(self.history)  # as text: equal histories make equal files

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = json.loads(checkpoint["history"])
        # inside an epoch (somebody else's checkpoint) Lightning does not call on_train_epoch_start again
        self.epoch_closed = bool(self.history) and self.history[-1]["epoch"] == checkpoint["epoch"] + 1

    def _count(self, split: str, batch: Batch) -> Tensor:
        images, labels = batch[:2]
        logits = self.evaluate(images)
        self.tally(split).add(F.cross_entropy(logits, labels), logits, labels)
        return logits

    def configure_optimizers(self) -> OptimizerLRScheduler:
        # Lightning does not clip the gradients of a fused optimizer, on Apple's GPUs torch does not unscale them
        scaled_on_mps = self.device.type == "mps" and self.trainer.precision == "16-mixed"
        if self.device.type == "mps":
            self.network.to(memory_format=memory_format(self.device))
        fused = not (self.trainer.gradient_clip_val or scaled_on_mps)
        optimizer = build_optimizer(self.network, self.optimizer_options, self.lr, self.weight_decay, fused)
        scheduler = build_scheduler(optimizer, self.scheduler_options, *self.schedule_length())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def schedule_length(self) -> tuple[float, float]:
        """Steps in an epoch and epochs of the schedule, which ends with the training: by epochs or by ``max_steps``."""
        trainer = self.trainer
        steps = trainer.estimated_stepping_batches
        if self.schedule_epochs:
            return steps / self.schedule_epochs, self.schedule_epochs
        if trainer.train_dataloader is None:
            trainer.fit_loop.setup_data()
        batches = trainer.num_training_batches
        per_epoch = math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else steps
        return per_epoch, steps / per_epoch


def options_of(group: str, asked: str | dict[str, Any], **given: Any) -> dict[str, Any]:
    """The keys of a file of ``conf/``, or those of a dictionary and what else is ``given``.

    Raises:
        ConfigError: there is no such file, or a key is missing.
    """
    if isinstance(asked, str):
        return preset(group, asked)
    options = {key: value for key, value in given.items() if value is not None} | asked
    check_needed(group, options)
    return options


def metrics_of(sums: dict[str, dict[str, Any]]) -> dict[str, float]:
    """``{"train/loss": 0.1, "train/accuracy": 0.98, ...}`` of the splits that were counted."""
    return {f"{split}/{key}": found[key] for split, found in sums.items() if found for key in ("loss", "accuracy")}
