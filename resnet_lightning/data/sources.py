"""Where images come from: each reader turns files, checked by their checksums, into uint8 arrays.

MNIST travels with the package; FashionMNIST and CIFAR are fetched by torchvision's downloader into ``data.root`` or
found there; ``folder`` reads a user's own images.
"""

import gzip
import hashlib
import io
import lzma
import os
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_lightning.config import DataError
from resnet_lightning.text import NO_ROOM, tell

Bytes = NDArray[np.uint8]
SPLITS = ("train", "test")
READER = b"3\n"  # of how folders are read: caches of theirs that were made in another way are made anew
CHUNK, CHUNK_BYTES = 512, 2**26  # at most so many images, of so many bytes, are read, resized and written at a time


@dataclass(frozen=True)
class Source:
    """A data set that can be read, chunk by chunk.

    Attributes:
        fingerprint: changes when the files do; a cache made from other files is not used.
        channels: 1 (grey) or 3 (red, green, blue).
        labels: for each split (N,) class numbers.
        images: for each split a function that yields (n, H, W, channels) uint8 chunks, N images in all.
    """

    fingerprint: str
    classes: list[str]
    channels: int
    labels: Mapping[str, NDArray[np.int64]]
    images: Mapping[str, Callable[[], Iterator[Bytes]]]


def at_a_time(height: int, width: int, channels: int) -> int:
    """How many images of this size a chunk holds."""
    return max(1, min(CHUNK, CHUNK_BYTES // (height * width * channels)))


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """An error of the system names ``folder`` where it names no file itself, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), error.filename or str(folder)) from error


def chunks(images: Bytes) -> Iterator[Bytes]:
    count = at_a_time(*images.shape[1:])
    for start in range(0, len(images), count):
        yield images[start : start + count]


def in_memory(fingerprint: str, classes: list[str], splits: dict[str, tuple[Bytes, Bytes]]) -> Source:
    """A source of ``{split: ((N, H, W, C) images, (N,) labels)}``."""
    return Source(
        fingerprint,
        classes,
        splits["train"][0].shape[3],
        {split: labels.astype(np.int64) for split, (_, labels) in splits.items()},
        {split: partial(chunks, images) for split, (images, _) in splits.items()},
    )


# --- MNIST and FashionMNIST: IDX files -------------------------------------------------------------------------------

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FASHION_CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def parse_idx(content: bytes, name: str) -> Bytes:
    """Read an IDX file (http://yann.lecun.com/exdb/mnist/): (N,) labels or (N, H, W) images."""
    zero, kind, dimensions = struct.unpack_from(">HBB", content)
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    offset = 4 + 4 * dimensions
    if zero or kind != 8 or len(content) - offset != int(np.prod(shape)):
        raise DataError(
            f"{name} is not an IDX file of bytes: its header and its length of {len(content):,} bytes disagree."
        )
    return np.frombuffer(content, np.uint8, offset=offset).reshape(shape)


def idx_splits(read: Callable[[str], bytes]) -> dict[str, tuple[Bytes, Bytes]]:
    """Both splits from the four IDX files; ``read`` gives the content of one by its name."""
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
        splits[split] = (parse_idx(read(images), images)[..., None], parse_idx(read(labels), labels))
    return splits


def read_mnist(root: Path) -> Source:
    folder = Path(__file__).parent / "mnist"

    def read(name: str) -> bytes:
        content = lzma.decompress((folder / f"{name}.xz").read_bytes())
        if hashlib.sha256(content).hexdigest() != MNIST_SHA256[name]:
            raise DataError(f"{folder / name}.xz is damaged (its SHA-256 is wrong): install the package again.")
        return content

    return in_memory("official", [str(digit) for digit in range(10)], idx_splits(read))


def read_fashion_mnist(root: Path) -> Source:
    from torchvision.datasets import FashionMNIST

    folder = root / "FashionMNIST" / "raw"
    for name, md5 in FashionMNIST.resources:
        fetch(folder, name, [mirror + name for mirror in FashionMNIST.mirrors], md5, "31 MB in four files")
    return in_memory(
        "official", FASHION_CLASSES, idx_splits(lambda name: gzip.decompress((folder / f"{name}.gz").read_bytes()))
    )


# --- CIFAR: pickled batches ------------------------------------------------------------------------------------------


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of NumPy arrays, and nothing that could run code."""

    ALLOWED = (
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"The file asks for {module}.{name}, which no CIFAR file does: it is not used.")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    return content


def read_cifar(root: Path, variant: str) -> Source:
    """Read ``cifar10`` or ``cifar100`` from the official python files, fetched where they are missing or damaged."""
    from torchvision.datasets import CIFAR10, CIFAR100
    from torchvision.datasets.utils import check_integrity

    official = CIFAR10 if variant == "cifar10" else CIFAR100
    folder = root / official.base_folder
    files = [*official.train_list, *official.test_list, [official.meta["filename"], official.meta["md5"]]]

    def bad() -> list[str]:
        return [name for name, md5 in files if not check_integrity(folder / name, md5)]

    if bad():
        size = "170 MB" if variant == "cifar10" else "169 MB"
        fetch(root, official.filename, [official.url], official.tgz_md5, size, extract=True)
        if bad():
            raise DataError(f"{folder / bad()[0]} is missing or damaged after unpacking {root / official.filename}.")
    label_key = "labels" if variant == "cifar10" else "fine_labels"

    def split(parts: list[list[str]]) -> tuple[Bytes, Bytes]:
        batches = [unpickle(folder / name) for name, _ in parts]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return images, np.concatenate([np.array(batch[label_key]) for batch in batches])

    classes = unpickle(folder / official.meta["filename"])[official.meta["key"]]
    return in_memory("official", classes, {"train": split(official.train_list), "test": split(official.test_list)})


def fetch(folder: Path, name: str, urls: list[str], md5: str, size: str, extract: bool = False) -> None:
    """Have ``folder/name`` with the right checksum (and unpacked): found there, or downloaded.

    Raises:
        DataError: it is neither there nor to be had; the message says from where to fetch it.
        OSError: with a path; the disk is full.
    """
    from torchvision.datasets.utils import extract_archive

    with naming(folder):
        download(folder, name, urls, md5, size)
        if extract:
            extract_archive(folder / name, folder)


def download(folder: Path, name: str, urls: list[str], md5: str, size: str) -> None:
    from torchvision.datasets.utils import check_integrity, download_url

    path, problem = folder / name, ""
    for url in urls:
        if check_integrity(path, md5):
            break
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tell(f"Downloading {url} ({size}) to {folder}")
            download_url(url, folder, name, md5)
        except (OSError, RuntimeError, HTTPException) as error:  # no network, a wrong checksum, half an answer
            if getattr(error, "errno", None) in NO_ROOM:
                raise
            problem = str(error) or type(error).__name__
    if not check_integrity(path, md5):
        state = "damaged" if path.exists() else "missing"
        raise DataError(
            f"{path} is {state} and cannot be downloaded ({problem}).\n"
            f"On a machine with a network, fetch it ({size}) by\n"
            f"  curl -L -o {name} {urls[-1]}\nand put it into {folder} (its MD5 is {md5})."
        )


# --- a user's own images ---------------------------------------------------------------------------------------------

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif"}


def read_folder(root: Path, image_size: int) -> Source:
    """Read ``root/train/<class>/*`` and ``root/test/<class>/*``, every image as red, green, blue of image_size squared.

    The shorter side is resized to ``image_size`` (bilinear), the middle is cut out.

    Raises:
        DataError: a split is missing, a class has no image to train on, or is only in ``test``; a file is not there.
    """
    for split in SPLITS:
        if not (root / split).is_dir():
            raise DataError(
                f"data.root={root} has no folder {split}/: data=folder reads <data.root>/train/<class>/*.png and "
                "<data.root>/test/<class>/*.png."
            )
    classes = sorted(
        path.name for path in (root / "train").iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    strange = {
        path.name for path in (root / "test").iterdir() if path.is_dir() and not path.name.startswith(".")
    } - set(classes)
    if strange:
        raise DataError(f"{root / 'test'} has classes that {root / 'train'} has not: {', '.join(sorted(strange))}.")
    files = {split: labelled_files(root / split, classes) for split in SPLITS}
    empty = set(range(len(classes))) - {label for _, label in files["train"]}
    if empty:
        names, endings = ", ".join(classes[label] for label in sorted(empty)), ", ".join(sorted(IMAGE_ENDINGS))
        raise DataError(f"{root / 'train'} has no image of the class {names}: looked for {endings}.")
    listing = hashlib.sha256(READER)
    for split in SPLITS:
        for path, _ in files[split]:
            stat = status(path)
            name = os.fsencode(path.relative_to(root))  # whatever the bytes are
            listing.update(name + f"\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return Source(
        listing.hexdigest(),
        classes,
        3,
        {split: np.array([label for _, label in files[split]], np.int64) for split in SPLITS},
        {split: partial(decode, [path for path, _ in files[split]], image_size) for split in SPLITS},
    )


def labelled_files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Every image below ``folder/<class>``, in the order of names, with the number of its class."""
    found = [(path, label) for label, name in enumerate(classes) for path in images_below(folder / name)]
    if not found:
        raise DataError(f"{folder} holds no image: looked for <class>/*{{{','.join(sorted(IMAGE_ENDINGS))}}}.")
    return found


def images_below(folder: Path) -> list[Path]:
    """Every image in ``folder`` and below, in the order of names, but no hidden copy as notebooks and macOS leave.

    Links to folders are followed, into each folder once: they may lead in a circle.
    """
    paths: list[Path] = []
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        found = status(Path(place))
        here = found.st_dev, found.st_ino
        folders[:] = [] if here in seen else sorted(name for name in folders if not name.startswith("."))
        paths += [] if here in seen else [Path(place, name) for name in names if not name.startswith(".")]
        seen.add(here)
    return sorted(path for path in paths if path.suffix.lower() in IMAGE_ENDINGS)


def status(path: Path) -> os.stat_result:
    """
    Raises:
        DataError: there is no such file any more, or a link leads nowhere.
    """
    try:
        return path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): repair or remove it.") from error


def decode(paths: list[Path], size: int) -> Iterator[Bytes]:
    count = at_a_time(size, size, 3)
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), count):
            yield np.stack(list(pool.map(partial(read_image, size=size), paths[start : start + count])))


def read_image(path: Path, size: int) -> Bytes:
    """Decode one image file to (size, size, 3): the first frame, upright as its EXIF says, what is transparent white.

    Raises:
        DataError: it is no image, damaged, or of pixels whose range nobody knows.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            sixteen_bits = opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in ("PNG", "PPM"))
            if opened.mode in ("I", "F") and not sixteen_bits:
                raise ValueError("its pixels have no known range: save it with 8 or 16 bits a channel")
            upright = ImageOps.exif_transpose(opened)
            if sixteen_bits:  # convert() would cut everything above 255
                tags = getattr(opened, "tag_v2", {})  # of a TIFF: 258 is its bits, maybe 12; 262 is 0 for negatives
                grey = (np.asarray(upright) >> tags.get(258, (16,))[0] - 8).astype(np.uint8)
                upright = Image.fromarray(255 - grey if tags.get(262) == 0 else grey)
            if upright.has_transparency_data:  # the colour below it is arbitrary
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            return np.asarray(ImageOps.fit(upright.convert("RGB"), (size, size), Image.Resampling.BILINEAR))
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises this and that where a file is odd, TypeError for a text in its EXIF
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read as an image ({reason}): repair or remove it.") from error


def open_source(name: str, root: Path, image_size: int) -> Source:
    """Find or fetch the files of a data set.

    Raises:
        DataError: they are missing or damaged.
    """
    if name == "mnist":
        return read_mnist(root)
    if name == "fashion_mnist":
        return read_fashion_mnist(root)
    if name in ("cifar10", "cifar100"):
        return read_cifar(root, name)
    return read_folder(root, image_size)
