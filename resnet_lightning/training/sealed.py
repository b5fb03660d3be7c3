"""Files of tensors that prove to be whole: torch's own format, which is a zip archive, with a SHA-256 as its comment.

``torch.load`` notices a file that was cut, but loads a flipped bit without a word. The checksum travels inside the
file, so that one rename replaces both; ``torch.load`` and every zip reader open the file as they open any other.
"""

import hashlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from resnet_lightning.files import atomic_write
from resnet_lightning.hardware import is_out_of_memory

DIGEST = 64  # hexadecimal digits; the last two bytes of an archive without a comment are the comment's length


class Damaged(Exception):
    """A file that is not as it was written, or not ours; the message goes on after the name of the file."""


def write_sealed(content: dict[str, Any], path: Path, keep: Path | None = None) -> None:
    """Write ``content`` (tensors and plain values) at once or not at all; the file before becomes ``keep``.

    Equal contents make equal files. The archive is made in memory: on a full disk torch's own writer raises an error
    that does not say so.
    """
    archive = io.BytesIO()
    torch.save(canonical(content), archive)
    body = archive.getvalue()[:-2] + DIGEST.to_bytes(2, "little")
    with atomic_write(path, keep=keep) as file:
        file.write(body)
        file.write(hashlib.sha256(body).hexdigest().encode())


def canonical(value: Any) -> Any:
    """A copy in which equal texts are one object and containers are never shared: pickle writes both down.

    Tensors come to the CPU: else the file names the GPU they were on, and a job on another one writes other bytes.
    """
    if isinstance(value, Mapping):
        return {canonical(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(canonical, value))
    if isinstance(value, torch.Tensor) and value.device.type != "cpu":
        return value.detach().cpu()
    return sys.intern(value) if type(value) is str else value


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what ``write_sealed`` wrote, onto the CPU. Nothing in the file can run code.

    Raises:
        Damaged: the checksum is missing or wrong, or the file holds more than tensors and plain values.
        OSError: there is no such file, or it cannot be read.
    """
    whole = path.read_bytes()
    body, digest = whole[:-DIGEST], whole[-DIGEST:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise Damaged("is damaged (its checksum is missing or wrong)")
    try:
        content = torch.load(io.BytesIO(whole), map_location="cpu", weights_only=True)
    except Exception as error:  # which one depends on what the file holds
        if is_out_of_memory(error):  # nothing is wrong with the file
            raise
        raise Damaged("holds more than tensors and plain values, and is not loaded") from error
    if not isinstance(content, dict):
        raise Damaged("is not a checkpoint of this program")
    return content
