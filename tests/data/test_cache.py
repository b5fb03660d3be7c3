"""The cache: made once, checked at every start, made anew when it or its source is not what it was."""

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lightning.config import ConfigError, DataConfig, DataError, is_place
from resnet_lightning.data import cache, source
from resnet_lightning.data.source import in_memory


@pytest.fixture
def folder_data(settings, image_folder, tmp_path):
    """Settings of a copy of the image folder, in a root of its own."""
    shutil.copytree(image_folder, tmp_path / "images", ignore=shutil.ignore_patterns("resnet_lightning_cache"))
    return settings("data=folder", f"data.root={tmp_path / 'images'}", "data.image_size=16").data


def built(config) -> Path:
    return cache.cache_folder(config) / "train_images.npy"


def test_second_start_uses_the_first_ones_files(folder_data):
    first = cache.load(folder_data)
    stamp = built(folder_data).stat().st_mtime_ns
    second = cache.load(folder_data)
    assert built(folder_data).stat().st_mtime_ns == stamp
    assert torch.equal(first.train.images, second.train.images)
    assert first.train.images.dtype == torch.uint8 and first.train.images.shape == (80, 3, 16, 16)


@pytest.mark.parametrize("damage", ["flipped bit", "cut", "gone", "manifest"])
def test_damaged_cache_is_made_anew(folder_data, damage):
    before = cache.load(folder_data).train.images.clone()
    path = built(folder_data)
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    if damage == "gone":
        path.unlink()
    elif damage == "manifest":
        (path.parent / "manifest.json").write_text('{"version": 1')
    else:
        path.write_bytes(content if damage == "flipped bit" else content[:-10])
    assert torch.equal(cache.load(folder_data).train.images, before)


def test_changed_folder_makes_the_cache_anew(folder_data):
    assert len(cache.load(folder_data).train.labels) == 80
    Image.new("RGB", (30, 30)).save(Path(folder_data.root) / "train" / "grass" / "new.png")
    assert len(cache.load(folder_data).train.labels) == 81


def test_statistics_are_those_of_the_training_pixels(folder_data):
    data = cache.load(folder_data)
    pixels = data.train.images.double() / 255
    assert torch.allclose(torch.tensor(data.mean, dtype=torch.float64), pixels.mean(dim=(0, 2, 3)))
    assert torch.allclose(torch.tensor(data.std, dtype=torch.float64), pixels.std(dim=(0, 2, 3), correction=0))


def test_a_cache_is_the_same_whatever_is_read_at_a_time(folder_data, monkeypatch):
    whole = cache.load(folder_data)
    shutil.rmtree(cache.cache_folder(folder_data))
    monkeypatch.setattr(source, "CHUNK_BYTES", 7 * 16 * 16 * 3)
    parts = cache.load(folder_data)
    assert (parts.digest, parts.mean, parts.std) == (whole.digest, whole.mean, whole.std)


def peak_memory(config) -> int:
    """Bytes that making a cache takes at most; hashing alone takes some 2 MiB."""
    tracemalloc.start()
    try:
        cache.load(config)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_images_take_the_memory_of_a_few(folder_data, monkeypatch):
    """80 of 192 KiB, one at a time."""
    monkeypatch.setattr(source, "CHUNK_BYTES", 256 * 256 * 3)
    assert peak_memory(replace(folder_data, image_size=256)) < 2**23


def test_changing_a_batch_never_changes_the_file(folder_data):
    data = cache.load(folder_data)
    before = built(folder_data).read_bytes()
    data.train.images[0] = 0
    assert built(folder_data).read_bytes() == before


def test_resizing_is_pillows(settings):
    """MNIST at 32 pixels: within one grey level of what the usual torchvision pipeline feeds."""
    native, larger = (cache.load(settings(f"data.image_size={size}").data).test.images[:50] for size in (28, 32))
    for small, large in zip(native, larger, strict=True):
        expected = np.asarray(Image.fromarray(small[0].numpy()).resize((32, 32), Image.Resampling.BILINEAR))
        assert np.abs(large[0].numpy().astype(int) - expected).max() <= 1


def test_root_that_cannot_be_written_is_left_alone(folder_data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    root = Path(folder_data.root)
    root.chmod(0o555)
    try:
        cache.load(folder_data)
        assert sorted(path.name for path in root.iterdir()) == ["test", "train"]
        assert (tmp_path / "user" / "resnet_lightning").is_dir()
    finally:
        root.chmod(0o755)


def test_nothing_can_be_written_to_a_drive_that_is_not_there(monkeypatch):
    asked = iter([False] * 10)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", lambda path: next(asked))
        patch.setattr(os, "access", lambda *_: False)
        possible = cache.writable(Path("/images/resnet_lightning_cache"))
    assert not possible


def _load(config, queue):
    queue.put((os.getpid(), cache.load(config).train.images.sum().item()))


def test_processes_that_start_together_make_it_once(folder_data, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_load, args=(folder_data, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    sums = {queue.get(timeout=120)[1] for _ in workers}
    for worker in workers:
        worker.join()
    assert len(sums) == 1
    names = {path.name for path in cache.cache_folder(folder_data).parent.iterdir()}
    assert names <= {"folder_16", "folder.lock"}  # nothing half made is left


def test_full_disk_is_an_error_with_the_path(folder_data, monkeypatch):
    """No write goes through memory that is mapped to the file: on a full disk the system answers that with SIGBUS."""

    def full(file, header):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match="No space left") as caught:
        cache.load(folder_data)
    assert str(caught.value.filename).startswith(str(cache.cache_folder(folder_data)))
    assert not any(path.suffix == ".tmp" for path in cache.cache_folder(folder_data).parent.iterdir())


def test_build_that_fails_leaves_nothing(folder_data, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "size_and_digest", full)
    with pytest.raises(OSError, match="No space"):
        cache.load(folder_data)
    assert [p.name for p in cache.cache_folder(folder_data).parent.iterdir() if p.suffix != ".lock"] == []


def test_a_cache_that_windows_does_not_let_go_stays_whole(folder_data, monkeypatch):
    """There, files that another run has mapped can be neither removed nor moved, and no folder is renamed onto one."""
    cache.load(folder_data)
    place, remove, rename = cache.cache_folder(folder_data), shutil.rmtree, Path.rename
    before = {path.name: path.read_bytes() for path in place.iterdir()}

    def rmtree(folder, **options):
        if folder != place:
            return remove(folder, **options)
        return [path.unlink() for path in place.iterdir() if path.name != "train_images.npy"]

    def windows_rename(path, target):
        if path == place:
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        if target.exists():
            raise FileExistsError(errno.EEXIST, "File exists", str(path), None, str(target))
        return rename(path, target)

    Image.new("RGB", (30, 30)).save(Path(folder_data.root) / "train" / "grass" / "new.png")
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    monkeypatch.setattr(Path, "rename", windows_rename)
    with pytest.raises(DataError, match=r"folder_16 cannot be replaced \(Access is denied\)"):
        cache.load(folder_data)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert {path.name for path in place.parent.iterdir()} == {"folder_16", "folder.lock"}


def test_manifest_names_its_files_with_checksums(folder_data):
    cache.load(folder_data)
    manifest = json.loads((cache.cache_folder(folder_data) / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        f"{split}_{what}.npy" for split in ("train", "test") for what in ("images", "labels")
    }
    assert all(len(digest) == 64 for _, digest in manifest["files"].values())


@pytest.fixture
def own_format(monkeypatch):
    """A reader of ``<root>/<split>.npy``, as a user adds one for files of another format."""

    def open_source(name, root, image_size):
        splits = {split: np.load(root / f"{split}.npy") for split in ("train", "test")}
        fingerprint = hashlib.sha256(b"".join(map(np.ndarray.tobytes, splits.values()))).hexdigest()
        labelled = {split: (images, np.arange(len(images)) % 2) for split, images in splits.items()}
        return in_memory(fingerprint, ["one", "two"], labelled)

    monkeypatch.setattr(cache, "open_source", open_source)

    def make(root, brightness, count=4):
        root.mkdir(exist_ok=True)
        for split in ("train", "test"):
            np.save(root / f"{split}.npy", np.full((count, 8, 8, 3), brightness, np.uint8))
        return DataConfig("own", str(root), 8, None, None, 0, 0, None)

    return make


def test_images_that_are_enlarged_take_the_memory_of_a_few(own_format, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "CHUNK_BYTES", 256 * 256 * 3)
    assert peak_memory(replace(own_format(tmp_path, 1, count=80), image_size=256)) < 2**23


def test_files_of_an_own_format_may_change_like_a_folder_of_images(own_format, tmp_path):
    config = own_format(tmp_path / "a", 1)
    before = cache.load(config)
    own_format(tmp_path / "a", 2)
    assert cache.load(config).train.images.unique().tolist() == [2]
    with pytest.raises(ConfigError, match="holds a run on images other"):
        cache.refuse_other_images(config, before.digest, tmp_path)


def test_roots_of_an_own_format_share_no_cache(own_format, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "writable", lambda folder: False)
    for brightness in (1, 2):
        config = own_format(tmp_path / str(brightness), brightness)
        assert cache.load(config).train.images.unique().tolist() == [brightness]
    assert not is_place("data.root", "own") and is_place("data.root", "cifar10")


def test_a_cache_of_another_version_is_made_anew(folder_data, monkeypatch):
    cache.load(folder_data)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    made = []
    build = cache.build
    monkeypatch.setattr(cache, "build", lambda *parts: made.append(1) or build(*parts))
    cache.load(folder_data)
    cache.load(folder_data)
    assert made == [1]
