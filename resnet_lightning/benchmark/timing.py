"""How long a piece of work takes on a device that works ahead of the host."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from resnet_lightning.hardware import synchronize

Work = Callable[[], object]


@contextmanager
def torch_flags(of_a_run: bool) -> Iterator[None]:
    """What is set for the whole process: as our Trainer leaves it on CUDA (and never takes back), or as torch has it.

    Our steps have the one from their warm-up on, as a compiled network is made for it, the loops of others the other.
    """
    cudnn: Any = torch.backends.cudnn
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.benchmark, cudnn.allow_tf32, memory.fill_uninitialized_memory
    if of_a_run:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does; cuBLAS reads it only once
    keep_deterministic(of_a_run, warn_only=of_a_run)
    cudnn.benchmark, cudnn.allow_tf32, memory.fill_uninitialized_memory = False, not of_a_run, not of_a_run
    try:
        yield
    finally:
        keep_deterministic(*before)
        cudnn.benchmark, cudnn.allow_tf32, memory.fill_uninitialized_memory = flags


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's own threads at 1, so that none waits for another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def keep_deterministic(on: bool, warn_only: bool) -> None:
    """``torch.use_deterministic_algorithms``, of the compiler too. Imports it: megabytes, so only where it must."""
    if on != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(on, warn_only=warn_only)


def release(device: torch.device) -> None:
    """Give back the memory of what is no longer needed, so that other processes can have it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def mean_seconds(work: Work, count: int, device: torch.device) -> float:
    """Seconds that ``work`` takes, as the mean over ``count`` times without a pause."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    synchronize(device)
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


def command_seconds(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> float:
    """Seconds that ``python -m resnet_lightning`` takes with these arguments, started in ``folder``.

    Raises:
        RuntimeError: it failed, with the last line that it said.
    """
    command = [sys.executable, "-m", "resnet_lightning", *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(said[-1] if said else f"exit code {done.returncode}")
    return seconds
