"""Batches without per-image work: a data set is one tensor, a batch is a vector of indices into it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from resnet_lightning.data.cache import ImageSet
from resnet_lightning.randomness import stream


class Batch(NamedTuple):
    images: Tensor  # (N, C, H, W) uint8; after the data module's transfer hook normalised floats, channels last
    labels: Tensor  # (N,) int64
    draws: Tensor | None = None  # (N, D) the random numbers of the augmentation; None in validation and test

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        draws = None if self.draws is None else change(self.draws)
        return Batch(change(self.images), change(self.labels), draws)


class Loader:
    """Yields batches of chosen images on the training device; what is shared by training and evaluation.

    With several processes each takes every ``processes``-th image of a batch: together they see what one would.

    Args:
        data: images and labels, on the device, or in host memory where they do not fit there.
        index: (M,) int64, which images of ``data`` there are to load.
        batch: images per step, all processes together.
    """

    def __init__(
        self, data: ImageSet, index: Tensor, batch: int, device: torch.device, rank: int = 0, processes: int = 1
    ) -> None:
        self.data, self.index, self.batch, self.device = data, index, batch, device
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return (len(self.index) + self.batch - 1) // self.batch

    def __iter__(self) -> Iterator[Batch]:
        if self.data.images.device == self.device or self.device.type != "cuda":
            pinned = self.device.type == "cuda"  # else the memory may be used anew before it is copied
            return (batch.map(lambda tensor: tensor.to(self.device, non_blocking=pinned)) for batch in self.batches())
        return copied_ahead(self.batches(), self.device)

    def batches(self) -> Iterator[Batch]:
        for chosen in self.index.to(self.data.images.device).split(self.batch):
            yield self.take(chosen[self.rank :: self.processes])

    def positions(self) -> Tensor:
        """(M,) int64: which images this process gets in a pass, in order."""
        return torch.cat([chosen[self.rank :: self.processes] for chosen in self.index.split(self.batch)])

    def take(self, chosen: Tensor, draws: Tensor | None = None) -> Batch:
        """Images and labels at (N,) positions; ``index_select`` copies whole images, indexing byte by byte."""
        return Batch(self.data.images.index_select(0, chosen), self.data.labels.index_select(0, chosen), draws)


class TrainLoader(Loader):
    """Every epoch in another order, which with the draws of the augmentation follows from (seed, epoch) alone.

    The last, smaller batch of an epoch is left out: every step has the same shape and weighs the same. A batch larger
    than the images takes all of them, or as many as the processes can share evenly: each weighs the same.

    Args:
        epoch: gives the number of the epoch when its first batch is asked for.
        draws: how many random numbers each image needs.
    """

    def __init__(
        self,
        data: ImageSet,
        index: Tensor,
        batch: int,
        device: torch.device,
        seed: int,
        epoch: Callable[[], int],
        draws: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        super().__init__(data, index, batch, device, rank, processes)
        self.seed, self.epoch, self.draws = seed, epoch, draws

    def __len__(self) -> int:
        return max(1, len(self.index) // self.batch)

    def batches(self) -> Iterator[Batch]:
        generator = stream(self.seed, self.epoch(), "data")
        order = self.index[torch.randperm(len(self.index), generator=generator)]
        order = order.to(self.data.images.device)  # once an epoch: each copy makes the host wait for a GPU
        step = min(self.batch, len(order))
        step -= step % self.processes
        for chosen in order[: len(self) * step].split(step):
            yield self.take(chosen[self.rank :: self.processes], self.random_numbers(len(chosen), generator))

    def random_numbers(self, count: int, generator: torch.Generator) -> Tensor:
        """(n, D): this process's share of those of a batch, in memory that goes to a GPU while the host goes on."""
        pinned = self.device.type == "cuda"
        if self.processes == 1:
            return torch.rand(count, self.draws, generator=generator, pin_memory=pinned)
        share = torch.rand(count, self.draws, generator=generator)[self.rank :: self.processes].contiguous()
        return share.pin_memory() if pinned else share  # with gaps in it, it would be copied to memory that is not


@cache
def copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all passes: memory that was freed in a stream is kept for that stream."""
    return torch.cuda.Stream(device)


def copied_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Gather, pin and copy the next batch to the GPU in a thread and a stream of their own while a step runs."""
    stream = copy_stream(device)

    def fetch() -> Batch | None:
        batch = next(batches, None)
        if batch is None:
            return None
        with torch.cuda.stream(stream):
            return batch.map(lambda tensor: tensor.pin_memory().to(device, non_blocking=True))

    # the device of a thread is the first one: to go back to its stream would take memory there
    with ThreadPoolExecutor(max_workers=1, initializer=torch.cuda.set_device, initargs=(device,)) as worker:
        coming = worker.submit(fetch)
        while (batch := coming.result()) is not None:
            current = torch.cuda.current_stream(device)
            current.wait_stream(stream)  # before the next copy is queued there: the step need not wait for that one
            for tensor in batch:
                if tensor is not None:
                    tensor.record_stream(current)  # its memory must not be reused before the step is done with it
            coming = worker.submit(fetch)
            yield batch
