"""The input path: every library does the same work."""

from importlib.util import find_spec

import pytest
import torch

from resnet_lightning.benchmark import against_plain, inputs
from tests.benchmark.conftest import cases

CASE = next(iter(against_plain.CASES))


def test_input_compares_every_library_that_is_here(benchmark):
    rows = benchmark("only=input", "accelerator=cpu", "batch=16", "augment=crop_flip")
    assert {"torchvision, PIL", "torchvision v2, tensors", "ours", "loader and augmentation"} <= set(cases(rows))
    shares = [row["group"] for row in rows if row["case"] == "loader and augmentation"]
    assert shares == ["data path of resnet10-w4.8.8, batch 16", f"data path of {CASE}"]


@pytest.mark.parametrize("name", list(inputs.TOGGLES))
def test_libraries_are_asked_for_the_same_augmentation(name):
    """All give normalised batches that are alike over many images of one bright colour on black, left of the middle."""
    torch.manual_seed(0)
    augment = inputs.settings_of(inputs.TOGGLES[name])
    images = torch.zeros(256, 3, 16, 16, dtype=torch.uint8)
    images[:, 0, 2:-2, 1:-5] = 200
    cpu = torch.device("cpu")
    work = {"pil": inputs.pil(images, augment), "v2": inputs.tensors(images, augment)}
    work["ours"] = inputs.our_batches(images, augment, cpu)
    if find_spec("kornia"):
        work["kornia"] = inputs.kornia_batches(images, augment, cpu)
    batches = {name: torch.cat([step(), step()]) for name, step in work.items()}
    for batch in batches.values():
        assert batch.shape == (256, 3, 16, 16) and batch.dtype == torch.float32
    # ours turns the hue about the grey axis, the others keep the brightest channel: a pure red differs a little
    allowed = 0.25 if augment.color_jitter.hue else 0.035
    for statistic in (torch.mean, torch.std):
        found = {name: float(statistic(batch)) for name, batch in batches.items()}
        assert max(found.values()) - min(found.values()) < allowed, found
    # by how much the left half is brighter: 0.4, with mirror images 0 but for chance
    found = {name: float(batch[..., :8].mean() - batch[..., 8:].mean()) for name, batch in batches.items()}
    assert max(found.values()) - min(found.values()) < 0.2, found


def test_only_whole_batches_are_counted():
    assert [len(part) for part in inputs.shuffled(300)] == [128, 128]


def test_large_images_are_fewer():
    assert inputs.noise((3, 32, 32), 128).shape == (4096, 3, 32, 32)
    assert inputs.noise((3, 512, 512), 128).shape == (341, 3, 512, 512)
    assert len(inputs.noise((3, 1024, 1024), 2)) == 85
