"""The convolutions of a ResNet, and ways round two weak spots of oneDNN, whose convolutions torch uses on CPUs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv3x3(nn.Conv2d):
    """3x3 convolution with a padding of 1 and no bias: (N, C, H, W) -> (N, channels_out, H / stride, W / stride).

    Where vectors have 256 bits (AVX2), oneDNN has no fast weight gradient for small maps: it multiplies image by image
    and goes through all weights for each. The columns of a whole batch times the weights are the same sums in another
    order; docs/performance.md has what that gains.

    Attributes:
        products: whether to do so; False is torch's convolution for every map.
    """

    products = torch.backends.cpu.get_cpu_capability() == "AVX2"

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.as_product(x) if self.products and self.is_slow(x) else super().forward(x)

    def is_slow(self, x: Tensor) -> bool:
        """Whether oneDNN's weight gradient is the slow one, as measured; in evaluation there is none."""
        pixels = len(range(0, x.shape[2], self.stride[0])) * len(range(0, x.shape[3], self.stride[1]))
        small = pixels <= 4 or (pixels <= 16 and self.out_channels >= 512)
        in_float32 = x.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return small and self.training and x.device.type == "cpu" and in_float32

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
        if x.device.type == "cpu" and down * right > 1 and self.in_channels < 16:
            return F.conv2d(x[:, :, ::down, ::right], self.weight)
        return super().forward(x)
