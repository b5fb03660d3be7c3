"""Readers: right bytes from official files, and a sentence for files that are missing, damaged or hostile."""

import errno
import gzip
import hashlib
import os
import pickle
import struct
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_lightning.data import sources
from resnet_lightning.data.sources import DataError, images_below, open_source, read_image

REAL = os.environ.get("RESNET_LIGHTNING_DATA")


def gather(source, split):
    return np.concatenate(list(source.images[split]()))


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_mnist_travels_with_the_package(tmp_path):
    source = open_source("mnist", tmp_path, 28)
    assert gather(source, "train").shape == (60_000, 28, 28, 1)
    assert gather(source, "test").shape == (10_000, 28, 28, 1)
    assert source.labels["test"][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(source.labels["train"]).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_damaged_mnist_is_refused(monkeypatch):
    monkeypatch.setitem(sources.MNIST_SHA256, "train-images-idx3-ubyte", "0" * 64)
    with pytest.raises(DataError, match="damaged"):
        open_source("mnist", Path(), 28)


# --- CIFAR, as generated files whose checksums are put into torchvision's list ---


def write_cifar(root: Path, monkeypatch, variant="cifar10", images=20) -> np.ndarray:
    """Write a small CIFAR in the official format; returns the (N, 3, 32, 32) training images."""
    from torchvision import datasets

    official = datasets.CIFAR10 if variant == "cifar10" else datasets.CIFAR100
    folder = root / official.base_folder
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    key, count = ("labels", 10) if variant == "cifar10" else ("fine_labels", 100)
    lists, train = {"train_list": [], "test_list": []}, []
    for name, parts in lists.items():
        for file, _ in getattr(official, name):
            data = random.integers(0, 256, (images, 3072), dtype=np.uint8)
            train += [data.reshape(-1, 3, 32, 32)] if name == "train_list" else []
            content = pickle.dumps({"data": data, key: [i % count for i in range(images)]}, protocol=2)
            (folder / file).write_bytes(content)
            parts.append([file, md5(content)])
        monkeypatch.setattr(official, name, parts)
    meta = pickle.dumps({official.meta["key"]: [f"class {i}" for i in range(count)]}, protocol=2)
    (folder / official.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(official, "meta", {**official.meta, "md5": md5(meta)})
    return np.concatenate(train)


@pytest.mark.parametrize("variant", ["cifar10", "cifar100"])
def test_cifar_is_read_from_the_official_format(tmp_path, monkeypatch, variant):
    train = write_cifar(tmp_path, monkeypatch, variant)
    source = open_source(variant, tmp_path, 32)
    assert np.array_equal(gather(source, "train").transpose(0, 3, 1, 2), train)
    assert source.labels["test"][:12].tolist() == [i % len(source.classes) for i in range(12)]
    assert source.channels == 3


def test_missing_cifar_offline_says_what_to_fetch(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")  # nobody listens
    with pytest.raises(DataError) as caught:
        open_source("cifar10", tmp_path, 32)
    for part in ("missing", "170 MB", "curl", CIFAR10.url, CIFAR10.tgz_md5, str(tmp_path)):
        assert part in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "flipped bit"])
def test_damaged_cifar_is_never_read(tmp_path, monkeypatch, damage):
    from torchvision.datasets import CIFAR10

    write_cifar(tmp_path, monkeypatch)
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    path = tmp_path / CIFAR10.base_folder / CIFAR10.train_list[2][0]
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content if damage == "flipped bit" else content[:-100])
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_source("cifar10", tmp_path, 32)


def test_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    """Even with the right checksum."""
    from torchvision.datasets import CIFAR10

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    write_cifar(tmp_path, monkeypatch)
    evil = pickle.dumps({"data": Evil(), "labels": []}, protocol=2)
    name = CIFAR10.train_list[0][0]
    (tmp_path / CIFAR10.base_folder / name).write_bytes(evil)
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(evil)], *CIFAR10.train_list[1:]])
    with pytest.raises(DataError, match="system"):
        open_source("cifar10", tmp_path, 32)
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not REAL, reason="RESNET_LIGHTNING_DATA names no folder with CIFAR-10")
def test_real_cifar10():
    source = open_source("cifar10", Path(REAL), 32)
    assert gather(source, "train").shape == (50_000, 32, 32, 3)
    assert source.classes == sources.CIFAR10_CLASSES
    assert np.bincount(source.labels["test"]).tolist() == [1000] * 10


def test_fashion_mnist_is_read_from_the_official_format(tmp_path, monkeypatch):
    from torchvision.datasets import FashionMNIST

    folder, random, resources = tmp_path / "FashionMNIST" / "raw", np.random.default_rng(0), []
    folder.mkdir(parents=True)
    for name, _ in FashionMNIST.resources:
        count = 30 if name.startswith("train") else 10
        shape = (count, 28, 28) if "images" in name else (count,)
        header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
        content = gzip.compress(header + random.integers(0, 10, shape, dtype=np.uint8).tobytes())
        (folder / name).write_bytes(content)
        resources.append((name, md5(content)))
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    source = open_source("fashion_mnist", tmp_path, 28)
    assert gather(source, "train").shape == (30, 28, 28, 1)
    assert len(source.labels["test"]) == 10


def test_idx_file_of_the_wrong_length_is_refused():
    with pytest.raises(DataError, match="disagree"):
        sources.parse_idx(struct.pack(">HBBI", 0, 8, 1, 10) + bytes(9), "labels")


# --- a user's own images ---


def test_folder_takes_any_size_and_mode(image_folder):
    source = open_source("folder", image_folder, 24)
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
    image = gather(open_source("folder", tmp_path, 15), "train")[1]
    assert (image[2:5] == (0, 255, 0)).all() and (image[-5:-2] == (0, 0, 255)).all()


def test_sixteen_bit_images_keep_their_grey_levels(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (16, 1))
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / split / "a" / "0.png")
    image = gather(open_source("folder", tmp_path, 16), "train")[0]
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
        open_source("folder", tmp_path, 32)


def test_hidden_copies_are_no_images(tmp_path):
    hidden = ("train/a/._0.png", "train/a/.ipynb_checkpoints/0-checkpoint.png")
    write_folder(tmp_path, "train/a/0.png", "train/a/deep/1.png", "test/a/0.png", *hidden)
    assert open_source("folder", tmp_path, 32).labels["train"].tolist() == [0, 0]


def test_linked_folders_hold_images_too_and_may_lead_in_a_circle(tmp_path):
    write_folder(tmp_path, "train/a/1.png", "test/a/0.png", "store/2.png", "store/deep/3.png", "store/.hidden/4.png")
    (tmp_path / "train" / "a" / "more").symlink_to(tmp_path / "store")
    (tmp_path / "train" / "a" / "same").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "deep" / "up").symlink_to(tmp_path / "train" / "a")
    found = [path.relative_to(tmp_path / "train" / "a").as_posix() for path in images_below(tmp_path / "train" / "a")]
    assert found == ["1.png", "more/2.png", "more/deep/3.png"]
    before = open_source("folder", tmp_path, 8)
    write_folder(tmp_path, "store/5.png")
    assert len(before.labels["train"]) == 3 and open_source("folder", tmp_path, 8).fingerprint != before.fingerprint


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    write_folder(tmp_path, "train/a/0.png", "test/a/0.png")
    (tmp_path / "train" / "a" / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"1\.png cannot be read \(No such file or directory\): repair or remove it\."):
        open_source("folder", tmp_path, 8)


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
    assert len(open_source("folder", tmp_path, 32).fingerprint) == 64


def test_half_an_answer_of_a_server_says_what_to_fetch(tmp_path, monkeypatch):
    def cut(*_):
        raise IncompleteRead(b"half")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", cut)
    with pytest.raises(DataError, match=r"missing and cannot be downloaded \(IncompleteRead.*"):
        open_source("cifar10", tmp_path, 32)


@pytest.mark.parametrize("step", ["download_url", "extract_archive"])
def test_a_disk_that_fills_is_an_error_with_the_path(tmp_path, monkeypatch, step):
    """Neither a file to fetch by hand nor a disk without a name."""
    from torchvision.datasets import CIFAR10

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "extract_archive":
        (tmp_path / CIFAR10.filename).write_bytes(b"archive")
        monkeypatch.setattr(CIFAR10, "tgz_md5", md5(b"archive"))
    monkeypatch.setattr(f"torchvision.datasets.utils.{step}", full)
    with pytest.raises(OSError, match="No space left") as caught:
        open_source("cifar10", tmp_path, 32)
    assert caught.value.filename == str(tmp_path)


def test_folder_without_test_split_says_what_is_expected(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no folder test/"):
        open_source("folder", tmp_path, 32)


def test_folder_with_a_class_only_in_test_is_refused(image_folder, tmp_path):
    write_folder(tmp_path, "train/a/0.png", "test/b/0.png")
    with pytest.raises(DataError, match=r"has classes that .* has not: b\."):
        open_source("folder", tmp_path, 32)


def test_folder_names_the_file_that_is_no_image(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"broken\.png cannot be read"):
        gather(open_source("folder", tmp_path, 32), "train")
