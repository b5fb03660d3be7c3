"""Against the plain loops of ``plain.py``: the same network, batch and data, on the same device, in turn."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch.utils.data import Dataset

from resnet_lightning.benchmark import plain
from resnet_lightning.benchmark.ours import WARM_UP, OurTraining
from resnet_lightning.benchmark.rounds import Effort, Row, interleave, rows
from resnet_lightning.benchmark.timing import rate
from resnet_lightning.benchmark.training import build_network, device_of
from resnet_lightning.config import Config, DataError

SGD = ["optimizer=sgd", "scheduler=constant", "lr=0.01", "weight_decay=0"]
CASES = {
    "ResNet-10, MNIST at 32x32, batch 64": ["model=resnet10", "data=mnist", "data.image_size=32", "batch=64", *SGD],
    "ResNet-18, CIFAR-10, crop and flip, batch 128": [
        "model=resnet18", "data=cifar10", "augment=crop_flip", "batch=128", *SGD,
    ],
}  # fmt: skip
OURS = {
    "ours, precision=32": ["precision=32"],
    "ours, precision=auto": ["precision=auto"],
    "ours, precision=auto compile=true": ["precision=auto", "compile=true"],
}
QUICK = ["model.widths=[4,8,8]", "model.depths=[1,1,1]", "batch=16"]


def plain_data(config: Config) -> Dataset[object]:
    """
    Raises:
        DataError: the files of CIFAR-10 are not here.
    """
    if config.data.name == "mnist":
        return plain.mnist()
    try:
        return plain.cifar10(Path(config.data.root))
    except RuntimeError as error:
        raise DataError(f"{config.data.root} has no CIFAR-10: set data.root or RESNET_LIGHTNING_DATA.") from error


def plain_way(config: Config, workers: int, effort: Effort) -> Callable[[], float]:
    """Images/s of the plain loop, which goes on between the rounds where it stopped."""
    device = device_of(config)
    steps = plain.training_steps(build_network(config), plain_data(config), config.batch, workers, device)
    for _ in range(WARM_UP):
        next(steps)
    return rate(partial(next, steps), config.batch, effort.seconds, device)


def our_way(arguments: list[str], effort: Effort) -> Callable[[], float]:
    training = OurTraining(arguments)
    steps = training.steps_in(effort.seconds)
    return lambda: training.images_per_second(steps)


def measure_case(name: str, arguments: list[str], config: Config, effort: Effort) -> list[Row]:
    """
    Args:
        config: of this case, as the plain loop takes it.

    Raises:
        DataError: the files of the data set are not here.
    """
    ways = {f"plain loop, {workers} workers": plain_way(config, workers, effort) for workers in (0, 2)}
    chosen = dict(list(OURS.items())[:2]) if effort.quick else OURS
    ways |= {case: our_way([*arguments, *extra], effort) for case, extra in chosen.items()}
    return rows("plain", name, "images/s", interleave(ways, effort.rounds))


def measure_plain(machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    """
    Args:
        machine: settings of the user that say where the data are and what trains: ``data.root``, ``accelerator``.
    """
    from resnet_lightning.benchmark.ours import compose

    found, missing = [], []
    for name, settings in CASES.items():
        arguments = [*settings, *(QUICK if effort.quick else []), *machine]
        try:
            found += measure_case(name, arguments, compose(arguments), effort)
        except DataError as error:
            missing.append(f"{name}: skipped. {error}")
    return found, missing
