"""The data of a run as a LightningDataModule: cache, validation split, loaders, augmentation on the training device."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from resnet_lightning.checks import check_augment, check_channels, check_statistics, held_out, require, scaled_images
from resnet_lightning.config import AugmentConfig, ConfigError, DataConfig, DataError
from resnet_lightning.data import cache
from resnet_lightning.data.augment import Augment
from resnet_lightning.data.cache import DataSet, ImageSet
from resnet_lightning.data.loader import Batch, Loader, TrainLoader
from resnet_lightning.hardware import fits
from resnet_lightning.presets import check_limit, preset, typed
from resnet_lightning.randomness import stream


def stratified(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose ``count`` positions of (N,) ``labels`` with the same share of every class, in ascending order.

    Shares are rounded down; the images that are still missing come from the classes with the largest remainders.
    """
    sizes = torch.bincount(labels)
    exact = sizes.double() * count / len(labels)
    quota = exact.floor().long()
    missing = count - int(quota.sum())
    quota[(exact - quota).argsort(descending=True, stable=True)[:missing]] += 1
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]  # random within a class, classes one after the other
    starts = sizes.cumsum(0) - sizes
    chosen = [by_class[start : start + size] for start, size in zip(starts.tolist(), quota.tolist(), strict=True)]
    return torch.cat(chosen).sort().values


def refuse_lost_classes(labels: Tensor, left: Tensor, classes: Sequence[str], val_size: float) -> None:
    """
    Raises:
        ConfigError: all training images of a class are held out.
    """
    before, after = (torch.bincount(part, minlength=len(classes)).tolist() for part in (labels, labels[left]))
    lost = [name for name, had, has in zip(classes, before, after, strict=True) if had and not has]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise ConfigError(f"data.val_size={val_size} leaves no image of the class {lost[0]}{more} to train on.")


def refuse_one_class(classes: Sequence[str], root: str) -> None:
    """
    Raises:
        DataError: there is nothing to tell apart, as where the folders of the classes lie one deeper.
    """
    if len(classes) == 1:
        raise DataError(f"{root} has one class only, {classes[0]}: data=folder reads <data.root>/train/<class>/*.png.")


def chosen(index: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of the positions (M,) ``index``, the same share of every class; all of them where it is not below."""
    return index if count >= len(index) else index[stratified(labels[index], count, generator)]


class UnroundedLoader(TrainLoader):
    """Its draws are the bits of the numbers, as int32: a Trainer with ``precision="bf16-true"`` rounds the floats of a
    batch before its hooks are called, and 0.999 would be 1.
    """

    def random_numbers(self, count: int, generator: torch.Generator) -> Tensor:
        return super().random_numbers(count, generator).view(torch.int32)


class ImageDataModule(LightningDataModule):
    """Serves one data set; batches arrive in ``training_step`` as ``Batch`` of normalised floats (N, C, H, W).

    Args:
        data: which data set, how large, how split.
        augment: what happens to training images; normalisation applies to all.
        batch, eval_batch: images per step, all devices together.
        seed: of batch order and augmentation (the validation split has its own, ``data.val_seed``).
        scale: share of the training images to train on, the same share of every class.
        eval_train: evaluate the training images in every validation too, as its second loader.

    Attributes:
        test_split: the images that ``trainer.test`` reads: ``test``, or ``train`` for the training images as they are.
    """

    def __init__(
        self,
        data: DataConfig,
        augment: AugmentConfig,
        batch: int,
        eval_batch: int,
        seed: int,
        scale: float = 1.0,
        eval_train: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.augment_config = data, augment
        self.batch, self.eval_batch, self.seed, self.scale, self.eval_train = batch, eval_batch, seed, scale, eval_train
        self.test_split = "test"
        self._data: DataSet | None = None
        self._ready = False
        self._placed: dict[tuple[str, torch.device], ImageSet] = {}

    @classmethod
    def from_name(
        cls,
        name: str,
        batch: int = 128,
        augment: str | dict[str, Any] = "normalize",
        eval_batch: int = 500,
        seed: int = 0,
        **changes: Any,
    ) -> "ImageDataModule":
        """A data set of ``conf/data`` by its name: ``ImageDataModule.from_name("mnist", batch=64)``.

        Args:
            name: ``mnist``, ``fashion_mnist``, ``cifar10``, ``cifar100`` or ``folder``.
            augment: a file of ``conf/augment``, or switches on top of ``normalize``: ``{"rotation": 15}``.
            changes: other values for keys of the data: ``root="my_images"``, ``image_size=96``, ``val_size=0.2``.

        Raises:
            ConfigError: there is no such name or key, or a value is not possible.
        """
        switches = preset("augment", augment) if isinstance(augment, str) else preset("augment", "normalize", **augment)
        if isinstance(changes.get("root"), Path):
            changes["root"] = str(changes["root"])
        data, switched = typed(DataConfig, preset("data", name, **changes)), typed(AugmentConfig, switches)
        check_statistics(data)
        check_augment(switched)
        check_limit("batch", batch)
        check_limit("eval_batch", eval_batch)
        return cls(data, switched, batch, eval_batch, seed)

    def prepare_data(self) -> None:
        """Find or fetch the files and make the cache.

        Raises:
            DataError: files are missing or damaged.
        """
        self._data = self._data or cache.load(self.config)

    def setup(self, stage: str = "") -> None:
        """Open the cache and fix the split: the same for every run with this ``val_size`` and ``val_seed``.

        Raises:
            ConfigError: there are fewer images than ``val_size`` holds out, or none is left of a class.
            DataError: files are missing or damaged.
        """
        if self._ready:
            return
        self._data = data = self._data or cache.load(self.config)
        labels = data.train.labels
        count = held_out(self.config.val_size, len(labels))
        fewer = f"fewer than the {len(labels):,} training images"
        require("data.val_size", self.config.val_size, count < len(labels), fewer)
        self._ready = True
        generator = stream(self.config.val_seed, 0, "validation split")
        self.val_index = stratified(labels, count, generator)
        rest = torch.ones(len(labels), dtype=torch.bool)
        rest[self.val_index] = False
        self.train_index = rest.nonzero()[:, 0]
        refuse_lost_classes(labels, self.train_index, data.classes, self.config.val_size)
        limit = self.config.train_limit or len(self.train_index)
        self.train_index = chosen(self.train_index, labels, scaled_images(self.scale, limit), generator)
        self.test_index = torch.arange(len(data.test.labels))
        limit = self.config.test_limit or len(self.test_index)
        generator = stream(self.config.val_seed, 0, "test limit")  # the same images however many are trained on
        self.test_index = chosen(self.test_index, data.test.labels, limit, generator)
        self.augment = Augment(self.augment_config, *self.statistics)

    @property
    def data(self) -> DataSet:
        assert self._data is not None, "call setup() first"
        return self._data

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel (pixels 0..1): from the settings, else from the training images.

        Raises:
            ConfigError: the settings name another number of channels than the images have.
        """
        mean, std = self.config.mean or self.data.mean, self.config.std or self.data.std
        check_channels(self.config, self.image_shape[0])
        return mean, std

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        return cast(tuple[int, int, int], tuple(self.data.train.images.shape[1:]))

    @property
    def classes(self) -> list[str]:
        return self.data.classes

    @property
    def selection(self) -> str:
        """What chooses the best epoch: ``validation``, or ``test`` where nothing is held out."""
        return "validation" if len(self.val_index) else "test"

    def facts(self) -> dict[str, Any]:
        """The facts of ``result.json`` on the data."""
        mean, std = self.statistics
        counts = {"train": len(self.train_index), "val": len(self.val_index), "test": len(self.test_index)}
        root = str(Path(self.config.root))
        return {
            "name": self.config.name,
            "root": root,
            "classes": self.classes,
            "image_shape": list(self.image_shape),
            "images": counts,
            "mean": mean,
            "std": std,
            "digest": self.data.digest,
            "test_sample": sample_digest(self.test_index) if self.config.test_limit else None,
        }

    def placed(self, split: str) -> ImageSet:
        """Images and labels of ``train`` or ``test``: on the training device where they fit, else in host memory."""
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        if (split, device) not in self._placed:
            self._placed = {key: place for key, place in self._placed.items() if key[1] == device}  # of another Trainer
            images, labels = getattr(self.data, split)
            if fits(images.nbytes, device):
                images, labels = images.to(device), labels.to(device)
            self._placed[split, device] = ImageSet(images, labels)
        return self._placed[split, device]

    def train_dataloader(self) -> TrainLoader:
        trainer = self.trainer
        assert trainer is not None
        return UnroundedLoader(
            self.placed("train"),
            self.train_index,
            self.batch,
            trainer.strategy.root_device,
            self.seed,
            epoch=lambda: trainer.current_epoch,
            draws=self.augment.draws,
            rank=trainer.global_rank,
            processes=trainer.world_size,
        )

    def _eval_loader(self, split: str, index: Tensor) -> Loader:
        assert self.trainer is not None
        device, rank, processes = self.trainer.strategy.root_device, self.trainer.global_rank, self.trainer.world_size
        return Loader(self.placed(split), index, self.eval_batch, device, rank, processes)

    def val_dataloader(self) -> list[Loader]:
        """The images held out of the training data; the test set where ``data.val_size=0``."""
        on_test = self.selection == "test"
        selecting = (
            self._eval_loader("test", self.test_index) if on_test else self._eval_loader("train", self.val_index)
        )
        return [selecting, self._eval_loader("train", self.train_index)] if self.eval_train else [selecting]

    def test_dataloader(self) -> Loader:
        return self._eval_loader(self.test_split, self.test_index if self.test_split == "test" else self.train_index)

    def plain_training_images(self, count: int) -> Iterator[Tensor]:
        """Batches of at most ``count`` training images as evaluation sees them, always the same ones.

        The batches are as equal as they can be: each counts the same in the statistics that are made of them. Every
        process gets all of them, each of them no larger than its share of an evaluation batch or of a training batch:
        the variance within a small one is less than that of all.
        """
        assert self.trainer is not None
        generator = stream(self.config.val_seed, 0, "plain training images")
        index = chosen(self.train_index, self.data.train.labels, count, generator)
        index = index[torch.randperm(len(index), generator=generator)]  # a folder's images come class by class
        most = max(1, len(index) // 2)  # BatchNorm needs two images
        share = math.ceil(max(self.eval_batch, self.batch) / self.trainer.world_size)
        for part in index.tensor_split(min(most, math.ceil(len(index) / share))):
            for batch in Loader(self.placed("train"), part, len(part), self.trainer.strategy.root_device):
                yield self.augment.plain(batch.images)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment and normalise, in the precision of the weights: the Trainer has converted the batch too early."""
        assert self.trainer is not None
        images, labels, draws = batch
        pixels = self.augment.plain(images) if draws is None else self.augment(images, draws.view(torch.float32))
        return Batch(self.trainer.precision_plugin.convert_input(pixels), labels)


def sample_digest(index: Tensor) -> str:
    """The same for two runs that are tested on the same images of a data set."""
    return hashlib.sha256(index.numpy().tobytes()).hexdigest()[:16]
