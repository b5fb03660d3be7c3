"""Augmentation composed per image, then applied once.

Every geometric toggle contributes to one 2x3 affine matrix per image, every colour toggle and the normalisation to one
C x (C + 1) colour matrix per image: a batch costs one resample and one product, on the training device. The order is
that of the usual torchvision pipeline: crop, flip, rotation, brightness, contrast, saturation, hue, grayscale,
normalisation, erasing. Values are cut to 0..1 once, after the last colour toggle, not after each.

Each toggle follows the torchvision transform of its name: the same distribution of the same parameters, the same result
for the same parameters. The exception is hue: a rotation of the colour about the grey axis, not a shift of the HSV hue.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lightning.config import AugmentConfig

GREY = (0.2989, 0.587, 0.114)  # share of red, green, blue in the brightness (ITU-R BT.601, as in torchvision)
CROP_RATIO = (3 / 4, 4 / 3)  # width / height of a random resized crop
ERASING_AREA, ERASING_RATIO = (0.02, 0.33), (0.3, 3.3)  # share of the image, height / width
CROSS = ((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0))  # product with (1, 1, 1): the grey axis
ATTEMPTS = 10  # boxes drawn for an image until one fits into it
BOX_DRAWS = 2 * ATTEMPTS + 2


@cache
def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """A float tensor that is copied to a device once: each copy would make the host wait for a GPU."""
    return torch.tensor(values, dtype=torch.float32, device=device)


class Augment:
    """Turns (N, C, H, W) uint8 images into normalised floats, changed by random numbers that the caller brings.

    Args:
        config: the toggles and their strengths.
        mean, std: per channel, of pixels scaled to 0..1; used where ``config.normalize`` is on.

    Attributes:
        draws: how many uniform numbers in [0, 1) an image needs.
    """

    def __init__(self, config: AugmentConfig, mean: Sequence[float], std: Sequence[float]) -> None:
        self.config = config
        self.mean = tuple(mean) if config.normalize else (0.0,) * len(mean)
        self.std = tuple(std) if config.normalize else (1.0,) * len(std)
        jitter = config.color_jitter
        needs = {
            "crop": BOX_DRAWS if config.random_resized_crop else 2 if config.random_crop else 0,
            "flip": 1 if config.horizontal_flip else 0,
            "rotation": 1 if config.rotation else 0,
            "brightness": 1 if jitter.brightness else 0,
            "contrast": 1 if jitter.contrast else 0,
            "saturation": 1 if jitter.saturation else 0,
            "hue": 1 if jitter.hue else 0,
            "grayscale": 1 if config.grayscale else 0,
            "erasing": 1 + BOX_DRAWS if config.random_erasing else 0,
        }
        self.columns: dict[str, slice] = {}
        self.draws = 0
        for name, count in needs.items():
            if count:
                self.columns[name] = slice(self.draws, self.draws + count)
                self.draws += count

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment and normalise.

        Args:
            images: (N, C, H, W) uint8.
            draws: (N, ``self.draws``) uniform numbers in [0, 1), on the same device.

        Returns:
            (N, C, H, W) float32, channels last.
        """
        chosen = {name: draws[:, columns] for name, columns in self.columns.items()}
        if self.config.rotation or self.config.random_resized_crop:
            window, matrix = self.geometry(chosen, images.shape)
            pixels = resample(images.float(), matrix, window, rotated="rotation" in chosen)
        else:
            pixels = self.move(images, chosen).float()
        pixels = self.colour(pixels, chosen)
        if "erasing" in chosen:
            pixels = self.erase(pixels, chosen["erasing"])
        return pixels.contiguous(memory_format=torch.channels_last)

    def plain(self, images: Tensor) -> Tensor:
        """Only scale and normalise, for validation and test: (N, C, H, W) uint8 -> float32, channels last."""
        return self.colour(images.float(), {}).contiguous(memory_format=torch.channels_last)

    def move(self, images: Tensor, chosen: dict[str, Tensor]) -> Tensor:
        """Crop and mirror (N, C, H, W) images; between whole pixels nothing has to be resampled."""
        if not chosen.keys() & {"crop", "flip"}:
            return images
        device, padding, height = images.device, self.config.random_crop, images.shape[2]
        x, y = torch.arange(images.shape[3], device=device), torch.arange(height, device=device).expand(len(images), -1)
        if "flip" in chosen:
            x = torch.where(self.mirrored(chosen)[:, None], x.flip(0), x)
        if padding:
            corner = self.corner(chosen).long() + padding
            x, y = x + corner[:, :1], y + corner[:, 1:]
            images = F.pad(images, [padding] * 4)
        place = y[:, :, None] * images.shape[3] + x.expand(len(images), -1)[:, None, :]  # (N, H, W) in the flat image
        index = place.flatten(1)[:, None].expand(-1, images.shape[1], -1)
        moved: Tensor = images.flatten(2).gather(2, index).unflatten(2, place.shape[1:])
        return moved

    def mirrored(self, chosen: dict[str, Tensor]) -> Tensor:
        """(N,) bool"""
        return chosen["flip"][:, 0] < self.config.horizontal_flip

    def corner(self, chosen: dict[str, Tensor]) -> Tensor:
        """Left and top (N, 2) of a random crop, in whole pixels of the image without its padding."""
        return torch.floor(chosen["crop"] * (2 * self.config.random_crop + 1)) - self.config.random_crop

    def geometry(self, chosen: dict[str, Tensor], shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Windows (N, 4) = left, top, width, height of the crop, and matrices (N, 2, 3) from output to input pixels."""
        count, _, height, width = shape
        device = next(iter(chosen.values())).device
        if self.config.random_resized_crop:
            area = (self.config.random_resized_crop, 1.0)
            window = random_boxes(chosen["crop"], area, CROP_RATIO, height, width, (width, height))
        else:
            window = constant((0.0, 0.0, width, height), device).repeat(count, 1)
            if self.config.random_crop:
                window[:, :2] = self.corner(chosen)
        mirror = torch.ones(count, device=device)
        if "flip" in chosen:
            mirror = torch.where(self.mirrored(chosen), -1.0, 1.0)
        angle = torch.zeros(count, device=device)
        if "rotation" in chosen:
            angle = torch.deg2rad(spread(chosen["rotation"][:, 0], self.config.rotation))
        return window, affine(window, mirror, angle, height, width)

    def colour(self, pixels: Tensor, chosen: dict[str, Tensor]) -> Tensor:
        """Apply all colour toggles and the normalisation to (N, C, H, W) pixels between 0 and 255."""
        mean, std = constant(self.mean, pixels.device), constant(self.std, pixels.device)
        if not chosen.keys() & {"brightness", "contrast", "saturation", "hue", "grayscale"}:
            return (pixels * (1 / (255 * std))[:, None, None]).sub_((mean / std)[:, None, None])
        matrix, offset = self.colour_matrix(pixels.mean(dim=(2, 3)) / 255, chosen)
        matrix, offset = matrix / (255 * std[:, None]), (offset - mean) / std
        out = torch.baddbmm(offset[:, :, None], matrix, pixels.flatten(2)).view_as(pixels)
        # not clamp: with bounds for each channel it takes four times as long on a CPU
        torch.maximum(out, (-mean / std)[:, None, None], out=out)
        return torch.minimum(out, ((1 - mean) / std)[:, None, None], out=out)

    def colour_matrix(self, average: Tensor, chosen: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Matrix (N, C, C) and offset (N, 1) of all colour toggles on pixels 0..1; ``average`` is (N, C), per image.

        Saturation, hue and grayscale leave grey as it is: what contrast adds to every channel goes through unchanged.
        An image of one channel has neither saturation nor hue: those toggles leave it as it is.
        """
        count, channels = average.shape
        jitter, device = self.config.color_jitter, average.device
        identity = torch.eye(channels, device=device)
        grey = constant(GREY, device) / sum(GREY) if channels == 3 else torch.ones(1, device=device)
        to_grey = grey.expand(channels, channels)  # every row gives the brightness
        scale, offset = torch.ones(count, 1, device=device), torch.zeros(count, 1, device=device)
        if "brightness" in chosen:
            scale = factor(chosen["brightness"], jitter.brightness)
        if "contrast" in chosen:
            strength = factor(chosen["contrast"], jitter.contrast)
            offset = (1 - strength) * scale * (average @ grey[:, None])  # of the mean brightness
            scale = scale * strength
        matrix = scale[..., None] * identity
        if "saturation" in chosen:
            strength = factor(chosen["saturation"], jitter.saturation)[..., None]
            matrix = (strength * identity + (1 - strength) * to_grey) @ matrix
        if "hue" in chosen and channels == 3:
            matrix = hue_rotation(2 * math.pi * spread(chosen["hue"][:, 0], jitter.hue)) @ matrix
        if "grayscale" in chosen:
            without = (chosen["grayscale"] < self.config.grayscale)[..., None]
            matrix = torch.where(without, to_grey, identity) @ matrix
        return matrix, offset

    def erase(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """Set a rectangle to 0: black, or the mean colour where normalisation is on (as in torchvision's recipes)."""
        height, width = pixels.shape[2:]
        boxes = random_boxes(draws[:, 1:], ERASING_AREA, ERASING_RATIO, height, width, (0, 0), inverse=True)
        left, top, wide, high = (edge[:, None] for edge in boxes.unbind(1))
        x = torch.arange(width, device=pixels.device)
        y = torch.arange(height, device=pixels.device)
        inside = ((y >= top) & (y < top + high))[:, :, None] & ((x >= left) & (x < left + wide))[:, None, :]
        inside &= (draws[:, 0] < self.config.random_erasing)[:, None, None]
        return pixels.masked_fill_(inside[:, None], 0.0)


def spread(draws: Tensor, strength: float) -> Tensor:
    """Uniform in [0, 1) -> uniform in [-strength, strength)."""
    return (2 * draws - 1) * strength


def factor(draws: Tensor, strength: float) -> Tensor:
    """Uniform in [0, 1) -> uniform in [1 - strength, 1 + strength)."""
    return 1 + spread(draws, strength)


def hue_rotation(angle: Tensor) -> Tensor:
    """(N,) radians -> (N, 3, 3) rotations of red, green, blue about the grey axis (Rodrigues' formula)."""
    device = angle.device
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    cross = constant(CROSS, device) / math.sqrt(3)
    return cosine * torch.eye(3, device=device) + sine * cross + (1 - cosine) / 3


def random_boxes(
    draws: Tensor,
    area: tuple[float, float],
    ratio: tuple[float, float],
    height: int,
    width: int,
    otherwise: tuple[int, int],
    inverse: bool = False,
) -> Tensor:
    """Draw for every image the first of ten boxes that fits into it.

    Args:
        draws: (N, 22) uniform numbers.
        area: smallest and largest share of the image.
        ratio: smallest and largest width / height, or height / width if ``inverse``; uniform in the logarithm.
        otherwise: (width, height) of the box at the top left where none of ten fits.

    Returns:
        (N, 4) left, top, width, height, whole numbers of pixels.
    """
    areas = height * width * (area[0] + (area[1] - area[0]) * draws[:, :ATTEMPTS])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = torch.exp(low + (high - low) * draws[:, ATTEMPTS : 2 * ATTEMPTS])
    if inverse:
        ratios = 1 / ratios
    sides = torch.stack([areas * ratios, areas / ratios], dim=1).sqrt_().round_()  # (N, 2, 10) widths and heights
    room = 1 if inverse else 0  # torchvision erases no rectangle as wide or as high as the image
    most = constant(((width - room,), (height - room,)), draws.device)
    fits = ((sides > 0) & (sides <= most)).all(dim=1)
    first = fits.float().argmax(dim=1)[:, None, None].expand(-1, 2, 1)
    side = torch.where(
        fits.any(dim=1, keepdim=True), sides.gather(2, first)[:, :, 0], constant(otherwise, draws.device)
    )
    corner = torch.floor(draws[:, -2:] * (constant((width + 1, height + 1), draws.device) - side))
    return torch.cat([corner, side], dim=1)


def affine(window: Tensor, mirror: Tensor, angle: Tensor, height: int, width: int) -> Tensor:
    """Compose crop, flip and rotation: (N, 2, 3) matrices from output to input pixels (centres at whole numbers).

    Args:
        window: (N, 4) left, top, width, height of the crop, which is enlarged to (height, width).
        mirror: (N,) -1 where the image is mirrored, else 1.
        angle: (N,) radians, counter-clockwise as one looks at the image.
    """
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    left, top, wide, high = window.unbind(1)
    scale_x, scale_y = wide / width, high / height
    cosine, sine = angle.cos(), angle.sin()
    # from output to the middle of the frame, turned back and mirrored back ...
    rows = torch.stack([mirror * cosine, -mirror * sine, sine, cosine], dim=1).view(-1, 2, 2)
    rows = rows * torch.stack([scale_x, scale_y], dim=1)[:, :, None]
    # ... and on to the middle of the crop
    centre = torch.stack([left + (wide - 1) / 2, top + (high - 1) / 2], dim=1)
    shift = centre - (rows @ constant(((middle_x,), (middle_y,)), window.device)).squeeze(2)
    return torch.cat([rows, shift[:, :, None]], dim=2)


def resample(pixels: Tensor, matrix: Tensor, window: Tensor, rotated: bool) -> Tensor:
    """Sample (N, C, H, W) images once, bilinearly, at the places that ``matrix`` (N, 2, 3) gives for each output pixel.

    What lies outside the image is black. A crop is a picture of its own, as if it had been cut out first: outside its
    ``window`` (N, 4) a rotation finds black, and at its edge an enlargement repeats the edge.
    """
    height, width = pixels.shape[2:]
    size = constant(((width,), (height,)), pixels.device)
    low = (2 * window[:, :2, None] + 1) / size - 1  # first and last pixel of the window, (N, 2, 1)
    extent = window[:, 2:, None]
    reach = (extent - 1) / size
    # grid_sample counts from -1 to 1, edge to edge: the matrix is brought to these units, not every pixel
    steps = matrix[:, :, :2] * (2 / size)
    x, y = torch.arange(width, device=pixels.device), torch.arange(height, device=pixels.device)
    along_x, along_y = steps[:, :, :1] * x + ((2 * matrix[:, :, 2:] + 1) / size - 1), steps[:, :, 1:] * y

    inside = plane(along_x, along_y)
    torch.maximum(inside, low[..., None], out=inside)
    torch.minimum(inside, (low + 2 * reach)[..., None], out=inside)
    out = F.grid_sample(pixels, inside.permute(0, 2, 3, 1), padding_mode="zeros", align_corners=False)
    if not rotated:
        return out
    # a pixel whose centre is beyond the edge of the window fades out over the width of one output pixel
    steep = size**2 / (2 * extent)
    distance = plane((along_x - (low + reach)) * steep, along_y * steep).abs_()  # from the middle of the window
    share = torch.sub((reach * steep + size / (2 * extent) + 0.5)[..., None], distance, out=distance).clamp_(0, 1)
    return out.mul_((share[:, 0] * share[:, 1])[:, None])


def plane(along_x: Tensor, along_y: Tensor) -> Tensor:
    """Sums of every pair: (N, 2, W) and (N, 2, H) -> (N, 2, H, W)."""
    return along_y[..., None] + along_x[:, :, None]
