"""Where images come from: each reader turns files, checked by their checksums, into uint8 arrays.

MNIST travels with the package; FashionMNIST and CIFAR are fetched by torchvision's downloader into ``data.root`` or
found there; a user's own images are read by ``folder.py``.
"""

import gzip
import hashlib
import io
import lzma
import pickle
import struct
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lightning.config import DataError
from resnet_lightning.data.folder import read_folder
from resnet_lightning.data.source import Bytes, Source, in_memory, naming
from resnet_lightning.text import NO_ROOM, tell

# --- MNIST and FashionMNIST: IDX files -------------------------------------------------------------------------------

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FASHION_CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
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


def read_mnist() -> Source:
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
    problems = []
    for name, md5 in FashionMNIST.resources:
        try:
            fetch(folder, name, [mirror + name for mirror in FashionMNIST.mirrors], md5, "31 MB in four files")
        except DataError as error:  # say of all what is to be fetched
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
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
            raise DataError(f"The file asks for {module}.{name}, which no CIFAR file does: it is not loaded.")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    return content


def checksums(name: str) -> dict[Path, str]:
    """MD5 of the official files of a data set, by their places below ``data.root``; MNIST, in the package, has none."""
    from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

    if name == "mnist":
        return {}
    if name == "fashion_mnist":
        return {Path("FashionMNIST/raw", file): md5 for file, md5 in FashionMNIST.resources}
    official = CIFAR10 if name == "cifar10" else CIFAR100
    files = [*official.train_list, *official.test_list, (official.meta["filename"], official.meta["md5"])]
    return {Path(official.base_folder, file): md5 for file, md5 in files}


def read_cifar(root: Path, variant: str) -> Source:
    """Read ``cifar10`` or ``cifar100`` from the official python files, fetched where they are missing or damaged."""
    from torchvision.datasets import CIFAR10, CIFAR100
    from torchvision.datasets.utils import check_integrity

    official = CIFAR10 if variant == "cifar10" else CIFAR100
    folder = root / official.base_folder

    def bad() -> list[Path]:
        return [path for path, md5 in checksums(variant).items() if not check_integrity(root / path, md5)]

    if bad():
        size = "170 MB" if variant == "cifar10" else "169 MB"
        fetch(root, official.filename, [official.url], official.tgz_md5, size, extract=True)
        if bad():
            raise DataError(f"{root / bad()[0]} is missing or damaged after unpacking {root / official.filename}.")
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
            f"On a machine with internet access, download it ({size}) with\n"
            f"  curl -L -o {name} {urls[-1]}\nand put it into {folder} (its MD5 is {md5})."
        )


def open_source(name: str, root: Path, image_size: int) -> Source:
    """Find or fetch the files of a data set.

    Raises:
        DataError: they are missing or damaged.
    """
    if name == "mnist":
        return read_mnist()
    if name == "fashion_mnist":
        return read_fashion_mnist(root)
    if name in ("cifar10", "cifar100"):
        return read_cifar(root, name)
    return read_folder(root, image_size)
