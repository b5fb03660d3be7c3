"""How a batch reaches the device."""

import pytest
import torch

from resnet_lightning.data.cache import ImageSet
from resnet_lightning.data.loader import Loader

DATA = ImageSet(torch.zeros(8, 1, 1, 1, dtype=torch.uint8), torch.arange(8))


@pytest.mark.parametrize("device", ["meta", "cpu"])  # meta: as an Apple GPU, another device that is not CUDA
def test_only_copies_from_pinned_memory_are_not_waited_for(monkeypatch, device):
    asked, to = [], torch.Tensor.to

    def noted(tensor, *arguments, **options):
        asked.append(options.get("non_blocking"))
        return to(tensor, *arguments, **options)

    loader = Loader(DATA, torch.arange(8), 4, torch.device(device))
    monkeypatch.setattr(torch.Tensor, "to", noted)
    batches = list(loader)
    assert len(batches) == 2 and all(batch.images.device.type == device for batch in batches)
    assert asked and not any(asked)
