"""TorchScript: a network that ``torch.jit.load`` opens without a source of ours.

Deprecated by torch (``torch.export`` replaces it), and still what many programs load.
"""

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_lightning.files import atomic_write


def write_trace(network: nn.Module, example: Tensor, path: Path, texts: Mapping[str, str] | None = None) -> None:
    """Trace ``network`` on ``example`` (N, C, H, W).

    Args:
        texts: further files in the archive, by their names.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of deprecation
        # a trace has torch's convolutions, whose last digits are others (models/winograd.py)
        traced = torch.jit.trace(network, example, check_tolerance=1e-3)
        with atomic_write(path) as file:
            torch.jit.save(traced, file, _extra_files=dict(texts or {}))


def save_traced(network: nn.Module, image_shape: tuple[int, int, int], path: Path) -> None:
    """Trace a copy of the network, on the CPU, on one image (1, C, H, W) of zeros."""
    write_trace(copy.deepcopy(network).cpu().eval(), torch.zeros(1, *image_shape), path)
