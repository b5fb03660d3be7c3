"""Against the plain loops of ``plain.py``: the same network, batch and data, on the same device, in turn."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from torch.utils.data import Dataset

from resnet_lightning.benchmark import plain
from resnet_lightning.benchmark.ours import LEAST_STEPS, WARM_UP, OurTraining, compose
from resnet_lightning.benchmark.rounds import Effort, Row, Way, compare, rows
from resnet_lightning.benchmark.timing import mean_seconds, torch_flags
from resnet_lightning.benchmark.training import build_network, compile_each_shape, device_of
from resnet_lightning.config import Config, DataError
from resnet_lightning.hardware import pick_precision
from resnet_lightning.models.convolutions import Conv3x3
from resnet_lightning.models.resnet import ResNet

SGD = ["optimizer=sgd", "scheduler=constant", "lr=0.01", "weight_decay=0"]
CASES = {
    "ResNet-10, MNIST at 32x32, batch 64": ["model=resnet10", "data=mnist", "data.image_size=32", "batch=64", *SGD],
    "ResNet-18, CIFAR-10, crop and flip, batch 128": [
        "model=resnet18", "data=cifar10", "augment=crop_flip", "batch=128", *SGD,
    ],
}  # fmt: skip
QUICK = ["model.widths=[4,8,8]", "model.depths=[1,1,1]", "batch=16"]


def plain_data(config: Config) -> Dataset[object]:
    """
    Raises:
        DataError: the files of CIFAR-10 are not here, or damaged.
    """
    if config.data.name == "mnist":
        return plain.mnist()
    try:
        return plain.cifar10(Path(config.data.root))
    except RuntimeError as error:
        raise DataError(
            f"CIFAR-10 is missing or damaged in {config.data.root}: set data.root or RESNET_LIGHTNING_DATA."
        ) from error


def plain_network(config: Config) -> ResNet:
    """The network of a run with torch's own 3x3 convolutions."""
    network = build_network(config)
    for module in network.modules():
        if isinstance(module, Conv3x3):
            module.faster = False
    return network


def plain_way(config: Config, workers: int, effort: Effort) -> Way:
    """Images/s of the plain loop; the network goes on learning, the DataLoader and its workers are new in each turn.

    Workers that live on would prepare batches in the turns of the others, and begin their own with a full queue.
    """
    device, network, data = device_of(config), plain_network(config), plain_data(config)

    @torch_flags(of_a_run=False)
    def seconds_a_step(count: int) -> float:
        with closing(plain.training_steps(network, data, config.batch, workers, device)) as steps:
            for _ in range(WARM_UP + 2 * workers):  # each worker has two batches ready before the first step
                next(steps)
            return mean_seconds(partial(next, steps), count, device)

    count = max(LEAST_STEPS, round(effort.seconds / max(seconds_a_step(3), 1e-6)))
    return lambda: config.batch / seconds_a_step(count)


def our_way(arguments: list[str], effort: Effort) -> Way:
    training = OurTraining(arguments)
    if training.config.compile:
        compile_each_shape()
    steps = training.steps_in(effort.seconds)
    return lambda: training.images_per_second(steps)


def our_cases(kind: str, compiled: bool) -> dict[str, list[str]]:
    """Settings of ours by name: ``precision=32``, and ``auto`` where that is something else here."""
    auto = pick_precision("auto", kind)
    cases = [["precision=32"], *([["precision=auto"]] if auto != "32" else [])]
    cases += [[*cases[-1], "compile=true"]] if compiled else []
    return {f"ours, {' '.join(case)}{f' ({auto})' if 'auto' in case[0] else ''}": case for case in cases}


def measure_case(name: str, arguments: list[str], effort: Effort, missing: list[str]) -> list[Row]:
    """
    Raises:
        DataError: the files of the data set are not here.
    """
    config = compose(arguments)
    makers: dict[str, Callable[[], Way]] = {
        f"plain loop, {workers} workers": partial(plain_way, config, workers, effort) for workers in (0, 2)
    }
    for case, extra in our_cases(device_of(config).type, compiled=not effort.quick).items():
        makers[case] = partial(our_way, [*arguments, *extra], effort)
    return rows("plain", name, "images/s", compare(name, makers, effort.rounds, missing))


def measure_plain(machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    """
    Args:
        machine: settings of the user that say where the data are and what trains: ``data.root``, ``accelerator``.
    """
    found: list[Row] = []
    missing: list[str] = []
    for name, settings in CASES.items():
        arguments = [*settings, *(QUICK if effort.quick else []), *machine]
        try:
            found += measure_case(name, arguments, effort, missing)
        except DataError as error:
            missing.append(f"{name}: skipped. {error}")
    return found, missing
