"""How long a piece of work takes on a device that works ahead of the host."""

import time
from collections.abc import Callable

import torch

Work = Callable[[], object]


def finish(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def mean_seconds(work: Work, count: int, device: torch.device) -> float:
    """Seconds that ``work`` takes, as the mean over ``count`` times without a pause."""
    finish(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    finish(device)
    return (time.perf_counter() - start) / count


def repetitions(work: Work, seconds: float, device: torch.device) -> int:
    """Warm up, and say how often ``work`` fits into ``seconds``; at least twice."""
    work()
    once = mean_seconds(work, 1, device)
    return max(2, round(seconds / max(mean_seconds(work, 1, device), once / 10, 1e-6)))


def rate(work: Work, amount: float, seconds: float, device: torch.device) -> Callable[[], float]:
    """A way of measuring: ``amount`` (images, operations) a second; warm when it is returned."""
    count = repetitions(work, seconds, device)
    return lambda: amount / mean_seconds(work, count, device)
