"""Randomness is a function of (seed, epoch, purpose) alone: no state to save, the same bits after a restart."""

import hashlib

import torch


def stream_seed(seed: int, epoch: int, purpose: str) -> int:
    """A 63-bit seed; streams of different seeds, epochs or purposes have nothing to do with each other."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """A CPU generator, so that the draws are the same whatever device trains."""
    return torch.Generator().manual_seed(stream_seed(seed, epoch, purpose))
