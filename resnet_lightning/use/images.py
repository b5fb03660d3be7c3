"""Image files of any size and mode -> the (N, C, H, W) uint8 tensor that a trained network takes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resnet_lightning.config import ConfigError, DataError
from resnet_lightning.data.augment import GREY
from resnet_lightning.data.folder import IMAGE_ENDINGS, images_below, read_image
from resnet_lightning.data.source import Bytes

BRIGHT = 128  # of 255: the mean of the edge from which a picture counts as dark on light


def image_files(places: Sequence[str], problems: dict[Path, str]) -> list[Path]:
    """The files among ``places``, and every image below the folders among them in the order of names.

    A file that does not exist is in the list: reading it will say so.

    Args:
        problems: takes a sentence for each folder that cannot be read or has no image.

    Raises:
        ConfigError: there is not a single file.
    """

    def locked(error: OSError) -> None:
        problems[Path(error.filename)] = f"{error.filename} cannot be read ({error.strerror})."

    files: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            found = images_below(place, locked)
            files += found
            if not found:
                problems.setdefault(place, f"There is no image in {place}.")
        else:
            files.append(place)
    if not files:
        raise ConfigError(f"There is no image in {', '.join(places)}: looked for {', '.join(sorted(IMAGE_ENDINGS))}.")
    return files


@dataclass(frozen=True)
class Chosen:
    """Some of many images, which stay where they are (a file in memory) until a batch of them is asked for.

    Attributes:
        images: (M, 1 or 3, H, W) uint8.
        index: (N,) which of them.
        channels: that its batches shall have.
    """

    images: Tensor
    index: Tensor
    channels: int

    def batch(self, part: slice) -> Tensor:
        """(n, channels, H, W) uint8."""
        return to_channels(self.images[self.index[part]], self.channels)


def to_channels(images: Tensor, channels: int) -> Tensor:
    """(N, 1 or 3, H, W) uint8 -> (N, channels, H, W) uint8: grey by brightness, colour by repetition."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    weights = torch.tensor(GREY)[:, None, None] / sum(GREY)
    return (images * weights).sum(dim=1, keepdim=True).round().to(torch.uint8)


def dark_on_light(image: Tensor) -> bool:
    """Whether the outermost pixels of one (C, H, W) uint8 image are bright: paper, not the black of MNIST."""
    edge = torch.cat(
        [image[:, 0].flatten(), image[:, -1].flatten(), image[:, :, 0].flatten(), image[:, :, -1].flatten()]
    )
    return float(edge.float().mean()) >= BRIGHT


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], invert: str, problems: dict[Path, str] | None = None
) -> tuple[Tensor, list[bool]]:
    """Read files as the run read its own images: shorter side to the size, the middle, grey where it was grey.

    Args:
        shape: (C, H, W) of an image.
        invert: ``true``, ``false``, or ``auto``: those that are dark on light.
        problems: takes a sentence for each unreadable file, which is then left out.

    Returns:
        (N, C, H, W) uint8 and, for each image, whether it was inverted.

    Raises:
        DataError: a file cannot be read and there is no ``problems``.
    """
    channels, size, _ = shape
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(partial(try_image, size=size), paths))
    good = []
    for path, pixels in zip(paths, read, strict=True):
        if isinstance(pixels, DataError):
            if problems is None:
                raise pixels
            problems[path] = str(pixels)
        else:
            good.append(pixels)
    if not good:
        return torch.empty(0, *shape, dtype=torch.uint8), []
    images = to_channels(torch.from_numpy(np.stack(good)).permute(0, 3, 1, 2), channels)
    inverted = [invert == "true" or (invert == "auto" and dark_on_light(image)) for image in images]
    flip = torch.tensor(inverted)
    images[flip] = 255 - images[flip]
    return images.contiguous(), inverted


def try_image(path: Path, size: int) -> Bytes | DataError:
    try:
        return read_image(path, size)
    except DataError as error:
        return error
