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

from resnet_lightning.config import DataError
from resnet_lightning.data import readers
from resnet_lightning.data.readers import open_source

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
    monkeypatch.setitem(readers.MNIST_SHA256, "train-images-idx3-ubyte", "0" * 64)
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
    assert source.classes == readers.CIFAR10_CLASSES
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
        readers.parse_idx(struct.pack(">HBBI", 0, 8, 1, 10) + bytes(9), "labels")


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


def test_missing_fashion_mnist_offline_says_all_that_is_to_be_fetched(tmp_path, monkeypatch):
    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", offline)
    with pytest.raises(DataError) as caught:
        open_source("fashion_mnist", tmp_path, 28)
    assert str(caught.value).count("curl -L -o") == 4
