"""A user's own images: every format that people have, upright and whole, and a sentence for what cannot be read."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_lightning.config import DataError
from resnet_lightning.data.folder import images_below, read_folder, read_image


def gather(source, split):
    return np.concatenate(list(source.images[split]()))


def test_folder_takes_any_size_and_mode(image_folder):
    source = read_folder(image_folder, 24)
    assert source.classes == ["blue sky", "grass"]
    assert gather(source, "train").shape == (80, 24, 24, 3)
    colour = gather(source, "test").mean(axis=(1, 2))
    assert ((colour[:, 2] > colour[:, 1]) == (source.labels["test"] == 0)).all()


def test_folder_cuts_out_the_middle_upright(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / split / "a" / "0.png")
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:45], wide[:, 45:60] = (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: shown turned by 90 degrees
    Image.fromarray(wide).save(tmp_path / "train" / "a" / "1.png", exif=exif)
    image = gather(read_folder(tmp_path, 15), "train")[1]
    assert (image[2:5] == (0, 255, 0)).all() and (image[-5:-2] == (0, 0, 255)).all()


def test_sixteen_bit_images_keep_their_grey_levels(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (16, 1))
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / split / "a" / "0.png")
    image = gather(read_folder(tmp_path, 16), "train")[0]
    assert np.abs(image[0, :, 0].astype(int) - np.linspace(0, 255, 16)).max() <= 1


def test_sixteen_bits_of_a_pgm_and_upright(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 16).astype(">u2"), (16, 1))
    (tmp_path / "0.pgm").write_bytes(b"P5 16 16 65535\n" + ramp.tobytes())
    across = read_image(tmp_path / "0.pgm", 16)[..., 0].astype(int)
    assert np.abs(across[0] - np.linspace(0, 255, 16)).max() <= 1
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "1.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "1.png", 16)[..., 0], np.rot90(across, -1))


def write_tiff(path: Path, bits: int, photometric: int, pixels: bytes) -> None:
    """16 x 16 grey pixels, not compressed; Pillow writes neither 12 bits nor negatives."""
    values = {256: 16, 257: 16, 258: bits, 259: 1, 262: photometric, 273: 8 + 2 + 9 * 12 + 4, 277: 1, 278: 16}
    values[279] = len(pixels)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4) + pixels)


def test_twelve_bits_and_negatives_of_a_tiff(tmp_path):
    ramp = np.tile(np.linspace(0, 4095, 16).astype(np.uint16), (16, 1))
    first, second = ramp[:, ::2], ramp[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2).astype(np.uint8)
    write_tiff(tmp_path / "12.tif", 12, 1, packed.tobytes())
    write_tiff(tmp_path / "16.tif", 16, 1, (ramp * 16).astype("<u2").tobytes())
    write_tiff(tmp_path / "negative.tif", 16, 0, (65535 - ramp * 16).astype("<u2").tobytes())
    for path in tmp_path.iterdir():
        image = read_image(path, 16)[..., 0].astype(int)
        assert np.abs(image - np.linspace(0, 255, 16)).max() <= 1, path.name


def jpeg_with_odd_exif(path: Path) -> None:
    """Turned, and with a resolution that is a text where a number should be."""
    entries = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 2, 3, b"72\0\0")]
    tags = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)
    Image.new("RGB", (16, 16)).save(path, "JPEG", exif=exif)


def test_whatever_pillow_raises_names_the_file(tmp_path):
    jpeg_with_odd_exif(tmp_path / "odd.jpg")
    with Image.open(tmp_path / "odd.jpg"):  # an image to all appearances
        pass
    with pytest.raises(DataError, match=r"odd\.jpg cannot be read as an image \(.+\)"):
        read_image(tmp_path / "odd.jpg", 16)


def write_folder(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name, "PNG")


def test_a_class_without_an_image_to_train_on_is_refused(tmp_path):
    write_folder(tmp_path, "train/dog/0.png", "train/cat/0.heic", "test/dog/0.png")
    with pytest.raises(DataError, match=r"no image of the class cat: looked for \.bmp"):
        read_folder(tmp_path, 32)


def test_hidden_copies_are_no_images(tmp_path):
    hidden = ("train/a/._0.png", "train/a/.ipynb_checkpoints/0-checkpoint.png")
    write_folder(tmp_path, "train/a/0.png", "train/a/deep/1.png", "test/a/0.png", *hidden)
    assert read_folder(tmp_path, 32).labels["train"].tolist() == [0, 0]


def test_linked_folders_hold_images_too_and_may_lead_in_a_circle(tmp_path):
    write_folder(tmp_path, "train/a/1.png", "test/a/0.png", "store/2.png", "store/deep/3.png", "store/.hidden/4.png")
    (tmp_path / "train" / "a" / "more").symlink_to(tmp_path / "store")
    (tmp_path / "train" / "a" / "same").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "deep" / "up").symlink_to(tmp_path / "train" / "a")
    found = [path.relative_to(tmp_path / "train" / "a").as_posix() for path in images_below(tmp_path / "train" / "a")]
    assert found == ["1.png", "more/2.png", "more/deep/3.png"]
    before = read_folder(tmp_path, 8)
    write_folder(tmp_path, "store/5.png")
    assert len(before.labels["train"]) == 3 and read_folder(tmp_path, 8).fingerprint != before.fingerprint


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    write_folder(tmp_path, "train/a/0.png", "test/a/0.png")
    (tmp_path / "train" / "a" / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"1\.png cannot be read \(No such file or directory\): repair or remove it\."):
        read_folder(tmp_path, 8)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, locked):
    write_folder(tmp_path, "train/a/0.png", "train/a/deep/1.png", "test/a/0.png")
    locked("deep")
    with pytest.raises(DataError, match=r"deep cannot be read \(Permission denied\): repair"):
        read_folder(tmp_path, 16)


def test_folder_is_read_in_the_order_of_names(tmp_path):
    """Digests of data sets and the order of training follow from it."""
    names = ["B.png", "a/2.png", "a-b/1.PNG", "a.png", "b/a/0.gif", "b/ä.png"]
    write_folder(tmp_path, *reversed(names))
    assert images_below(tmp_path) == sorted(path for path in tmp_path.rglob("*.*"))
    assert [path.relative_to(tmp_path).as_posix() for path in images_below(tmp_path)] == names


def test_file_names_are_any_bytes(tmp_path):
    write_folder(tmp_path, "train/a/0.png", "test/a/0.png")
    try:
        (tmp_path / "train" / "a" / "0.png").rename(
            os.fsdecode(os.fsencode(tmp_path / "train" / "a") + b"/caf\xe9.png")
        )
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert len(read_folder(tmp_path, 32).fingerprint) == 64


def test_folder_without_test_split_says_what_is_expected(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no folder test/"):
        read_folder(tmp_path, 32)


def test_folder_with_a_class_only_in_test_is_refused(image_folder, tmp_path):
    write_folder(tmp_path, "train/a/0.png", "test/b/0.png")
    with pytest.raises(DataError, match=r"has classes that .* lacks: b\."):
        read_folder(tmp_path, 32)


def test_folder_names_the_file_that_is_no_image(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"broken\.png cannot be read"):
        gather(read_folder(tmp_path, 32), "train")
