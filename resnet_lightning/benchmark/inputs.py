"""The input path alone: from images in memory to augmented, normalised batches (N, C, H, W) on a device.

Every library draws other parameters for every image: torchvision's transforms, both generations, therefore go image by
image, as in a DataLoader; ours take a batch, and so do kornia's but for its crops, by default. Hue is not the same
work: theirs is a shift in HSV, ours a turn about the grey axis.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import v2

from resnet_lightning.benchmark import against_plain
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort, Row, Way, compare, rows
from resnet_lightning.benchmark.timing import Work, one_thread, rate, torch_flags
from resnet_lightning.benchmark.training import Variant, device_of, format_of_a_run, image_shape, variant_step
from resnet_lightning.config import AugmentConfig, Config
from resnet_lightning.data.augment import Augment
from resnet_lightning.data.cache import ImageSet
from resnet_lightning.data.loader import Batch, TrainLoader
from resnet_lightning.hardware import pick_precision
from resnet_lightning.presets import preset, typed

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH, IMAGES, MOST_BYTES = 128, 4096, 2**28
JITTER = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1}
TOGGLES: dict[str, dict[str, Any]] = {
    "crop and flip": {"random_crop": 4, "horizontal_flip": 0.5},
    "normalisation alone": {},
    "crop": {"random_crop": 4},
    "flip": {"horizontal_flip": 0.5},
    "resized crop": {"random_resized_crop": 0.5},
    "rotation": {"rotation": 15},
    "colour jitter": {"color_jitter": JITTER},
    "grayscale": {"grayscale": 0.1},
    "erasing": {"random_erasing": 0.5},
    "all six of the reports (augment=report_full)": {
        "random_resized_crop": 0.5, "horizontal_flip": 0.5, "rotation": 15, "color_jitter": JITTER, "grayscale": 0.1,
    },
}  # fmt: skip
QUICK = ("crop and flip", "erasing")


def settings_of(toggles: dict[str, Any]) -> AugmentConfig:
    return typed(AugmentConfig, preset("augment", "normalize", **toggles))


def torchvision_steps(of: ModuleType, augment: AugmentConfig, size: int, to_float: Sequence[Any]) -> Any:
    """The usual pipeline from ``torchvision.transforms`` or ``.v2``, whose classes have the same names."""
    jitter = augment.color_jitter
    steps = [of.RandomCrop(size, padding=augment.random_crop)] if augment.random_crop else []
    if augment.random_resized_crop:
        steps.append(of.RandomResizedCrop(size, scale=(augment.random_resized_crop, 1.0)))
    if augment.horizontal_flip:
        steps.append(of.RandomHorizontalFlip(augment.horizontal_flip))
    if augment.rotation:
        bilinear = transforms.InterpolationMode.BILINEAR
        steps.append(of.RandomRotation(augment.rotation, interpolation=bilinear))
    if jitter.brightness:
        steps.append(of.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue))
    if augment.grayscale:
        steps.append(of.RandomGrayscale(augment.grayscale))
    steps += [*to_float, of.Normalize(MEAN, STD)]
    if augment.random_erasing:
        steps.append(of.RandomErasing(augment.random_erasing))
    return of.Compose(steps)


def kornia_steps(augment: AugmentConfig, size: int) -> nn.Module:
    import kornia.augmentation as kornia

    jitter, steps = augment.color_jitter, []
    if augment.random_crop:
        steps.append(kornia.RandomCrop((size, size), padding=augment.random_crop))
    if augment.random_resized_crop:
        steps.append(kornia.RandomResizedCrop((size, size), scale=(augment.random_resized_crop, 1.0)))
    if augment.horizontal_flip:
        steps.append(kornia.RandomHorizontalFlip(p=augment.horizontal_flip))
    if augment.rotation:
        steps.append(kornia.RandomRotation(augment.rotation, p=1.0))
    if jitter.brightness:
        strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        steps.append(kornia.ColorJitter(*strengths, p=1.0))
    if augment.grayscale:
        steps.append(kornia.RandomGrayscale(p=augment.grayscale))
    steps.append(kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD)))
    if augment.random_erasing:
        steps.append(kornia.RandomErasing(p=augment.random_erasing))
    return nn.Sequential(*steps)


def endless(make: Callable[[], Any]) -> Work:
    """The next batch of a loader that begins anew when it ends."""

    def batches() -> Any:
        while True:
            yield from make()

    iterator = batches()
    return lambda: next(iterator)


def our_batches(images: Tensor, augment: AugmentConfig, device: torch.device, batch: int = BATCH) -> Work:
    """Our loader and augmentation as a run uses them, on (N, C, H, W) uint8 images of noise."""
    channels = images.shape[1]
    change = Augment(augment, MEAN[:channels], STD[:channels])
    data = ImageSet(images.to(device), torch.zeros(len(images), dtype=torch.int64, device=device))
    loader = TrainLoader(data, torch.arange(len(images)), batch, device, 0, lambda: 0, change.draws)

    def augmented(part: Batch) -> Tensor:
        assert part.draws is not None
        return change(part.images, part.draws)

    return endless(lambda: map(augmented, loader))


def shuffled(count: int, device: torch.device | None = None) -> Any:
    """Whole batches only, as ours are; the order is copied to a device once, for which a GPU would have to wait."""
    return torch.randperm(count)[: count // BATCH * BATCH].to(device).split(BATCH)


def pil(images: Tensor, augment: AugmentConfig) -> Work:
    change = torchvision_steps(transforms, augment, images.shape[3], [transforms.ToTensor()])
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()

    def batches() -> Any:
        return (
            torch.stack([change(Image.fromarray(arrays[i])) for i in part.tolist()]) for part in shuffled(len(arrays))
        )

    return endless(batches)


def tensors(images: Tensor, augment: AugmentConfig) -> Work:
    change = torchvision_steps(v2, augment, images.shape[3], [v2.ToDtype(torch.float32, scale=True)])
    return endless(lambda: (torch.stack([change(images[i]) for i in part.tolist()]) for part in shuffled(len(images))))


def kornia_batches(images: Tensor, augment: AugmentConfig, device: torch.device) -> Work:
    change, images = kornia_steps(augment, images.shape[3]).to(device), images.to(device)

    def batches() -> Any:
        return (change(images.index_select(0, part) / 255) for part in shuffled(len(images), device))

    return endless(batches)


def makers_of(
    images: Tensor, augment: AugmentConfig, device: torch.device, effort: Effort
) -> dict[str, Callable[[], Way]]:
    """Images/s of every library that is here; torchvision's transforms work on the CPU whatever trains."""
    work: dict[str, Callable[[], Work]] = {
        "torchvision, PIL": partial(pil, images, augment),
        "torchvision v2, tensors": partial(tensors, images, augment),
    }
    if find_spec("kornia"):
        work["kornia"] = partial(kornia_batches, images, augment, device)
    work["ours"] = partial(our_batches, images, augment, device)

    def way(make: Callable[[], Work]) -> Way:
        return rate(make(), BATCH, effort.seconds / 3, device)

    def as_torch_has_it(make: Callable[[], Work]) -> Way:
        with torch_flags(of_a_run=False):
            turn = way(make)
        return torch_flags(of_a_run=False)(turn)

    return {name: partial(way if name == "ours" else as_torch_has_it, make) for name, make in work.items()}


def noise(shape: tuple[int, int, int], least: int, most: int = IMAGES) -> Tensor:
    """(N, C, H, W) uint8: ``most`` of them, or as many as a quarter of a gigabyte holds, but ``least`` at any rate."""
    count = max(least, min(most, MOST_BYTES // math.prod(shape)))
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8)


def measure_toggles(size: int, device: torch.device, effort: Effort, missing: list[str]) -> list[Row]:
    images = noise((3, size, size), BATCH, 2 * BATCH if effort.quick else IMAGES)
    found = []
    for name, toggles in TOGGLES.items():
        if effort.quick and name not in QUICK:
            continue
        makers = makers_of(images, settings_of(toggles), device, effort)
        group = f"{name}, 3x{size}x{size}, batch {BATCH}, {where(device)}"
        found += rows("input", group, "images/s", compare(group, makers, effort.rounds, missing))
    return found


def where(device: torch.device) -> str:
    return "one CPU core" if device.type == "cpu" else f"{device.type} (torchvision: one CPU core)"


def measure_share(name: str, config: Config, effort: Effort, missing: list[str]) -> list[Row]:
    """Loader and augmentation beside the training step that they feed, on as many threads."""
    device = device_of(config)
    images = noise(image_shape(config), config.batch)
    variant = Variant(pick_precision(config.precision, device.type), format_of_a_run(device), False)
    makers: dict[str, Callable[[], Way]] = {
        "training step": lambda: rate(variant_step(config, variant, device), 1.0, effort.seconds, device),
        "loader and augmentation": lambda: rate(
            our_batches(images, config.augment, device, config.batch), 1.0, effort.seconds, device
        ),
    }
    group = f"data path of {name}"
    figures = compare(group, makers, effort.rounds, missing)
    milliseconds = {name: [1000 / value for value in values] for name, values in figures.items()}
    return rows("input", group, "ms a step", milliseconds)


def measure_input(config: Config, machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    """
    Args:
        config: of the user: the size of the images, and the data path beside that of a small network on small images.
        machine: settings of the user that say where the data are and what trains.
    """
    missing = [] if find_spec("kornia") else ['kornia is not installed: pip install -e ".[benchmark]"']
    with one_thread():
        found = measure_toggles(config.data.image_size, torch.device("cpu"), effort, missing)
        if device_of(config).type != "cpu":
            found += measure_toggles(config.data.image_size, device_of(config), effort, missing)
    small, settings = next(iter(against_plain.CASES.items()))
    settings = [*settings, *(against_plain.QUICK if effort.quick else []), *machine]
    for name, case in {f"{config.model.name}, batch {config.batch}": config, small: compose(settings)}.items():
        found += measure_share(name, case, effort, missing)
    return found, missing
