"""Batches: everything once an epoch, another order each epoch, the same order for the same seed and epoch."""

import pytest
import torch

from resnet_lightning.data.cache import ImageSet
from resnet_lightning.data.loader import Loader, TrainLoader

CPU = torch.device("cpu")
DATA = ImageSet(torch.arange(100).view(100, 1, 1, 1).to(torch.uint8), torch.arange(100))
INDEX = torch.arange(10, 100)  # 90 images: ten batches of 9, or four of 20 and a rest


def train_loader(batch=20, seed=0, epoch=0, draws=3, rank=0, processes=1):
    return TrainLoader(DATA, INDEX, batch, CPU, seed, lambda: epoch, draws, rank, processes)


def labels(loader):
    return torch.cat([batch.labels for batch in loader]).tolist()


def test_epoch_sees_every_image_once():
    assert sorted(labels(train_loader(batch=9))) == INDEX.tolist()


def test_images_labels_and_draws_belong_together():
    batches = list(train_loader())
    assert len(batches) == len(train_loader()) > 1
    for images, marks, draws in batches:
        assert torch.equal(images.flatten().long(), marks)
        assert draws.shape == (len(marks), 3)


def test_training_leaves_out_the_smaller_last_batch():
    loader = train_loader(batch=20)
    assert [len(batch.labels) for batch in loader] == [20] * 4 and len(loader) == 4


def test_evaluation_keeps_the_smaller_last_batch_and_the_order():
    loader = Loader(DATA, INDEX, 20, CPU)
    assert [len(batch.labels) for batch in loader] == [20] * 4 + [10] and len(loader) == 5
    assert labels(loader) == INDEX.tolist() == loader.positions().tolist()


def test_order_and_draws_follow_from_seed_and_epoch():
    def content(**arguments):
        return torch.cat([torch.cat([b.labels[:, None], b.draws], dim=1) for b in train_loader(**arguments)])

    assert torch.equal(content(seed=1, epoch=2), content(seed=1, epoch=2))
    assert not torch.equal(content(seed=1, epoch=2), content(seed=1, epoch=3))
    assert not torch.equal(content(seed=1, epoch=2), content(seed=2, epoch=2))


def test_a_process_pins_the_draws_of_its_own_images(monkeypatch):
    """Only what is pinned and without gaps is copied to a GPU while the host goes on."""

    def pin_memory(tensor):  # as torch does it: with the same gaps
        return torch.empty_strided(tensor.shape, tensor.stride()).copy_(tensor)

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    loader = TrainLoader(DATA, INDEX, 20, torch.device("cuda"), 0, lambda: 0, 3, rank=1, processes=2)
    whole, part = next(iter(train_loader())), next(loader.batches())
    assert part.draws.is_contiguous() and torch.equal(part.draws, whole.draws[1::2])


def test_epoch_is_asked_for_when_the_first_batch_is():
    """Lightning makes the iterator of a resumed run before it knows the epoch."""
    now = 0
    loader = TrainLoader(DATA, INDEX, 9, CPU, 0, lambda: now, 0)
    iterator = iter(loader)
    now = 5
    assert torch.equal(next(iterator).labels, next(iter(train_loader(batch=9, epoch=5, draws=0))).labels)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_every_batch_without_overlap(processes):
    whole = list(train_loader())
    parts = [list(train_loader(rank=rank, processes=processes)) for rank in range(processes)]
    for step, batch in enumerate(whole):
        mine = torch.cat([part[step].labels for part in parts])
        assert sorted(mine.tolist()) == sorted(batch.labels.tolist())
        assert torch.equal(parts[1][step].draws, batch.draws[1::processes])


@pytest.mark.parametrize("images", [4, 5, 11])
def test_processes_share_evenly_what_is_less_than_a_batch(images):
    def loader(rank):
        return TrainLoader(DATA, INDEX[:images], 16, CPU, 0, lambda: 0, 3, rank, 2)

    parts = [list(loader(rank)) for rank in range(2)]
    assert [len(part) for part in parts] == [1, 1] == [len(loader(0))] * 2
    assert [len(part[0].labels) for part in parts] == [len(part[0].draws) for part in parts] == [images // 2] * 2
    assert len({*parts[0][0].labels.tolist(), *parts[1][0].labels.tolist()}) == images // 2 * 2


def test_evaluation_in_processes_counts_every_image_once():
    seen = [labels(Loader(DATA, INDEX, 20, CPU, rank, 3)) for rank in range(3)]
    assert sorted(label for part in seen for label in part) == INDEX.tolist()
