"""Checkpoints: ``last.ckpt`` to go on from, ``best.ckpt`` with the weights of the best epoch."""

import copy
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from resnet_lightning.result import atomic_write
from resnet_lightning.training.classifier import ImageClassifier


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own writer goes through the system's folder for temporary files; where that is another disk, its last
    step is a copy that a kill leaves half done. This one writes beside the target and renames."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with atomic_write(Path(path)) as file:
            torch.save(checkpoint, file)


class Checkpoints(Checkpoint):
    """Saves at the end of every epoch; the best epoch is the first with the highest validation accuracy.

    An epoch whose validation loss is not finite is never the best.

    Args:
        folder: of the run.
        config: plain settings, to build the network again from ``best.ckpt`` alone.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.best: dict[str, Any] | None = None  # row of the classifier's history

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        row = pl_module.history[-1]
        better = self.best is None or row["val"]["accuracy"] > self.best["val"]["accuracy"]
        if better and math.isfinite(row["val"]["loss"]):
            self.best = row
            if trainer.is_global_zero:
                state = {"state_dict": pl_module.network.state_dict(), "config": self.config, "epoch": row["epoch"]}
                with atomic_write(self.folder / "best.ckpt") as file:
                    torch.save(state, file)
        trainer.save_checkpoint(self.folder / "last.ckpt")


def save_traced(network: nn.Module, image_shape: tuple[int, int, int], path: Path) -> None:
    """Trace the network on one image (1, C, H, W) of zeros and save it: ``torch.jit.load`` needs no source of ours.

    TorchScript is deprecated by torch (``torch.export`` replaces it), and still what many programs load.
    """
    network = copy.deepcopy(network).cpu().eval()
    with warnings.catch_warnings(), torch.no_grad():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        traced = torch.jit.trace(network, torch.zeros(1, *image_shape))
        with atomic_write(path) as file:
            torch.jit.save(traced, file)


def load_best(folder: Path, network: nn.Module) -> None:
    """Give the network the weights of ``best.ckpt``; nothing in the file can run code."""
    state = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)
    network.load_state_dict(state["state_dict"])
