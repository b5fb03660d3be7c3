"""Running sums against the plain computation over all samples."""

import pytest
import torch
from torch.nn import functional as F

from resnet_lightning.training.metrics import Tally, per_class_accuracy


def test_tally_of_uneven_batches_is_the_mean_over_samples():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(103, 5, generator=generator), torch.randint(0, 5, (103,), generator=generator)
    tally = Tally(5)
    for part in torch.arange(103).split(20):
        tally.add(F.cross_entropy(logits[part], labels[part]), logits[part], labels[part])
    total = tally.total()
    predicted = logits.argmax(dim=1)
    assert total["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert total["accuracy"] == pytest.approx(float((predicted == labels).float().mean()))
    assert total["images"] == 103
    for true in range(5):
        for guess in range(5):
            assert int(tally.confusion[true, guess]) == int(((labels == true) & (predicted == guess)).sum())
    assert total["per_class_accuracy"][2] == pytest.approx(float((predicted[labels == 2] == 2).float().mean()))
    nothing = torch.zeros(0, dtype=torch.int64)
    tally.add(torch.tensor(float("nan")), torch.zeros(0, 5), nothing)  # a process that got no image
    assert tally.total() == total
    tally.reset()
    assert tally.total()["images"] == 0


def test_per_class_accuracy_of_a_class_without_images_is_none():
    assert per_class_accuracy([[3, 1, 0], [0, 0, 0], [1, 1, 2]]) == [0.75, None, 0.5]


def test_tally_is_no_part_of_a_checkpoint():
    assert Tally(3).state_dict() == {}
