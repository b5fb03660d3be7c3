"""A user's own images: ``train/<class>/*`` and ``test/<class>/*``, in whatever format Pillow reads."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from resnet_lightning.config import DataError
from resnet_lightning.data.source import SPLITS, Bytes, Source, at_a_time

READER = b"3\n"  # of how folders are read: caches of theirs that were made in another way are made anew
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
        raise DataError(f"{root / 'test'} has classes that {root / 'train'} lacks: {', '.join(sorted(strange))}.")
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
    there = [(folder / name, label) for label, name in enumerate(classes) if (folder / name).is_dir()]
    found = [(path, label) for place, label in there for path in images_below(place)]
    if not found:
        raise DataError(f"{folder} holds no image: looked for <class>/*{{{','.join(sorted(IMAGE_ENDINGS))}}}.")
    return found


def images_below(folder: Path, locked: Callable[[OSError], object] | None = None) -> list[Path]:
    """Every image in ``folder`` and below, in the order of names, but no hidden copy as notebooks and macOS leave.

    Links to folders are followed, into each folder once: they may lead in a circle.

    Args:
        locked: told of a folder that cannot be read, which is then passed over.

    Raises:
        DataError: a folder cannot be read, and there is no ``locked``.
    """
    paths: list[Path] = []
    seen = set()
    for place, folders, names in os.walk(folder, onerror=locked or refuse, followlinks=True):
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
        refuse(error)


def refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}): repair or remove it.") from error


def decode(paths: list[Path], size: int) -> Iterator[Bytes]:
    count = at_a_time(size, size, 3)
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), count):
            yield np.stack(list(pool.map(partial(read_image, size=size), paths[start : start + count])))


def read_image(path: Path, size: int) -> Bytes:
    """Decode one image file to (size, size, 3): the first frame, upright as its EXIF says, what is transparent white.

    Raises:
        DataError: there is no such file, or it is no image, damaged, too large, or of pixels whose range nobody knows.
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
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} has more pixels than Pillow reads, 179 million: make it smaller.") from error
    except Exception as error:  # Pillow raises this and that where a file is odd, TypeError for a text in its EXIF
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read as an image ({reason}): repair or remove it.") from error
