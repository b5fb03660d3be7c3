"""Does a larger task cost more than in proportion? Batch, data set, image and depth grow; flat figures are good.

Time is measured in turn in one process; memory, of which a process only knows the peak, in a fresh process each.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark.inputs import BATCH, ours
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort, Row, interleave, rows
from resnet_lightning.benchmark.timing import Work, rate
from resnet_lightning.benchmark.training import (
    bare_step,
    build_network,
    device_of,
    image_shape,
    place,
    random_batch,
    training_flops,
)

SMALL = ["model=resnet10", "model.widths=[16,32,64]", "data=cifar10"]
# group -> (unit, case -> settings); a step is divided by its images, or by the operations where these grow
STEPS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "batch": ("us an image", {str(n): [*SMALL, f"batch={n}"] for n in (32, 64, 128, 256, 512)}),
    "image size": ("ns a MFLOP", {str(n): [*SMALL, f"data.image_size={n}", "batch=32"] for n in (16, 32, 64, 128)}),
    "depth": (
        "ns a MFLOP",
        {f"resnet{n}": [f"model=resnet{n}", "data=cifar10", "batch=64"] for n in (20, 32, 44, 56, 110)},
    ),
}
DATA_SIZES = (1_000, 10_000, 50_000, 200_000)  # images of 3x32x32


def step_of(arguments: list[str]) -> Work:
    config = compose(arguments)
    device = device_of(config)
    network = place(build_network(config), device)
    images, labels = random_batch(config, device)
    images = images.contiguous(memory_format=torch.channels_last)
    return bare_step(network, images, labels, hardware.pick_precision(config.precision, device.type))


def batches_of(count: int) -> Work:
    """The next batch out of ``count`` random images, cropped and flipped."""
    config = compose([*SMALL, "augment=crop_flip", f"batch={BATCH}"])
    device = device_of(config)
    return ours(torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8), config.augment, device, config.batch)


def peak_memory_of(make: Callable[..., Work], argument: object, threads: int) -> float:
    """Peak memory in MiB of this process, or of its GPU, after three times that work."""
    hardware.keep_freed_memory()
    torch.set_num_threads(threads)
    work = make(argument)
    for _ in range(3):
        work()
    return hardware.peak_memory(device_of(compose(SMALL))) or float("nan")


def memory_notes(make: Callable[..., Work], arguments: dict[str, object]) -> dict[str, str]:
    """``{"64": "peak memory 512 MiB", ...}``"""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["resnet_lightning.benchmark.scaling"])
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        peaks = {case: pool.submit(peak_memory_of, make, what, threads) for case, what in arguments.items()}
        return {case: f"peak memory {peak.result():,.0f} MiB" for case, peak in peaks.items()}


def divisor(arguments: list[str], unit: str) -> float:
    """Images of a step, or its millions of operations."""
    config = compose(arguments)
    if unit != "ns a MFLOP":
        return float(config.batch)
    return config.batch * training_flops(build_network(config), image_shape(config)) / 1e6


def measure_steps(group: str, effort: Effort) -> list[Row]:
    unit, cases = STEPS[group]
    cases = dict(list(cases.items())[:2]) if effort.quick else cases
    device = device_of(compose(SMALL))
    scale = 1e9 if unit.startswith("ns") else 1e6
    ways = {
        case: rate(step_of(settings), divisor(settings, unit), effort.seconds, device)
        for case, settings in cases.items()
    }
    figures = interleave(ways, effort.rounds)
    figures = {case: [scale / value for value in values] for case, values in figures.items()}
    return rows("scaling", group, unit, figures, memory_notes(step_of, dict(cases)))


def measure_data_sizes(effort: Effort) -> list[Row]:
    sizes = {f"{count:,}": count for count in (DATA_SIZES[:2] if effort.quick else DATA_SIZES)}
    device = device_of(compose(SMALL))
    ways = {case: rate(batches_of(count), BATCH, effort.seconds / 3, device) for case, count in sizes.items()}
    figures = {case: [1e6 / value for value in values] for case, values in interleave(ways, effort.rounds).items()}
    notes = {} if effort.quick else memory_notes(batches_of, dict(sizes))
    return rows("scaling", "images in the data set (loader, crop and flip)", "us an image", figures, notes)


def measure_scaling(effort: Effort) -> tuple[list[Row], list[str]]:
    groups = ["batch"] if effort.quick else list(STEPS)
    return [row for group in groups for row in measure_steps(group, effort)] + measure_data_sizes(effort), []
