"""Each augmentation against the torchvision function of its name, alone and composed.

Images are smooth (a photograph is, white noise is not), so that the tolerances mean something: they are in units of the
pixel range 0..1. Parameters are recovered from the draws by the public distributions, not by looking inside.
"""

import math

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import functional as tv

from resnet_lightning.data.augment import Augment

MEAN, STD = [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]
SIZE, COUNT = 32, 16
EXACT = 1e-5  # only rounding of floats differs


@pytest.fixture
def images() -> torch.Tensor:
    """(16, 3, 32, 32) uint8, smooth, values in the middle so that no colour toggle runs into 0 or 1."""
    coarse = torch.rand(COUNT, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    fine = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic")
    return ((0.35 + 0.3 * fine).clamp(0, 1) * 255).to(torch.uint8)


@pytest.fixture
def augment(settings):
    def make(*arguments: str, mean=MEAN, std=STD) -> Augment:
        config = settings("data=cifar10", "augment=none", *[f"augment.{argument}" for argument in arguments])
        return Augment(config.augment, mean, std)

    return make


def draws_for(augment: Augment, count: int = COUNT) -> torch.Tensor:
    return torch.rand(count, augment.draws, generator=torch.Generator().manual_seed(1))


def unit(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255


def each(function, images, *parameters):
    """Apply a torchvision function image by image with its own parameters."""
    return torch.stack([function(image, *values) for image, *values in zip(images, *parameters, strict=True)])


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def test_nothing_is_scaling_to_one(augment, images):
    none = augment()
    assert none.draws == 0
    assert worst(none(images, draws_for(none)), unit(images)) < EXACT


def test_normalize(augment, images):
    normalize = augment("normalize=true")
    expected = tv.normalize(unit(images), MEAN, STD)
    assert worst(normalize(images, draws_for(normalize)), expected) < EXACT
    assert worst(normalize.plain(images), expected) < EXACT


def test_horizontal_flip(augment, images):
    flip = augment("horizontal_flip=0.5")
    draws = draws_for(flip)
    expected = each(lambda image, draw: tv.hflip(image) if draw < 0.5 else image, unit(images), draws[:, 0])
    assert worst(flip(images, draws), expected) < EXACT
    assert 0 < int((draws < 0.5).sum()) < COUNT


def test_random_crop(augment, images):
    crop = augment("random_crop=4")
    draws = draws_for(crop)
    left, top = (draws * 9).long().unbind(1)
    expected = each(
        lambda image, x, y: tv.crop(tv.pad(image, [4] * 4), int(y), int(x), SIZE, SIZE), unit(images), left, top
    )
    assert worst(crop(images, draws), expected) < EXACT


def boxes_of(draws, area, log_ratio, ratio_of_height=False):
    """The boxes that torchvision's get_params would find from the same uniform numbers."""
    found = []
    for row in draws.tolist():
        for share, shape in zip(row[:10], row[10:20], strict=True):
            target = SIZE * SIZE * (area[0] + (area[1] - area[0]) * share)
            ratio = math.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * shape)
            width, height = math.sqrt(target * ratio), math.sqrt(target / ratio)
            if ratio_of_height:
                width, height = height, width
            width, height = round(width), round(height)
            largest = SIZE - 1 if ratio_of_height else SIZE  # torchvision erases no whole row or column
            if 0 < width <= largest and 0 < height <= largest:
                found.append((int(row[21] * (SIZE - height + 1)), int(row[20] * (SIZE - width + 1)), height, width))
                break
        else:
            found.append((0, 0, SIZE, SIZE))
    return found


def test_random_resized_crop(augment, images):
    crop = augment("random_resized_crop=0.08")
    draws = draws_for(crop)
    boxes = boxes_of(draws, (0.08, 1.0), (math.log(3 / 4), math.log(4 / 3)))
    expected = each(lambda image, box: tv.resized_crop(image, *box, [SIZE, SIZE], antialias=False), unit(images), boxes)
    assert worst(crop(images, draws), expected) < EXACT


def test_rotation(augment, images):
    rotate = augment("rotation=30")
    draws = draws_for(rotate)
    angles = ((2 * draws[:, 0] - 1) * 30).tolist()
    expected = each(lambda image, angle: tv.rotate(image, angle, tv.InterpolationMode.BILINEAR), unit(images), angles)
    assert worst(rotate(images, draws), expected) < 1e-4  # torchvision rounds its matrix to fewer digits


@pytest.mark.parametrize(
    ("toggle", "function"),
    [
        ("brightness", tv.adjust_brightness),
        ("contrast", tv.adjust_contrast),
        ("saturation", tv.adjust_saturation),
    ],
)
def test_color_jitter(augment, images, toggle, function):
    jitter = augment(f"color_jitter.{toggle}=0.4")
    draws = draws_for(jitter)
    strengths = (1 + (2 * draws[:, 0] - 1) * 0.4).tolist()
    # torchvision's weights of red, green and blue add up to 0.9999, ours to 1
    assert worst(jitter(images, draws), each(function, unit(images), strengths)) < 2e-4


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])  # the latter on Apple's GPUs
def test_color_jitter_is_cut_to_the_range_of_pixels(augment, monkeypatch, layout):
    monkeypatch.setattr("resnet_lightning.data.augment.memory_format", lambda device: layout)
    jitter = augment("color_jitter.brightness=1", "normalize=true")
    white = torch.full((64, 3, 8, 8), 255, dtype=torch.uint8)
    out = jitter(white, draws_for(jitter, 64))
    assert out.is_contiguous(memory_format=layout)
    brightest = ((1 - torch.tensor(MEAN)) / torch.tensor(STD))[:, None, None].expand(3, 8, 8)
    assert worst(out.amax(dim=0), brightest) < EXACT


def test_hue_keeps_brightness_and_grey_and_full_turns(augment, images):
    hue = augment("color_jitter.hue=0.5")
    draws = draws_for(hue)
    out = hue(images, draws)
    mean = unit(images).mean(dim=1)
    assert worst(out.mean(dim=1), mean) < 1e-4  # a rotation about the grey axis keeps r + g + b
    grey = images[:, :1].repeat(1, 3, 1, 1)
    assert worst(hue(grey, draws), unit(grey)) < EXACT
    third = torch.full((COUNT, 1), 0.5 + 1 / 3)  # a third of the circle: red becomes green, as with torchvision's hue
    assert worst(hue(images, third), unit(images).roll(1, dims=1)) < 1e-4
    assert worst(out, unit(images)) > 0.05


def test_colours_lose_their_saturation_before_they_turn(augment, images):
    both = augment("color_jitter.saturation=0.4", "color_jitter.hue=0.5")
    draws = draws_for(both)
    draws[:, 1] = 0.5 + 1 / 3  # red becomes green
    paler = each(tv.adjust_saturation, unit(images), (1 + (2 * draws[:, 0] - 1) * 0.4).tolist())
    assert worst(both(images, draws), paler.roll(1, dims=1)) < 2e-4


def test_grayscale(augment, images):
    grayscale = augment("grayscale=0.5")
    draws = draws_for(grayscale)
    expected = each(
        lambda image, draw: tv.rgb_to_grayscale(image, 3) if draw < 0.5 else image, unit(images), draws[:, 0]
    )
    assert worst(grayscale(images, draws), expected) < 2e-4


def test_random_erasing(augment, images):
    erasing = augment("random_erasing=0.5", "normalize=true")
    draws = draws_for(erasing)
    draws[0, [0, 1, 11]] = torch.tensor([0.0, 0.28 / 0.31, 0.0])  # at first a box as wide as the image
    boxes = boxes_of(draws[:, 1:], (0.02, 0.33), (math.log(0.3), math.log(3.3)), ratio_of_height=True)
    expected = each(
        lambda image, draw, box: tv.erase(image, *box, torch.tensor(0.0)) if draw < 0.5 else image,
        tv.normalize(unit(images), MEAN, STD), draws[:, 0], boxes,
    )  # fmt: skip
    assert worst(erasing(images, draws), expected) < EXACT


def test_what_is_erased_stays_so_beside_colours(augment, images):
    both = augment("random_erasing=1", "color_jitter.brightness=0.2", "normalize=true")
    out = both(images, draws_for(both))
    assert ((out == 0).all(dim=1).sum(dim=(1, 2)) >= 0.02 * SIZE * SIZE / 2).all()


def test_all_toggles_composed(augment, images):
    """torchvision resamples twice where we do once: small differences remain, on edges."""
    full = augment(
        "normalize=true", "random_resized_crop=0.3", "horizontal_flip=0.5", "rotation=20", "grayscale=0.3",
        "color_jitter.brightness=0.2", "color_jitter.contrast=0.2", "color_jitter.saturation=0.2",
    )  # fmt: skip
    draws = draws_for(full)
    boxes = boxes_of(draws[:, :22], (0.3, 1.0), (math.log(3 / 4), math.log(4 / 3)))

    def reference(image, box, row):
        flip, rotation, brightness, contrast, saturation, grey = row.tolist()
        image = tv.resized_crop(image, *box, [SIZE, SIZE], antialias=False)
        image = tv.hflip(image) if flip < 0.5 else image
        image = tv.rotate(image, (2 * rotation - 1) * 20, tv.InterpolationMode.BILINEAR)
        for function, draw in (
            (tv.adjust_brightness, brightness),
            (tv.adjust_contrast, contrast),
            (tv.adjust_saturation, saturation),
        ):
            image = function(image, 1 + (2 * draw - 1) * 0.2)
        image = tv.rgb_to_grayscale(image, 3) if grey < 0.3 else image
        return tv.normalize(image, MEAN, STD)

    difference = full(images, draws) - each(reference, unit(images), boxes, draws[:, 22:])
    difference = difference * torch.tensor(STD)[:, None, None]
    assert float(difference.abs().mean()) < 0.002
    assert float(difference.abs().max()) < 0.05


def test_random_crop_then_rotation(augment, images):
    both = augment("random_crop=8", "rotation=30")
    draws = draws_for(both)
    left, top = (draws[:, :2] * 17).long().unbind(1)
    angles = ((2 * draws[:, 2] - 1) * 30).tolist()

    def change(image, x, y, angle):
        cropped = tv.crop(tv.pad(image, [8] * 4), int(y), int(x), SIZE, SIZE)
        return tv.rotate(cropped, angle, tv.InterpolationMode.BILINEAR)

    assert worst(both(images, draws), each(change, unit(images), left, top, angles)) < 1e-4


def test_crop_then_rotation_finds_black_outside_of_the_crop(augment):
    white = torch.full((COUNT, 3, SIZE, SIZE), 255, dtype=torch.uint8)
    both = augment("random_resized_crop=0.3", "rotation=45")
    out = both(white, draws_for(both))
    assert float(out[:, :, SIZE // 2, SIZE // 2].min()) == 1
    turned = draws_for(both)[:, -1].sub(0.5).abs() > 0.2
    assert float(out[turned][:, :, 0, 0].max()) == 0


def test_grey_images_have_no_saturation_and_no_hue(augment, images):
    grey = images[:, :1]
    toggles = augment("color_jitter.saturation=0.5", "color_jitter.hue=0.5", "grayscale=1", mean=[0.5], std=[0.2])
    assert worst(toggles(grey, draws_for(toggles)), unit(grey)) < EXACT


def test_every_image_has_draws_of_its_own(augment, images):
    rotate = augment("rotation=90")
    same = images[:1].repeat(COUNT, 1, 1, 1)
    out = rotate(same, draws_for(rotate))
    assert all(worst(out[0], other) > 0.01 for other in out[1:])


def test_output_is_channels_last(augment, images):
    full = augment("rotation=15", "color_jitter.hue=0.1", "random_erasing=0.5")
    assert full(images, draws_for(full)).is_contiguous(memory_format=torch.channels_last)
    assert full.plain(images).is_contiguous(memory_format=torch.channels_last)
