"""The images that a trained network is evaluated on: its own or others', in its own size, channels and classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from resnet_lightning.checks import nearest
from resnet_lightning.compose import compose_all
from resnet_lightning.config import PUBLISHED, AugmentConfig, Config, ConfigError, DataConfig, normal
from resnet_lightning.data import cache
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.data.folder import decode, images_below, labelled_files
from resnet_lightning.data.readers import CIFAR10_CLASSES, FASHION_CLASSES
from resnet_lightning.overrides import parse
from resnet_lightning.use.images import Chosen
from resnet_lightning.use.trained import Trained

OF_THE_NETWORK = {"augment.normalize", "data.mean", "data.std"}
OF_A_SPLIT = {"data.val_size", "data.val_seed", "data.train_limit", "data.test_limit"}
KNOWN = {"mnist": [str(digit) for digit in range(10)], "fashion_mnist": FASHION_CLASSES, "cifar10": CIFAR10_CLASSES}


class Subject(NamedTuple):
    """Images to evaluate on.

    Attributes:
        images: N of them, with the channels of the network.
        labels: (N,) numbers of the network's classes.
        name: of the data set, of a folder with its own name.
        augment: None where the images are taken as they are.
        own: they are from the data set of the run.
        changed: they are in the folder of the run, but others than those that it had.
        data: where they are from.
    """

    images: Chosen
    labels: Tensor
    name: str
    augment: AugmentConfig | None
    own: bool
    changed: bool
    data: DataConfig


def read_subject(trained: Trained, split: str, overrides: Sequence[str]) -> Subject:
    """Read what ``split`` and overrides of ``data`` and ``augment`` ask for.

    Raises:
        ConfigError: no such setting, or classes, split and data do not fit.
        DataError: the files are missing or damaged.
    """
    refuse_several(overrides)
    asked = {text.partition("=")[0] for text in overrides}
    for key in OF_THE_NETWORK & asked:
        raise ConfigError(f"{key} is not possible: the network takes images normalised as in its training.")
    ((_, settings),) = compose_all([*overrides, *inherited(trained.config, asked)], multirun=False).jobs
    data = settings.data if "data" in asked else kept(trained.config.data, settings.data, asked)
    scale = 1.0 if "data" in asked else trained.config.scale
    own = data.name == trained.config.data.name
    others = own and data.name not in PUBLISHED and not are_of_the_run(data, trained)
    changed = others and normal("data.root", data.root) == normal("data.root", trained.config.data.root)
    if data.name in KNOWN:  # before 170 MB are downloaded
        match_classes(KNOWN[data.name], trained.classes)
    augment = None
    if any(key.split(".")[0] == "augment" for key in asked):
        augment = replace(settings.augment, normalize=trained.config.augment.normalize)
    if data.name == "folder" and not (Path(data.root) / "train").is_dir():
        for text in (text for text in overrides if text.partition("=")[0] in OF_A_SPLIT):
            raise ConfigError(f"{text} is not possible: all images of {data.root}, which has no folder train/, count.")
        images, labels, classes = read_bare_folder(data, split)
        index = torch.arange(len(labels))
    else:
        images, labels, index, classes = read_split(data, settings, split, scale)
    numbers = match_classes(classes, trained.classes)
    name = f"folder {'/'.join(Path(data.root).resolve().parts[-2:])}" if data.name == "folder" else data.name
    chosen = Chosen(images, index, trained.image_shape[0])
    return Subject(chosen, numbers[labels], name, augment, own and (changed or not others), changed, data)


def refuse_several(overrides: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: a setting names several values, as for a sweep.
    """
    for override in parse(overrides):
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line} names several values; only sweeps take those (a list is [a,b]).")


def inherited(config: Config, asked: set[str]) -> list[str]:
    """The size of the images follows the run, unless the user says another; nothing is trained, in whatever batch."""
    return ["batch=2", *([] if "data.image_size" in asked else [f"data.image_size={config.data.image_size}"])]


def are_of_the_run(data: DataConfig, trained: Trained) -> bool:
    """Whether a root that the user names has the images of the run, at the size that these had there."""
    digest = trained.result.data.get("digest")
    if digest is None or (data.name == "folder" and not (Path(data.root) / "train").is_dir()):
        return digest is None
    return bool(cache.load(replace(data, image_size=trained.config.data.image_size)).digest == digest)


def kept(of_run: DataConfig, composed: DataConfig, asked: set[str]) -> DataConfig:
    """The data of the run, changed where the user said so, and where they are by now.

    Raises:
        ConfigError: a user's own images are not where they were.
    """
    changes = {key: getattr(composed, key) for key in vars(composed) if f"data.{key}" in asked}
    if "root" not in changes and not Path(of_run.root).exists():
        if of_run.name not in PUBLISHED:
            raise ConfigError(f"The images of the run are no longer in {of_run.root}: give data.root=.")
        changes["root"] = composed.root
    return replace(of_run, **changes)


def read_split(
    data: DataConfig, settings: Config, split: str, scale: float
) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """One split of a run with these data and ``scale``.

    Returns:
        (M, C, H, W) uint8 images, (N,) labels and positions of those of the split, and the classes.
    """
    module = ImageDataModule(data, settings.augment, settings.batch, settings.eval_batch, settings.seed, scale)
    module.setup()
    if split == "val" and module.selection == "test":
        raise ConfigError("split=val is not possible: data.val_size=0 holds out no validation images.")
    part = module.data.test if split == "test" else module.data.train
    index = {"test": module.test_index, "val": module.val_index, "train": module.train_index}[split]
    return part.images, part.labels[index], index, module.classes


def read_bare_folder(data: DataConfig, split: str) -> tuple[Tensor, Tensor, list[str]]:
    """Images of ``root/test/<class>/`` or ``root/<class>/``: a folder that nothing is trained on needs no more."""
    root = Path(data.root)
    if not root.is_dir():
        raise ConfigError(f"data.root={data.root} is not a folder.")
    if split != "test":
        raise ConfigError(f"split={split} is not possible: {root} has no folder train/. Use split=test.")
    place = root / "test" if (root / "test").is_dir() else root
    named = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    classes = [path.name for path in named if images_below(path)]
    files = labelled_files(place, classes)
    images = np.concatenate(list(decode([path for path, _ in files], data.image_size)))
    return (
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([label for _, label in files]),
        classes,
    )


def match_classes(classes: Sequence[str], known: Sequence[str]) -> Tensor:
    """For each class of the data the number that the network has for it, by name.

    Raises:
        ConfigError: the data have a class that the network has not.
    """
    strange = [name for name in classes if name not in known]
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise ConfigError(
            f"The data have the class {strange[0]}{more}, which the network does not know."
            f"{nearest(strange[0], known)} Its classes: {shown}."
        )
    return torch.tensor([list(known).index(name) for name in classes])
