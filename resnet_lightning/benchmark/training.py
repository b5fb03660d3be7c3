"""Training throughput of one network: precision x memory format x compile, beside what the hardware can do at all."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from resnet_lightning import hardware
from resnet_lightning.benchmark.rounds import Effort, Row, interleave, rows
from resnet_lightning.benchmark.timing import rate
from resnet_lightning.config import Config
from resnet_lightning.models.resnet import ResNet

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


class Variant(NamedTuple):
    precision: str
    memory_format: str
    compiled: bool

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}{', compiled' if self.compiled else ''}"


def precisions(kind: str) -> list[str]:
    """What is sensible here: 32, 16 on a GPU, bf16 where the hardware has units for it."""
    return ["32", *(["16"] if kind == "cuda" else []), *(["bf16"] if hardware.computes_in_bf16(kind) else [])]


def variants(kind: str, compiled: Sequence[bool] = (False, True)) -> list[Variant]:
    return [Variant(p, f, c) for c in compiled for p in precisions(kind) for f in FORMATS]


def device_of(config: Config) -> torch.device:
    kind = hardware.pick_accelerator(config.accelerator)
    return torch.device(kind, 0) if kind == "cuda" else torch.device(kind)


def image_shape(config: Config) -> tuple[int, int, int]:
    """(C, H, W); a user's own images are read as red, green, blue."""
    size = config.data.image_size
    return (1 if "mnist" in config.data.name else 3), size, size


def build_network(config: Config) -> ResNet:
    torch.manual_seed(0)
    classes = 100 if config.data.name == "cifar100" else 10
    return ResNet(config.model, config.stem, image_shape(config)[0], classes, config.activation, config.dropout)


def place(network: ResNet, device: torch.device, memory_format: torch.memory_format = torch.channels_last) -> ResNet:
    return network.to(device).to(memory_format=memory_format)


def random_batch(config: Config, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) of noise and labels (N,): speed does not depend on what they show."""
    images = torch.randn(config.batch, *image_shape(config), device=device)
    return images, torch.randint(0, 10, (config.batch,), device=device)


def training_flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Floating-point operations of convolutions and products for one image (C, H, W): forward and backward."""
    skeleton = network.to("meta")
    with FlopCounterMode(display=False) as counter:
        skeleton(torch.empty(2, *shape, device="meta")).sum().backward()
    return int(counter.get_total_flops()) // 2


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    return nullcontext() if precision == "32" else torch.autocast(device.type, DTYPES[precision])


def bare_step(network: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Callable[[], None]:
    """Forward, loss, backward and SGD with momentum on one batch that stays where it is."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    scaler = torch.amp.GradScaler(images.device.type, enabled=precision == "16")

    def step() -> None:
        with autocast(precision, images.device):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def variant_step(config: Config, variant: Variant, device: torch.device) -> Callable[[], None]:
    memory_format = FORMATS[variant.memory_format]
    network = place(build_network(config), device, memory_format)
    if variant.compiled:
        network.compile()
    images, labels = random_batch(config, device)
    return bare_step(network, images.contiguous(memory_format=memory_format), labels, variant.precision)


def peak_work(precision: str, device: torch.device, quick: bool) -> dict[str, tuple[Callable[[], Tensor], float]]:
    """A large matrix product and a large 3x3 convolution: work and floating-point operations of each."""
    dtype, size, images = DTYPES[precision], 256 if quick else 2048, 4 if quick else 128
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


def measure_peak(kinds: Sequence[str], device: torch.device, effort: Effort) -> tuple[list[Row], dict[str, float]]:
    """Rows in GFLOP/s, and the larger of the two medians for each precision."""
    work = {precision: peak_work(precision, device, effort.quick) for precision in kinds}
    ways = {
        name: rate(work_of, flops / 1e9, effort.seconds / 3, device)
        for cases in work.values()
        for name, (work_of, flops) in cases.items()
    }
    found = rows("training", "peak of this machine", "GFLOP/s", interleave(ways, effort.rounds))
    medians = {row.case: row.median for row in found}
    return found, {precision: max(medians[name] for name in cases) for precision, cases in work.items()}


class Prepared(NamedTuple):
    way: Callable[[], float]  # images/s
    warm_up: float  # seconds from nothing until it was warm, compilation included


def prepare(
    config: Config, chosen: Sequence[Variant], device: torch.device, effort: Effort
) -> tuple[dict[Variant, Prepared], list[str]]:
    """A warm way for each variant, and a sentence for each that does not work here."""
    ready, missing = {}, []
    for variant in chosen:
        start = time.perf_counter()
        try:
            way = rate(variant_step(config, variant, device), config.batch, effort.seconds, device)
            ready[variant] = Prepared(way, time.perf_counter() - start)
        except Exception as error:  # torch.compile needs a C++ compiler, and can fail in many ways
            first = (str(error).splitlines() or [""])[0][:200]
            missing.append(f"{config.model.name}, {variant}: not possible here ({type(error).__name__}: {first}).")
    return ready, missing


def measure_training(config: Config, effort: Effort) -> tuple[list[Row], list[str]]:
    device = device_of(config)
    chosen = variants(device.type, (False,) if effort.quick else (False, True))
    peak_rows, peak = measure_peak(precisions(device.type), device, effort)
    prepared, missing = prepare(config, chosen, device, effort)
    flops = training_flops(build_network(config), image_shape(config))
    figures = interleave({str(variant): ready.way for variant, ready in prepared.items()}, effort.rounds)
    shape = "x".join(map(str, image_shape(config)))
    group = f"{config.model.name}, batch {config.batch}, {shape}, {flops / 1e6:,.0f} MFLOP an image"
    found = rows("training", group, "images/s", figures)
    notes = {
        row.case: f"{row.median * flops / 1e7 / peak[row.case.split(',')[0]]:.0f} % of the peak in this precision"
        for row in found
    }
    return peak_rows + rows("training", group, "images/s", figures, notes), missing
