"""Augmentation composed per image, then applied once.

Every geometric toggle contributes to one affine map per image, every colour toggle and the normalisation to one
C x (C + 1) colour matrix per image: a batch costs one resample and one product, on the training device. The order is
that of the usual torchvision pipeline: crop, flip, rotation, brightness, contrast, saturation, hue, grayscale,
normalisation, erasing. Values are cut to 0..1 once, after the last colour toggle, not after each. On small images an
operation on a few numbers per image costs as much as one on all their pixels, so both are kept few.

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
from resnet_lightning.hardware import memory_format

GREY = (0.2989, 0.587, 0.114)  # share of red, green, blue in the brightness (ITU-R BT.601, as in torchvision)
CROP_RATIO = (3 / 4, 4 / 3)  # width / height of a random resized crop
ERASING_AREA, ERASING_RATIO = (0.02, 0.33), (0.3, 3.3)  # share of the image, height / width
CROSS = ((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0))  # of (1, 1, 1), the grey axis, as a matrix
ATTEMPTS = 10  # boxes drawn for an image until one fits into it
BOX_DRAWS = 2 * ATTEMPTS + 2
COLOURS = {"brightness", "contrast", "saturation", "hue", "grayscale"}


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
        angle, hue = math.radians(config.rotation), 2 * math.pi * jitter.hue
        colour = len(mean) == 3  # grey images have none to change, and need no numbers for it
        toggles = (  # numbers that an image needs, the smallest and the largest of them
            ("crop", BOX_DRAWS if config.random_resized_crop else 2 * bool(config.random_crop), 0.0, 1.0),
            ("flip", bool(config.horizontal_flip), 0.0, 1.0),
            ("rotation", bool(angle), -angle, angle),
            ("brightness", bool(jitter.brightness), 1 - jitter.brightness, 1 + jitter.brightness),
            ("contrast", bool(jitter.contrast), 1 - jitter.contrast, 1 + jitter.contrast),
            ("saturation", colour and bool(jitter.saturation), 1 - jitter.saturation, 1 + jitter.saturation),
            ("hue", colour and bool(hue), -hue, hue),
            ("grayscale", colour and bool(config.grayscale), 0.0, 1.0),
            ("erasing", (1 + BOX_DRAWS) * bool(config.random_erasing), 0.0, 1.0),
        )
        self.counts = {name: int(count) for name, count, _, _ in toggles if count}
        self.low = tuple(low for _, count, low, _ in toggles for _ in range(count))
        self.span = tuple(high - low for _, count, low, high in toggles for _ in range(count))
        self.draws = len(self.low)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment and normalise.

        Args:
            images: (N, C, H, W) uint8.
            draws: (N, ``self.draws``) uniform numbers in [0, 1), on the same device.

        Returns:
            (N, C, H, W) float32, channels last (but on Apple's GPUs).
        """
        chosen = self.choose(draws)
        if self.config.rotation or self.config.random_resized_crop:
            window, turn = self.geometry(chosen, images.shape)
            padded = bool(self.config.random_crop)
            pixels = resample(images.float(), window, turn, rotated="rotation" in chosen, padded=padded)
        else:
            pixels = self.move(images, chosen).float()
        changed = bool(chosen.keys() & COLOURS)
        pixels = self.change_colours(pixels, chosen) if changed else self.normalise(pixels)
        if "erasing" in chosen:
            pixels = self.erase(pixels, chosen["erasing"])  # to 0, which no limit changes
        return self.limited(pixels) if changed else pixels.contiguous(memory_format=memory_format(pixels.device))

    def choose(self, draws: Tensor) -> dict[str, Tensor]:
        """From draws (N, D) the numbers (N, k) of every toggle that is on: angles in radians, factors, and in [0, 1)
        what is drawn otherwise."""
        values = torch.addcmul(constant(self.low, draws.device), draws, constant(self.span, draws.device))
        return dict(zip(self.counts, values.split(list(self.counts.values()), dim=1), strict=True))

    def plain(self, images: Tensor) -> Tensor:
        """Only scale and normalise, for validation and test: (N, C, H, W) uint8 -> float32, channels last."""
        return self.normalise(images.float()).contiguous(memory_format=memory_format(images.device))

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
        """Windows (N, 4) = left, top, width, height of the crop, and turns (N, 2, 2), rotated and mirrored back."""
        count, _, height, width = shape
        device = next(iter(chosen.values())).device
        if self.config.random_resized_crop:
            area = (self.config.random_resized_crop, 1.0)
            window = random_boxes(chosen["crop"], area, CROP_RATIO, height, width, (width, height))
        else:
            window = constant((0.0, 0.0, width, height), device).repeat(count, 1)
            if self.config.random_crop:
                window[:, :2] = self.corner(chosen)
        turn = constant(((1.0, 0.0), (0.0, 1.0)), device).expand(count, 2, 2)
        if "rotation" in chosen:
            cosine, sine = chosen["rotation"].cos(), chosen["rotation"].sin()
            turn = torch.cat([cosine, -sine, sine, cosine], dim=1).view(count, 2, 2)
        if "flip" in chosen:
            mirror = constant(((-1.0,), (1.0,)), device)  # of x, the first row
            turn = torch.where(self.mirrored(chosen)[:, None, None], mirror * turn, turn)
        return window, turn

    def normalise(self, pixels: Tensor) -> Tensor:
        """(N, C, H, W) pixels between 0 and 255, scaled to 0..1, minus ``mean`` and divided by ``std``."""
        mean, std = constant(self.mean, pixels.device), constant(self.std, pixels.device)
        return (pixels * (1 / (255 * std))[:, None, None]).sub_((mean / std)[:, None, None])

    def change_colours(self, pixels: Tensor, chosen: dict[str, Tensor]) -> Tensor:
        """Normalised (N, C, H, W) pixels after all colour toggles, not yet ``limited``, of those between 0 and 255."""
        mean, std = constant(self.mean, pixels.device), constant(self.std, pixels.device)
        matrix, offset = self.colour_matrix(pixels.mean(dim=(2, 3)) / 255, chosen)
        matrix, offset = matrix / (255 * std[:, None]), (offset - mean) / std
        return torch.baddbmm(offset[:, :, None], matrix, pixels.flatten(2)).view_as(pixels)

    def limited(self, pixels: Tensor) -> Tensor:
        """Cut normalised (N, C, H, W) pixels to those of black and white; channels last (but on Apple's GPUs).

        Each channel goes to its place in memory at once: another pass for it would take longer than the cut itself.
        """
        limits = [(-mean / std, (1 - mean) / std) for mean, std in zip(self.mean, self.std, strict=True)]
        if memory_format(pixels.device) == torch.contiguous_format:  # where gaps can be filled wrongly (pytorch #97858)
            return torch.stack([pixels[:, channel].clamp(*limit) for channel, limit in enumerate(limits)], dim=1)
        out = torch.empty_like(pixels, memory_format=torch.channels_last)
        for channel, limit in enumerate(limits):
            torch.clamp(pixels[:, channel], *limit, out=out[:, channel])
        return out

    def colour_matrix(self, average: Tensor, chosen: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Matrix (N, C, C) and offset (N, 1) of all colour toggles on pixels 0..1; ``average`` is (N, C), per image.

        Saturation, hue and grayscale leave grey as it is: what contrast adds to every channel goes through unchanged.
        An image of one channel has neither saturation nor hue: those toggles leave it as it is.
        """
        count, channels = average.shape
        one, zero = torch.ones(count, 1, device=average.device), torch.zeros(count, 1, device=average.device)
        scale, strength, saturation = (chosen.get(name, one) for name in ("brightness", "contrast", "saturation"))
        grey, parts = colour_parts(channels, average.device)
        offset = (scale - scale * strength) * (average @ grey)  # of the mean brightness
        scale = scale * strength
        colourful = scale * saturation
        turned = [colourful, zero]
        if "hue" in chosen:
            turned = [colourful * chosen["hue"].cos(), colourful * chosen["hue"].sin()]
        matrix = torch.cat([*turned, colourful, scale], dim=1) @ parts
        matrix = matrix.view(count, channels, channels)
        if "grayscale" in chosen:
            without = (chosen["grayscale"] < self.config.grayscale)[..., None]
            matrix = torch.where(without, grey.T @ matrix, matrix)
        return matrix, offset

    def erase(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """Set a rectangle of (N, C, H, W) pixels to 0: black, or the mean colour where normalisation is on (as in
        torchvision's recipes).

        Args:
            draws: (N, D), of which the first says whether.
        """
        height, width = pixels.shape[2:]
        boxes = random_boxes(draws[:, 1:], ERASING_AREA, ERASING_RATIO, height, width, (0, 0), inverse=True)
        left, top, wide, high = (edge[:, None] for edge in boxes.unbind(1))
        x = torch.arange(width, device=pixels.device)
        y = torch.arange(height, device=pixels.device)
        inside = ((y >= top) & (y < top + high))[:, :, None] & ((x >= left) & (x < left + wide))[:, None, :]
        inside &= (draws[:, 0] < self.config.random_erasing)[:, None, None]
        return pixels.masked_fill_(inside[:, None], 0.0)


@cache
def colour_parts(channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights (C, 1) of the brightness, and the four matrices (4, C * C) that colour matrices are sums of.

    A rotation by h about the grey axis is cos h (I - U) + sin h X + U (Rodrigues' formula): U has 1 / C everywhere, X
    is the cross product with the axis. Saturation s mixes it with B, the brightness in every row:
    s cos h (I - U) + s sin h X + s (U - B) + B.
    """
    grey = torch.tensor(GREY if channels == 3 else (1.0,), device=device)
    grey = (grey / grey.sum())[:, None]
    identity = torch.eye(channels, device=device)
    uniform = torch.full_like(identity, 1 / channels)
    cross = torch.tensor(CROSS, device=device) / math.sqrt(3) if channels == 3 else torch.zeros_like(identity)
    brightness = grey.T.expand(channels, channels)
    return grey, torch.stack([identity - uniform, cross, uniform - brightness, brightness]).flatten(1)


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


def resample(pixels: Tensor, window: Tensor, turn: Tensor, rotated: bool, padded: bool) -> Tensor:
    """Sample (N, C, H, W) images once, bilinearly: turn the frame about its middle, then shrink it to the window.

    What lies outside the image is black. A crop is a picture of its own, as if it had been cut out and enlarged first:
    outside of it a rotation finds black, and at its edge an enlargement repeats the edge.

    Args:
        window: (N, 4) left, top, width, height of the crop in pixels.
        turn: (N, 2, 2) from x and y in the output, counted from the middle, to those in the enlarged crop.
        rotated: whether some of it may lie outside of the crop.
        padded: whether the crop may lie partly outside of the image.
    """
    height, width = pixels.shape[2:]
    size = constant((((width,),), ((height,),)), pixels.device)  # (2, 1, 1)
    corner, extent = window[:, :2, None, None], window[:, 2:, None, None]
    down = (turn[:, :, 1:] * from_middle(height, pixels.device))[..., None]  # (N, 2, H, 1)
    across = (turn[:, :, :1] * from_middle(width, pixels.device))[:, :, None]  # (N, 2, 1, W)
    # grid_sample counts from -1 to 1, edge to edge
    middle, scale = (2 * corner + extent) / size - 1, extent * (2 / size**2)
    most = (extent - 1) / size  # from the middle of the crop to the centre of its last pixel
    place = (middle + scale * down) + scale * across  # (N, 2, H, W)
    torch.minimum(torch.maximum(place, middle - most, out=place), middle + most, out=place)
    # where no place is outside of the image "border" is the same, and quicker; Apple's GPUs lack it before torch 2.13
    padding = "border" if pixels.device.type == "cpu" and not padded else "zeros"
    out = F.grid_sample(pixels, place.permute(0, 2, 3, 1), padding_mode=padding, align_corners=False)
    if rotated:  # a pixel whose centre is beyond the edge of the crop fades out over the width of one output pixel
        distance = torch.add(down, across, out=place).abs_()
        share = torch.sub(size / 2 + 0.5, distance, out=distance).clamp_(0, 1)
        out.mul_(share[:, :1].mul_(share[:, 1:]))
    return out


@cache
def from_middle(size: int, device: torch.device) -> Tensor:
    """Where the centres of ``size`` pixels are, counted in pixels from the middle of the image."""
    return torch.arange(size, device=device) - (size - 1) / 2
