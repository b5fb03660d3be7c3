"""A trained network with its preprocessing, rebuilt from the folder of its run.

The settings in ``result.json`` are read, never instantiated: every part is built from the names in our own tables, and
``best.ckpt`` is opened so that nothing in it can run code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_lightning.checks import check_network
from resnet_lightning.config import AugmentConfig, Config, DataError, device_count
from resnet_lightning.data.augment import Augment
from resnet_lightning.hardware import float32_throughout, is_out_of_memory, pick_accelerator
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.presets import defaults, preset, typed
from resnet_lightning.result import FILE_NAME, RunResult
from resnet_lightning.training.checkpoint import load_best
from resnet_lightning.use.find import WEIGHTS, find_run

BATCH = 500  # images at a time, if the run took as many
CHUNK = 256  # image files read at a time


@dataclass(frozen=True)
class Trained:
    """A run, ready to be used.

    Attributes:
        network: with the weights of the best epoch, in evaluation mode: normalised (N, C, H, W) -> (N, classes) logits.
        augment: the preprocessing; ``augment.plain`` is that of validation and test.
        image_shape: (C, H, W) of the images that the run was trained on.
        why: how this run was found, and that it is not finished; empty where there is nothing to say.
    """

    folder: Path
    result: RunResult
    config: Config
    network: ResNet
    augment: Augment
    classes: list[str]
    image_shape: tuple[int, int, int]
    why: str

    @property
    def device(self) -> torch.device:
        return self.network.fc.weight.device

    @property
    def batch(self) -> int:
        """How many images fit into memory at a time: what a device of the run took, if it was not more than we need."""
        return min(BATCH, max(1, self.config.eval_batch // (device_count(self.config.devices) or 1)))

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) uint8 images, in batches, to (N, classes) float32 logits on the CPU."""
        with float32_throughout():
            pixels = (self.augment.plain(part.to(self.device)) for part in images.split(self.batch))
            parts = [self.network(batch).float().cpu() for batch in pixels]
        return torch.cat(parts) if parts else torch.empty(0, len(self.classes))

    def probabilities(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) uint8 images to (N, classes) probabilities."""
        return self.logits(images).softmax(dim=1)

    def predict(self, paths: list[Path | str]) -> list[str]:
        """The class of each image file, of any size and mode.

        Raises:
            DataError: a file cannot be read as an image.
        """
        from resnet_lightning.use.images import read_images

        found: list[str] = []
        for part in batches(len(paths), CHUNK):
            images, _ = read_images(list(map(Path, paths[part])), self.image_shape, invert=self.inverts)
            found += [self.classes[label] for label in self.logits(images).argmax(dim=1).tolist()]
        return found

    @property
    def inverts(self) -> str:
        """How images are read by default: light figures on black were learnt, so dark ones on white are inverted."""
        return "auto" if self.result.data["name"] in ("mnist", "fashion_mnist") else "false"


def load(run: str | Path, accelerator: str = "cpu") -> Trained:
    """Rebuild network and preprocessing of a run.

    Args:
        run: its folder, that of a sweep (its best run), or ``latest``.
        accelerator: ``cpu``, ``gpu``, ``cuda``, ``mps`` or ``auto``.

    Raises:
        ConfigError: there is no such run.
        DataError: its record or its weights are missing or damaged.
    """
    folder, result, why = find_run(run)
    if result.status != "done":
        said = f"{result.status}; these are the weights of epoch {result.best_epoch}, the best so far"
        why = f"{why or folder}: {said}"
    device = pick_accelerator(accelerator)
    config = read_settings(result.config, folder)
    classes, shape, mean, std = data_facts(result, folder)
    network = ResNet.from_config(config, shape[0], len(classes))
    try:
        load_best(folder, network)
    except (KeyError, TypeError, RuntimeError) as error:
        if isinstance(error, DataError) or is_out_of_memory(error):  # which say what it is themselves
            raise
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise DataError(f"{folder / WEIGHTS} does not hold the weights of this run: {reason}.") from error
    network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    plain = typed(AugmentConfig, preset("augment", "normalize", normalize=config.augment.normalize))
    preprocessing = Augment(plain, mean, std)
    return Trained(folder, result, config, network, preprocessing, classes, shape, why)


def read_settings(settings: dict[str, Any], folder: Path) -> Config:
    """The recorded settings as a ``Config`` whose network is checked: optimizer, schedule and data need not be here.

    A key that an older version did not have gets today's default.
    """
    try:
        config = typed(Config, settings, defaults())
        check_network(config)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise DataError(f"The settings in {folder / FILE_NAME} are no longer valid: {error}") from error
    return config


def data_facts(result: RunResult, folder: Path) -> tuple[list[str], tuple[int, int, int], list[float], list[float]]:
    """Classes, (C, H, W), mean and standard deviation of each channel, as the record has them."""
    try:
        data = result.data
        classes = [str(name) for name in data["classes"]]
        channels, height, width = map(int, data["image_shape"])
        mean, std = list(map(float, data["mean"])), list(map(float, data["std"]))
        if not classes or len(mean) != channels or len(std) != channels or min(std) <= 0:
            raise ValueError("classes, channels and statistics do not fit together")
        return classes, (channels, height, width), mean, std
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / FILE_NAME} does not say what the run was trained on: {error}.") from error


def batches(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
