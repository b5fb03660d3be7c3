"""Training throughput of one network: precision x memory format x compile, beside what the hardware can do at all."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from resnet_lightning import hardware
from resnet_lightning.benchmark.rounds import Effort, Row, Way, interleave, noted, ratios, rows
from resnet_lightning.benchmark.timing import rate
from resnet_lightning.checks import CHANNELS
from resnet_lightning.config import Config
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.training.optimizers import build_optimizer

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


class Variant(NamedTuple):
    precision: str
    memory_format: str
    compiled: bool

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}{', compiled' if self.compiled else ''}"


def precisions(kind: str) -> list[str]:
    """What is sensible here, the simplest first: 32, bf16 where the hardware has units for it, 16 on a GPU (its loss
    has to be scaled)."""
    return ["32", *(["bf16"] if hardware.computes_in_bf16(kind) else []), *(["16"] if kind in ("cuda", "mps") else [])]


def variants(kind: str, compiled: Sequence[bool]) -> list[Variant]:
    return [Variant(p, f, c) for c in compiled for p in precisions(kind) for f in FORMATS]


def device_of(config: Config) -> torch.device:
    kind = hardware.pick_accelerator(config.accelerator)
    return torch.device(kind, 0) if kind == "cuda" else torch.device(kind)


def image_shape(config: Config) -> tuple[int, int, int]:
    """(C, H, W); a user's own images are read as red, green, blue."""
    size = config.data.image_size
    return CHANNELS.get(config.data.name, 3), size, size


def build_network(config: Config) -> ResNet:
    torch.manual_seed(0)
    return ResNet.from_config(config, image_shape(config)[0], 100 if config.data.name == "cifar100" else 10)


def format_of_a_run(device: torch.device) -> str:
    return next(name for name, layout in FORMATS.items() if layout is hardware.memory_format(device))


def place(network: ResNet, device: torch.device, memory_format: torch.memory_format | None = None) -> ResNet:
    """``network`` on ``device``, by default in the memory format of a run."""
    return network.to(device).to(memory_format=memory_format or hardware.memory_format(device))


def random_batch(config: Config, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) of noise and labels (N,): speed does not depend on what they show."""
    images = torch.randn(config.batch, *image_shape(config), device=device)
    return images, torch.randint(0, 10, (config.batch,), device=device)


def training_flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Floating-point operations of convolutions and products for one image (C, H, W): forward and backward.

    Args:
        network: loses its weights.
    """
    skeleton = network.to("meta")
    with FlopCounterMode(display=False) as counter:
        skeleton(torch.empty(2, *shape, device="meta")).sum().backward()
    return int(counter.get_total_flops()) // 2


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    return nullcontext() if precision == "32" else torch.autocast(device.type, DTYPES[precision])


def bare_step(config: Config, network: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Callable[[], None]:
    """Forward, loss, backward and the optimizer of the settings on one batch that stays where it is."""
    fused = (images.device.type, precision) != ("mps", "16")  # as in a run
    # so slow that noise stays finite
    optimizer = build_optimizer(network, config.optimizer, 1e-4, config.weight_decay, fused)
    scaler = torch.amp.GradScaler(images.device.type, enabled=precision == "16")

    def step() -> None:
        with autocast(precision, images.device):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def compile_each_shape() -> None:
    """Give every network of this process graphs for its own shapes, as in a run that has no other.

    torch remembers the shapes of all networks of a class: it would make the second one's graph for any shape, and give
    up compiling after a few.
    """
    from torch._dynamo import config  # takes seconds to import

    config.automatic_dynamic_shapes = False
    config.recompile_limit = 64


def variant_step(config: Config, variant: Variant, device: torch.device) -> Callable[[], None]:
    memory_format = FORMATS[variant.memory_format]
    network = place(build_network(config), device, memory_format)
    if variant.compiled:
        compile_each_shape()
        network.compile(dynamic=False)
    images, labels = random_batch(config, device)
    return bare_step(config, network, images.contiguous(memory_format=memory_format), labels, variant.precision)


def peak_work(precision: str, device: torch.device, quick: bool) -> dict[str, tuple[Callable[[], Tensor], float]]:
    """A large matrix product and a large 3x3 convolution: work and floating-point operations of each."""
    dtype, images = DTYPES[precision], 4 if quick else 128
    size = 256 if quick else 8192 if device.type == "cuda" else 2048  # a GPU is not full with less
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    maps = torch.randn(images, 128, 32, 32, device=device).to(dtype, memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    operations = 2.0 * images * 32 * 32 * 128 * 128 * 9
    return {
        f"matrix product {size} x {size}, {precision}": (lambda: a @ b, 2.0 * size**3),
        f"3x3 convolution, 128 channels, {images} x 32 x 32, {precision}": (
            lambda: F.conv2d(maps, kernel, padding=1),
            operations,
        ),
    }


def peak_ways(kinds: Sequence[str], device: torch.device, effort: Effort, missing: list[str]) -> dict[str, Way]:
    """GFLOP/s of ``peak_work`` in each precision; what works here."""
    ways = {}
    for precision in kinds:
        with noted(f"The peak in {precision}", missing):
            for name, (work, operations) in peak_work(precision, device, effort.quick).items():
                ways[name] = rate(work, operations / 1e9, effort.seconds / 3, device)
    return ways


class Prepared(NamedTuple):
    way: Way  # images/s
    warm_up: float  # seconds from nothing until it was warm, compilation included


def prepare(
    config: Config, chosen: Sequence[Variant], device: torch.device, effort: Effort
) -> tuple[dict[Variant, Prepared], list[str]]:
    """A warm way for each variant, and a sentence for each that does not work here."""
    ready: dict[Variant, Prepared] = {}
    missing: list[str] = []
    for variant in chosen:
        with noted(f"{config.model.name}, batch {config.batch}, {variant}", missing):
            start = time.perf_counter()
            way = rate(variant_step(config, variant, device), config.batch, effort.seconds, device)
            ready[variant] = Prepared(way, time.perf_counter() - start)
    return ready, missing


def peak_shares(
    speeds: Mapping[str, Sequence[float]], peaks: Mapping[str, Sequence[float]], flops: int
) -> dict[str, list[float]]:
    """For each variant, round by round: its share, in percent, of the faster peak of its precision in that round.

    Args:
        speeds: images/s of each variant, round by round.
        peaks: GFLOP/s of what ``peak_work`` names, round by round.
    """
    shares = {}
    for case, values in speeds.items():
        precision = case.split(",")[0]
        of_precision = [values for name, values in peaks.items() if name.endswith(f", {precision}")]
        best = [max(together) for together in zip(*of_precision, strict=True)]
        if best:
            shares[case] = [ratio * flops / 1e7 for ratio in ratios(values, best)]
    return shares


def measure_training(config: Config, effort: Effort) -> tuple[list[Row], list[str]]:
    device, shape = device_of(config), image_shape(config)
    chosen = variants(device.type, (False,) if effort.quick else (False, True))
    prepared, missing = prepare(config, chosen, device, effort)
    ways = peak_ways(precisions(device.type), device, effort, missing)
    peak_names = list(ways)
    ways |= {str(variant): ready.way for variant, ready in prepared.items()}
    flops = training_flops(build_network(config), shape)
    group = f"{config.model.name}, batch {config.batch}, {'x'.join(map(str, shape))}, {flops / 1e6:,.0f} MFLOP an image"
    figures = interleave(group, ways, effort.rounds, missing)
    peaks = {name: figures.pop(name) for name in peak_names if name in figures}
    found = rows("training", "peak of this machine", "GFLOP/s", peaks)
    found += rows("training", group, "images/s", figures)
    shares = peak_shares(figures, peaks, flops)
    return found + rows("training", f"{group}: share of the peak in that precision", "%", shares), missing
