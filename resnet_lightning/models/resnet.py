"""The residual network of He et al. 2015 (arXiv:1512.03385), in every size and shape that ``conf/model`` describes.

With the ImageNet stem and the standard depths, names, shapes and outputs are those of torchvision's ``resnet18`` to
``resnet152``, so their weight files load. The stride of a bottleneck is in its 3x3 convolution, as there.
"""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from resnet_lightning.checks import WORDS, choose
from resnet_lightning.config import Config, ConfigError, ModelConfig, StemConfig
from resnet_lightning.models.activations import ACTIVATIONS, GAINS
from resnet_lightning.models.blocks import BasicBlock, Bottleneck
from resnet_lightning.models.convolutions import Conv1x1
from resnet_lightning.presets import check_limit, preset, typed
from resnet_lightning.settings import fill_stem

# Each is made from (channels_in, width, stride, activation) and gives width * ``expansion`` channels; its projection of
# the identity is called ``downsample``.
BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average pool, dropout, classifier: (N, C, H, W) -> (N, num_classes).

    Args:
        model: block, depths and widths of the stages; every stage but the first halves height and width.
        stem: the first convolution (then BatchNorm and activation) and whether a 3x3 max-pool of stride 2 follows.
        activation: a key of ``ACTIVATIONS``; initialisation follows it.
        dropout: probability of dropping a feature before the classifier.
    """

    def __init__(
        self,
        model: ModelConfig,
        stem: StemConfig,
        in_channels: int,
        num_classes: int,
        activation: str,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        block = BLOCKS[model.block]
        width = model.widths[0]
        self.conv1 = stem_convolution(in_channels, width, stem)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = ACTIVATIONS[stem.activation or activation]()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if stem.max_pool else nn.Identity()
        self.stages = [f"layer{number}" for number in range(1, len(model.depths) + 1)]
        channels = width
        for stage, depth, width in zip(self.stages, model.depths, model.widths, strict=True):
            stride = 1 if stage == "layer1" else 2
            blocks: list[nn.Module] = []
            for position in range(depth):
                blocks.append(block(channels, width, stride if position == 0 else 1, activation))
                channels = width * block.expansion
                if model.norm_after_block:
                    blocks.append(nn.BatchNorm2d(channels))
            self.add_module(stage, nn.Sequential(*blocks))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        if model.init == "he":
            initialize(self, stem.activation or activation, activation)
        if model.zero_init_residual:
            start_as_identity(self)

    @classmethod
    def from_config(cls, config: Config, in_channels: int, num_classes: int) -> "ResNet":
        """The network that the settings of a run describe."""
        return cls(config.model, config.stem, in_channels, num_classes, config.activation, dropout=config.dropout)

    @classmethod
    def from_name(
        cls,
        name: str,
        num_classes: int,
        in_channels: int = 3,
        image_size: int = 32,
        stem: str = "auto",
        activation: str = "relu",
        dropout: float = 0.0,
        **changes: Any,
    ) -> "ResNet":
        """A network of ``conf/model`` by its name: ``ResNet.from_name("resnet18", num_classes=10, in_channels=1)``.

        Args:
            name: a file of ``conf/model``, ``resnet10`` to ``resnet152``.
            image_size: height and width in pixels; decides between the stems where ``stem="auto"``.
            stem: a file of ``conf/stem``: ``auto``, ``cifar`` or ``imagenet``.
            changes: other values for keys of the model: ``widths=[16, 32, 64, 128]``, ``block="bottleneck"``.

        Raises:
            ConfigError: there is no such name or key, or a value is not possible.
        """
        model = typed(ModelConfig, preset("model", name, **changes))
        choose("model.block", model.block, BLOCKS)  # here, where a user may have added one
        choose("model.init", model.init, WORDS["model.init"])
        if len(model.depths) != len(model.widths):
            raise ConfigError(f"depths={model.depths} and widths={model.widths} must name the same number of stages.")
        choose("activation", activation, ACTIVATIONS)
        check_limit("dropout", dropout)
        layers = typed(StemConfig, preset("stem", stem))
        fill_stem(layers, image_size, activation)
        return cls(model, layers, in_channels, num_classes, activation, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) float images to (N, num_classes) logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return cast(Tensor, self.fc(self.dropout(x.mean(dim=(2, 3)))))


def stem_convolution(in_channels: int, width: int, stem: StemConfig) -> nn.Conv2d:
    kernel, stride, padding = cast(int, stem.kernel_size), cast(int, stem.stride), cast(int, stem.padding)
    if kernel == 1 and padding == 0:
        return Conv1x1(in_channels, width, stride)
    return nn.Conv2d(in_channels, width, kernel, stride, padding, bias=False)


def initialize(network: ResNet, stem_activation: str, activation: str) -> None:
    """Normal weights with standard deviation gain / sqrt(fan_out) for convolutions (He et al. 2015, arXiv:1502.01852).

    The classifier keeps torch's default, as in torchvision. Torch's default for convolutions, 1 / sqrt(3 fan_in), is
    smaller. Before a BatchNorm that changes no output; but each step moves smaller weights farther for their size.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            gain = GAINS[stem_activation if module is network.conv1 else activation]
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            nn.init.normal_(module.weight, std=gain / fan_out**0.5)


def start_as_identity(network: ResNet) -> None:
    """The last BatchNorm of every block, not that of its projection, starts at 0 (Goyal et al. 2017, arXiv:1706.02677).

    Raises:
        ConfigError: a block has none.
    """
    for stage in network.stages:
        for block in network.get_submodule(stage).children():
            if isinstance(block, nn.BatchNorm2d):  # of norm_after_block
                continue
            names = [name for name, part in block.named_modules() if isinstance(part, nn.BatchNorm2d)]
            names = [name for name in names if not name.startswith("downsample")]
            if not names:
                kind = type(block).__name__
                raise ConfigError(f"model.zero_init_residual=true is not possible: {kind} has no BatchNorm for it.")
            nn.init.zeros_(cast(nn.BatchNorm2d, block.get_submodule(names[-1])).weight)


def describe_stages(model: ModelConfig) -> Sequence[str]:
    """``["2 x 64", "2 x 128", ...]``: blocks x output channels."""
    expansion = BLOCKS[model.block].expansion
    return [f"{depth} x {width * expansion}" for depth, width in zip(model.depths, model.widths, strict=True)]
