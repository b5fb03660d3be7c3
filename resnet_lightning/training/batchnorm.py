"""``batchnorm=reestimated``: the statistics of BatchNorm are taken anew before every validation.

While a network trains, BatchNorm normalises with the statistics of the batch, and keeps a running average of them for
evaluation. At a large constant learning rate the weights move faster than the average follows, and the accuracy of an
evaluation swings although the network is good. Here training images, without augmentation, go through the network once
more and give the statistics that belong to the weights of the moment (Izmailov et al. 2018, arXiv:1803.05407, section
3.2). No weight changes, and training itself never reads these statistics: it is the same with and without.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.training.classifier import ImageClassifier

IMAGES = 10_000  # at most: the mean of a channel over so many is known to about 1 % of its standard deviation


class ReestimateBatchNorm(Callback):
    """Before each validation; the test reads the weights of the best epoch, which carry their statistics with them."""

    def __init__(self, data: ImageDataModule) -> None:
        self.data = data

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        network = pl_module.evaluated
        with trainer.precision_plugin.forward_context(), counters_on_the_host(network), uncompiled(network):
            update_bn(self.data.plain_training_images(IMAGES), pl_module.evaluated)


def uncompiled(network: nn.Module) -> AbstractContextManager[object]:
    """``update_bn`` lets every layer divide by its counter: a compiler would make hundreds of small graphs of that."""
    compiled = getattr(network, "_compiled_call_impl", None) is not None
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


@contextmanager
def counters_on_the_host(network: nn.Module) -> Iterator[None]:
    """In ``update_bn`` every layer reads its counter in every batch: a GPU would have to finish its work to answer."""
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    counters = [layer.num_batches_tracked for layer in layers]
    for layer, counter in zip(layers, counters, strict=True):
        layer.num_batches_tracked = None if counter is None else counter.cpu()
    try:
        yield
    finally:
        for layer, counter in zip(layers, counters, strict=True):
            if counter is not None and layer.num_batches_tracked is not None:
                counter.copy_(layer.num_batches_tracked)
            layer.num_batches_tracked = counter
