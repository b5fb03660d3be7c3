"""The convolutions of a ResNet, and faster ways than those of oneDNN, whose convolutions torch uses on CPUs."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lightning.models.winograd import Winograd, tile_grid


class Conv3x3(nn.Conv2d):
    """3x3 convolution with a padding of 1 and no bias: (N, C, H, W) -> (N, channels_out, H / stride, W / stride).

    On CPUs there are other ways, which docs/performance.md compares: in float32 many channels by Winograd's filtering,
    with a quarter of the products. In training, small maps as the columns of the whole batch times the weights, since
    oneDNN's weight gradient multiplies image by image and goes through all weights for each.

    Attributes:
        vectors: those of this CPU, AVX2 (256 bits; measured on a Zen 3) or AVX512 (on a Zen 4); others have not been.
        faster: whether to go these ways; False is torch's convolution for every map.
    """

    vectors = torch.backends.cpu.get_cpu_capability()
    faster = vectors in ("AVX2", "AVX512")

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.faster and on_cpu(x) and self.is_as_made():
            if self.in_float32(x) and is_eager(x) and self.saves_products(x):
                return cast(Tensor, Winograd.apply(x, self.weight))
            if self.training and self.is_small(x) and (self.in_float32(x) or self.in_bfloat16()):
                return self.as_product(x)
        return super().forward(x)

    def is_as_made(self) -> bool:
        """Not so where others have changed it: fused with its BatchNorm it has a bias, for segmentation a dilation."""
        return self.bias is None and self.padding == self.dilation == (1, 1) and self.groups == 1

    def in_float32(self, x: Tensor) -> bool:
        return x.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")

    def in_bfloat16(self) -> bool:
        """By autocast, and not on a CPU with AVX2 alone, which does not compute in it."""
        autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        return autocast and self.vectors == "AVX512"

    def saves_products(self, x: Tensor) -> bool:
        """Whether Winograd's products are fewer by more than its transforms cost, as measured.

        Those cost as much as some 30 channels with AVX2, and more with AVX512, whose products are faster; tiles over
        the edge of a map count as work, and few of them do not pay for transforming the weights. Torch's convolution
        keeps images contiguous that come so, this one does not.
        """
        pixels, tiles = x.shape[2] * x.shape[3], math.prod(tile_grid(x.shape[2], x.shape[3]))
        useful_channels = min(self.in_channels, self.out_channels) * pixels / (16 * tiles)
        least = 64 if self.vectors == "AVX2" else 128
        worth = pixels > 4 and useful_channels >= least and x.shape[0] * tiles >= 32
        return worth and self.stride == (1, 1) and x.is_contiguous(memory_format=torch.channels_last)

    def is_small(self, x: Tensor) -> bool:
        """Whether oneDNN's weight gradient is slower than products, as measured."""
        pixels = len(range(0, x.shape[2], self.stride[0])) * len(range(0, x.shape[3], self.stride[1]))
        return pixels <= 4 or (self.vectors == "AVX2" and pixels <= 16 and self.out_channels >= 512)

    def as_product(self, x: Tensor) -> Tensor:
        """The columns (N, H / stride, W / stride, 9 C) of the padded images times the weights."""
        down, right = self.stride
        height, width = x.shape[2:]
        if height == width == 1:  # all but the middle of the kernel meets the padding
            return F.linear(x.flatten(1), self.weight[:, :, 1, 1])[:, :, None, None]
        padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        taps = [padded[:, i : i + height : down, j : j + width : right] for i in range(3) for j in range(3)]
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)  # no copy: they lie in memory like this (channels last)
        return F.linear(torch.cat(taps, dim=3), weights).permute(0, 3, 1, 2)


def on_cpu(x: Tensor) -> bool:
    """Not so of what stands for a tensor while ``torch.fx`` writes down a network."""
    return isinstance(x, Tensor) and x.device.type == "cpu"


def is_eager(x: Tensor) -> bool:
    """Whether ``x`` holds numbers and is computed with now, by its own shape.

    Else torch's convolution is what compilers, exporters and traces know, and what ``torch.func`` can transform.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    return type(x) is Tensor and not torch._C._are_functorch_transforms_active()


class Conv1x1(nn.Conv2d):
    """1x1 convolution without bias: (N, C, H, W) -> (N, channels_out, H / stride, W / stride).

    With a stride and fewer channels than a vector holds, oneDNN's weight gradient writes past its memory: crashes,
    hangs and wrong gradients (https://github.com/uxlfoundation/oneDNN/issues/6035). Once the pixels are picked there is
    no stride left.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.stride
        if on_cpu(x) and down * right > 1 and self.in_channels < 16:
            return F.conv2d(x[:, :, ::down, ::right], self.weight, self.bias)
        return super().forward(x)
