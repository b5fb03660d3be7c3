"""The residual blocks of He et al. 2015 (arXiv:1512.03385)."""

from typing import cast

from torch import Tensor, nn

from resnet_lightning.models.activations import ACTIVATIONS
from resnet_lightning.models.convolutions import Conv1x1, Conv3x3


def shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    """Projection where the shape changes (option B of the paper), nothing where it stays."""
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(Conv1x1(channels_in, channels_out, stride), nn.BatchNorm2d(channels_out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, channels_in, H, W) -> (N, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv1 = Conv3x3(channels_in, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = ACTIVATIONS[activation]()
        self.conv2 = Conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(channels_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return cast(Tensor, self.relu(out + identity))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution and a shortcut: (N, channels_in, H, W) -> (N, 4 * width, H / stride, W / stride)."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv1 = Conv1x1(channels_in, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = Conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = ACTIVATIONS[activation]()
        self.downsample = shortcut(channels_in, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return cast(Tensor, self.relu(out + identity))
