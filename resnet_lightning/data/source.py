"""A data set that can be read: what every reader gives, and the cache takes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
SPLITS = ("train", "test")
CHUNK, CHUNK_BYTES = 512, 2**26  # at most so many images, of so many bytes, are read, resized and written at a time


@dataclass(frozen=True)
class Source:
    """A data set that can be read, chunk by chunk.

    Attributes:
        fingerprint: changes when the files do; a cache made from other files is not used.
        channels: 1 (grey) or 3 (red, green, blue).
        labels: for each split (N,) class numbers.
        images: for each split a function that yields (n, H, W, channels) uint8 chunks, N images in all.
    """

    fingerprint: str
    classes: list[str]
    channels: int
    labels: Mapping[str, NDArray[np.int64]]
    images: Mapping[str, Callable[[], Iterator[Bytes]]]


def at_a_time(height: int, width: int, channels: int) -> int:
    """How many images of this size a chunk holds."""
    return max(1, min(CHUNK, CHUNK_BYTES // (height * width * channels)))


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """An error of the system names ``folder`` where it names no file itself, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), error.filename or str(folder)) from error


def chunks(images: Bytes) -> Iterator[Bytes]:
    count = at_a_time(*images.shape[1:])
    for start in range(0, len(images), count):
        yield images[start : start + count]


def in_memory(fingerprint: str, classes: list[str], splits: dict[str, tuple[Bytes, Bytes]]) -> Source:
    """A source of ``{split: ((N, H, W, C) images, (N,) labels)}``."""
    return Source(
        fingerprint,
        classes,
        splits["train"][0].shape[3],
        {split: labels.astype(np.int64) for split, (_, labels) in splits.items()},
        {split: partial(chunks, images) for split, (images, _) in splits.items()},
    )
