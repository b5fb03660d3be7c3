"""One trained run for all tests of what a run is good for, and image files made from real digits."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from resnet_lightning.config import DataConfig
from resnet_lightning.data import cache
from tests.forked import run_module

ARGUMENTS = [
    "model=resnet10", "model.widths=[8,16,32]", "lr=0.2", "scheduler=onecycle", "epochs=2", "batch=64",
    "data.train_limit=10000", "data.val_size=500", "precision=32", "threads=1",
]  # fmt: skip


@pytest.fixture(scope="session")
def trained_run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on MNIST, some 97 % right; in ``outputs`` of an otherwise empty folder.

    Of several workers of pytest-xdist the first one trains, and each has a copy.
    """
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with FileLock(f"{place}.lock"):
        if not (place / "outputs").exists():
            place.mkdir()
            done = run_module("resnet_lightning", *ARGUMENTS, f"data.root={data_root}", cwd=place)
            assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = shutil.copytree(place / "outputs", tmp_path_factory.mktemp("trained") / "outputs").iterdir()
    return folder


@pytest.fixture(scope="session")
def digits(data_root: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The MNIST test images (10000, 1, 28, 28) uint8 and their labels."""
    data = cache.load(DataConfig("mnist", str(data_root), 28, None, None, 0, 0, None))
    return data.test.images, data.test.labels


@pytest.fixture(scope="session")
def pictures(digits, tmp_path_factory) -> Path:
    """Digits as image files of many kinds, each named after its class, with two files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = digits
    pixels = {int(label): images[n, 0].numpy() for n, label in reversed(list(enumerate(labels[:60].tolist())))}
    Image.fromarray(pixels[0]).save(folder / "0_grey.png")
    Image.fromarray(pixels[1]).resize((400, 300)).save(folder / "1_wide.png")
    Image.fromarray(255 - pixels[2]).resize((600, 600)).convert("RGB").save(folder / "2_paper.jpg")
    ink = np.zeros((28, 28, 4), np.uint8)
    ink[..., 3] = pixels[3]
    Image.fromarray(ink).save(folder / "3_transparent.png")
    Image.fromarray(pixels[4].astype(np.uint16) * 257).save(folder / "4_16bit.png")
    Image.fromarray(pixels[5]).save(
        folder / "5_animated.gif", save_all=True, append_images=[Image.fromarray(pixels[1])] * 2
    )
    turned = Image.fromarray(pixels[7]).rotate(90)
    exif = turned.getexif()
    exif[0x0112] = 6  # show it turned a quarter clockwise
    turned.save(folder / "7_exif.jpg", exif=exif)
    (folder / "deep").mkdir()
    Image.fromarray(pixels[9]).convert("P").save(folder / "deep" / "9_palette.bmp")
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image either")
    return folder
