"""The cache: a data set as uint8 arrays (N, C, H, W) on disk, made once, checked at every start, memory-mapped.

``<data.root>/resnet_lightning_cache/<name>_<size>/`` holds ``train_images.npy``, ``train_labels.npy``, the same for
``test``, and ``manifest.json`` with their SHA-256. Where the root cannot be written, the user's cache folder takes it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lightning.config import PUBLISHED, ConfigError, DataConfig, DataError
from resnet_lightning.data.readers import open_source
from resnet_lightning.data.source import SPLITS, Bytes, Source, at_a_time, naming
from resnet_lightning.files import write_json
from resnet_lightning.lock import wait_for

VERSION = 2  # of the format; another one is made anew
HASHED_UP_TO = 2**31  # bytes: larger files are checked by their size alone, so that a start stays short


class ImageSet(NamedTuple):
    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64


class DataSet(NamedTuple):
    train: ImageSet
    test: ImageSet
    classes: list[str]
    mean: list[float]  # per channel, of the training images scaled to 0..1
    std: list[float]
    digest: str  # the same for the same images and labels, from wherever they were read


def load(config: DataConfig) -> DataSet:
    """Open the cache of a data set, making it first where it is missing, damaged or made from other files.

    Raises:
        DataError: the files of the data set are missing or damaged.
    """
    if Path(config.root).is_file():
        raise DataError(f"data.root={config.root} is a file: it must be a folder.")
    if config.name == "folder" and not Path(config.root).is_dir():
        raise DataError(f"data.root={config.root} is not a folder: data=folder reads <data.root>/train/<class>/*.png.")
    folder = cache_folder(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with wait_for(folder.with_name(f"{config.name}.lock")):  # of all sizes: they share the downloaded files
        manifest = read_manifest(folder)
        source = None
        if manifest is None or config.name not in PUBLISHED:  # a user's own images may have changed since
            source = open_source(config.name, Path(config.root), config.image_size)
        if source and (manifest is None or manifest["fingerprint"] != source.fingerprint):
            build(source, folder, config.image_size)
            manifest = read_manifest(folder)
        assert manifest is not None
        return open_cache(folder, manifest)


def is_at_hand(config: DataConfig) -> bool:
    """Whether ``load`` would need no download."""
    if config.name == "mnist":
        return True
    if config.name not in PUBLISHED:
        return Path(config.root).is_dir()
    return read_manifest(cache_folder(config)) is not None


def cache_folder(config: DataConfig) -> Path:
    root = Path(config.root).absolute()
    name = f"{config.name}_{config.image_size}"
    beside = root / "resnet_lightning_cache"
    if writable(beside):
        return beside / name
    if config.name not in PUBLISHED:  # roots share the user's cache, what is in them must not
        name += "_" + hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet_lightning" / name


def writable(folder: Path) -> bool:
    """True if files may be made in ``folder``, existing or not; one whose mode forbids it is left alone by root too."""
    while not folder.exists() and folder != folder.parent:  # of Windows, a drive may be missing too
        folder = folder.parent
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a whole and undamaged cache, or None."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        whole = manifest["version"] == VERSION and all(
            size_and_digest(folder / name, size <= HASHED_UP_TO) == [size, digest if size <= HASHED_UP_TO else ""]
            for name, (size, digest) in manifest["files"].items()
        )
        return manifest if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def size_and_digest(path: Path, hashed: bool = True) -> list[Any]:
    """``[bytes, SHA-256]`` of a file."""
    digest = hashlib.sha256()
    if not hashed:
        return [path.stat().st_size, ""]
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return [path.stat().st_size, digest.hexdigest()]


def build(source: Source, folder: Path, size: int) -> None:
    """Write the cache beside its place, then rename it there: it is whole, or it is not there.

    Raises:
        DataError: the one that is there is in use and cannot be replaced (Windows); it stays as it is.
        OSError: with a path, also where the system names none (a full disk).
    """
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with naming(temporary):
            write(source, temporary, size)
            put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(temporary: Path, folder: Path) -> None:
    """Moved aside, not removed, an old cache stays whole where Windows refuses: it keeps files that are mapped."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except (PermissionError, FileExistsError) as error:
        raise DataError(
            f"{folder} cannot be replaced ({error.strerror}): if another run is reading it, try again afterwards."
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def write(source: Source, folder: Path, size: int) -> None:
    statistics = {split: write_split(source, split, size, folder) for split in SPLITS}
    files = {path.name: size_and_digest(path) for path in sorted(folder.glob("*.npy"))}
    mean, std = statistics["train"]
    manifest = {
        "version": VERSION,
        "fingerprint": source.fingerprint,
        "classes": source.classes,
        "mean": mean,
        "std": std,
        "files": files,
    }
    write_json(folder / "manifest.json", manifest)


def write_split(source: Source, split: str, size: int, folder: Path) -> tuple[list[float], list[float]]:
    """Write images and labels of one split; returns mean and standard deviation of each channel (pixels 0..1)."""
    labels = source.labels[split]
    np.save(folder / f"{split}_labels.npy", labels)
    shape = (len(labels), source.channels, size, size)
    total, squares = np.zeros((2, source.channels), np.int64)  # exact: the same whatever the chunks
    with (folder / f"{split}_images.npy").open("wb") as file:  # not mapped: there a full disk is a bus error
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in resized(source.images[split](), size):
            file.write(np.ascontiguousarray(chunk).data)
            total += chunk.sum(axis=(0, 2, 3), dtype=np.int64)
            squares += np.square(chunk, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.int64)
        file.flush()
        os.fsync(file.fileno())
    count = len(labels) * size * size
    mean = total / 255 / count
    return mean.tolist(), np.sqrt(np.maximum(squares / 255**2 / count - mean**2, 1e-12)).tolist()


def resized(chunks: Iterator[Bytes], size: int) -> Iterator[Bytes]:
    """(n, H, W, C) -> (n, C, size, size), where the size differs bilinear with antialiasing (as Pillow resizes)."""
    for chunk in chunks:
        whole = torch.from_numpy(chunk.transpose(0, 3, 1, 2).copy())  # copied: torch wants writable memory
        for part in whole.split(at_a_time(size, size, whole.shape[1])):
            fits = part.shape[2:] == (size, size)
            yield (part if fits else F.interpolate(part, (size, size), mode="bilinear", antialias=True)).numpy()


def open_cache(folder: Path, manifest: dict[str, Any]) -> DataSet:
    def tensor(name: str) -> Tensor:
        # copy-on-write: torch wants writable memory, the file must never change
        return torch.from_numpy(np.load(folder / name, mmap_mode="c"))

    train, test = (ImageSet(tensor(f"{split}_images.npy"), tensor(f"{split}_labels.npy")) for split in SPLITS)
    files = json.dumps([manifest["classes"], manifest["files"]], sort_keys=True)
    digest = hashlib.sha256(files.encode()).hexdigest()[:16]
    return DataSet(train, test, manifest["classes"], manifest["mean"], manifest["std"], digest)


def refuse_other_images(config: DataConfig, digest: str | None, place: Path) -> None:
    """A run on a folder of images that are others by now is not what the same command would compute.

    Args:
        digest: of the data that the run has; None if unknown.
        place: of the run.

    Raises:
        ConfigError: the images have changed. Where they are gone, nobody can tell, and a finished run needs none.
    """
    if config.name in PUBLISHED or digest is None:
        return
    try:
        now = load(config).digest
    except DataError:
        return
    if now != digest:
        raise ConfigError(
            f"{place} holds a run on images other than those now in data.root={config.root}: move it away, or choose "
            "another folder or name=."
        )
