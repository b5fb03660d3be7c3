"""Train a ResNet, sweep it over every device you own, and get the comparison tables and plots."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_lightning.data.datamodule import ImageDataModule
    from resnet_lightning.models.resnet import ResNet
    from resnet_lightning.training.classifier import ImageClassifier
    from resnet_lightning.use.trained import load

__version__ = "0.1.0"
__all__ = ["ImageClassifier", "ImageDataModule", "ResNet", "load"]

# GPU numbers are those of nvidia-smi, in every process: Lightning sets this too, but after CUDA has numbered them.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
# NVIDIA's containers set it: products of matrices would have 10 bits of the mantissa, also where precision=32.
os.environ.pop("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", None)

# Imported when first asked for (PEP 562): torch takes seconds, and --help or a mistyped key must not wait for it.
_HOMES = {
    "ImageClassifier": "resnet_lightning.training.classifier",
    "ImageDataModule": "resnet_lightning.data.datamodule",
    "ResNet": "resnet_lightning.models.resnet",
    "load": "resnet_lightning.use.trained",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
