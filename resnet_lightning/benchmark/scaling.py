"""Does a larger task cost more than in proportion? Batch, data set, image and depth grow; flat figures are good.

Time is measured in turn in one process; memory, of which a process only knows the peak, in a fresh process each.
"""

import multiprocessing
import signal
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark.inputs import BATCH, our_batches
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort, Row, Way, compare, noted, rows
from resnet_lightning.benchmark.timing import Work, rate, release, torch_flags
from resnet_lightning.benchmark.training import (
    bare_step,
    build_network,
    device_of,
    image_shape,
    place,
    random_batch,
    training_flops,
)
from resnet_lightning.benchmark.write import number
from resnet_lightning.sweep.process import START_METHOD

SMALL = ["model=resnet10", "model.widths=[16,32,64]", "data=cifar10"]
# group -> (unit, case -> settings); a step is divided by its images, or by the operations where these grow
STEPS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "batch": ("us an image", {str(n): [*SMALL, f"batch={n}"] for n in (32, 64, 128, 256, 512)}),
    "image size": (
        "ns a MFLOP",  # stem=auto would shrink the largest images at once
        {str(n): [*SMALL, "stem=cifar", f"data.image_size={n}", "batch=32"] for n in (16, 32, 64, 128)},
    ),
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
    images = images.contiguous(memory_format=hardware.memory_format(device))
    return bare_step(config, network, images, labels, hardware.pick_precision(config.precision, device.type))


def batches_of(count: int, machine: list[str]) -> Work:
    """The next batch out of ``count`` random images, cropped and flipped."""
    config = compose([*SMALL, "augment=crop_flip", f"batch={BATCH}", *machine])
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    return our_batches(images, config.augment, device_of(config), config.batch)


def peak_memory_of(make: Callable[[], Work], device: torch.device, threads: int) -> float:
    """Peak memory in MiB of this process, or of its GPU, after three times that work.

    Raises:
        NotImplementedError: nobody tells.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent that Ctrl-C ends
    hardware.keep_freed_memory()
    torch.set_num_threads(threads)
    with torch_flags(of_a_run=device.type == "cuda"):
        work = make()
        for _ in range(3):
            work()
    peak = hardware.peak_memory(device)
    if peak is None:
        raise NotImplementedError("this system does not tell")
    return peak


def peaks_of(
    group: str, makers: dict[str, Callable[[], Work]], device: torch.device, missing: list[str]
) -> dict[str, float]:
    """Peak memory of each case, in MiB."""
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload(["resnet_lightning.benchmark.scaling"])
    release(device)
    peaks = {}
    for case, make in makers.items():
        with noted(f"{group}, {case}, memory", missing), ProcessPoolExecutor(1, context) as pool:
            peaks[case] = pool.submit(peak_memory_of, make, device, torch.get_num_threads()).result()
    return peaks


def memory_rows(group: str, unit: str, peaks: dict[str, float], amounts: dict[str, float]) -> list[Row]:
    """KiB for each image, or operation, that a case has more than the first; that one has what every process needs.

    Args:
        peaks: MiB of each case.
        amounts: what ``unit`` counts, for each case.
    """
    if not peaks:
        return []
    first, base = next(iter(peaks.items()))
    growth = {
        case: [1024 * (peak - base) / (amounts[case] - amounts[first])] for case, peak in peaks.items() if case != first
    }
    notes = {case: f"peak memory {peak:,.0f} MiB" for case, peak in peaks.items()}
    return rows("scaling", f"{group}: memory beyond that of {first} ({peaks[first]:,.0f} MiB)", unit, growth, notes)


def mflop_an_image(arguments: list[str]) -> float:
    config = compose(arguments)
    return training_flops(build_network(config), image_shape(config)) / 1e6


def per_operation(
    images: dict[str, list[float]], mflop: dict[str, float]
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Microseconds an image as nanoseconds a million operations, and notes that keep what they were."""
    figures = {case: [1e3 * value / mflop[case] for value in values] for case, values in images.items()}
    return figures, {case: f"{number(statistics.median(values))} us an image" for case, values in images.items()}


def measure_steps(group: str, machine: list[str], effort: Effort, missing: list[str]) -> list[Row]:
    unit, cases = STEPS[group]
    chosen = list(cases)[:2] if effort.quick else list(cases)
    settings = {case: [*cases[case], *machine] for case in chosen}
    device = device_of(compose([*SMALL, *machine]))
    steps: dict[str, Callable[[], Work]] = {case: partial(step_of, settings[case]) for case in chosen}

    def way(case: str) -> Way:
        return rate(steps[case](), compose(settings[case]).batch, effort.seconds, device)

    figures = compare(group, {case: partial(way, case) for case in chosen}, effort.rounds, missing)
    notes: dict[str, str] = {}
    figures = {case: [1e6 / value for value in values] for case, values in figures.items()}
    amounts = {case: float(compose(settings[case]).batch) for case in chosen}
    if unit == "ns a MFLOP":
        mflop = {case: mflop_an_image(settings[case]) for case in chosen}
        figures, notes = per_operation(figures, mflop)
        amounts = {case: images * mflop[case] for case, images in amounts.items()}
    peaks = peaks_of(group, steps, device, missing)
    memory = memory_rows(group, f"KiB {unit.partition(' ')[2]}", peaks, amounts)
    return rows("scaling", group, unit, figures, notes) + memory


def measure_data_sizes(machine: list[str], effort: Effort, missing: list[str]) -> list[Row]:
    group = "images in the data set (loader, crop and flip)"
    device = device_of(compose([*SMALL, *machine]))
    sizes = DATA_SIZES[:2] if effort.quick else DATA_SIZES
    batches: dict[str, Callable[[], Work]] = {f"{count:,}": partial(batches_of, count, machine) for count in sizes}

    def way(case: str) -> Way:
        return rate(batches[case](), BATCH, effort.seconds / 3, device)

    figures = compare(group, {case: partial(way, case) for case in batches}, effort.rounds, missing)
    figures = {case: [1e6 / value for value in values] for case, values in figures.items()}
    peaks = {} if effort.quick else peaks_of(group, batches, device, missing)
    amounts = {f"{count:,}": float(count) for count in sizes}
    return rows("scaling", group, "us an image", figures) + memory_rows(group, "KiB an image", peaks, amounts)


def measure_scaling(machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    """
    Args:
        machine: settings of the user that say where the data are and what trains: ``data.root``, ``accelerator``.
    """
    missing: list[str] = []
    groups = ["batch"] if effort.quick else list(STEPS)
    found = [row for group in groups for row in measure_steps(group, machine, effort, missing)]
    return found + measure_data_sizes(machine, effort, missing), missing
