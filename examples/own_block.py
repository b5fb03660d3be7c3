"""A residual block and an activation of your own: put them into the tables, and every model can use them."""

from lightning.pytorch import Trainer, seed_everything
from torch import Tensor, nn

from resnet_lightning import ImageClassifier, ImageDataModule, ResNet
from resnet_lightning.models.activations import ACTIVATIONS, GAINS
from resnet_lightning.models.blocks import BasicBlock
from resnet_lightning.models.resnet import BLOCKS


class SqueezeExcitation(BasicBlock):
    """A basic block whose channels are weighted by their means: a gate simplified from arXiv:1709.01507."""

    def __init__(self, channels_in: int, width: int, stride: int, activation: str) -> None:
        super().__init__(channels_in, width, stride, activation)
        gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.Sigmoid())
        self.bn2 = nn.Sequential(self.bn2, Gated(gate))


class Gated(nn.Module):
    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


BLOCKS["squeeze"] = SqueezeExcitation
ACTIVATIONS["hardswish"] = nn.Hardswish
GAINS["hardswish"] = 1.7  # keeps the variance of the signal about the same

seed_everything(0)
network = ResNet.from_name(
    "resnet10", num_classes=10, in_channels=1, widths=[8, 16, 32], block="squeeze", activation="hardswish"
)
classifier = ImageClassifier(network, num_classes=10, scheduler="onecycle")
data = ImageDataModule.from_name("mnist", batch=32, train_limit=5_000)
trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
trainer.fit(classifier, datamodule=data)
trainer.test(classifier, datamodule=data)
