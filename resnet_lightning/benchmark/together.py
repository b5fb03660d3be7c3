"""The speed of several processes that train at the same time on one device."""

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Sequence
from threading import BrokenBarrierError
from typing import Any, cast

import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.timing import mean_seconds, repetitions, torch_flags
from resnet_lightning.benchmark.training import Variant, device_of, variant_step
from resnet_lightning.sweep.slots import own_cores, usable_cores

LONGEST = 600  # seconds until jobs are given up


def job(
    arguments: list[str],
    variant: Variant,
    threads: int,
    seconds: float,
    begin: Any,
    results: Any,
    cores: Sequence[int] = (),
) -> None:
    """One of several at the same time: puts images/s, measured while the others measure too, or why there are none.

    Args:
        cores: its own, as a job of a sweep has them on a CPU; empty = all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent that Ctrl-C ends, and with it the jobs
    hardware.keep_freed_memory()
    torch.set_num_threads(threads)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        config = compose(arguments)
        device = device_of(config)
        with torch_flags(of_a_run=device.type == "cuda"):
            step = variant_step(config, variant, device)
            begin.wait()
            times = repetitions(step, seconds, device)
            begin.wait()
            results.put(config.batch / mean_seconds(step, times, device))
    except BrokenBarrierError:  # another one says why
        results.put("")
    except Exception as error:  # out of memory: the others need not wait
        results.put(f"{type(error).__name__}: {error}")
        begin.abort()


def together(
    arguments: list[str], variant: Variant, cores: Sequence[tuple[int, ...]], threads: int, seconds: float
) -> float:
    """Images/s of all of several processes that train at the same time on the same device.

    Args:
        cores: those of each process.

    Raises:
        RuntimeError: they do not fit.
    """
    context, jobs = multiprocessing.get_context("spawn"), len(cores)
    begin, results = context.Barrier(jobs), context.Queue()
    work = (arguments, variant, threads, seconds, begin, results)
    processes = [context.Process(target=job, args=(*work, own), daemon=True) for own in cores]
    deadline = time.monotonic() + LONGEST
    for process in processes:
        process.start()
    try:
        answers: list[float | str] = []
        while len(answers) < jobs and not any(isinstance(answer, str) and answer for answer in answers):
            answers.append(answer_of(processes, results, deadline))
    finally:
        for process in processes:
            process.kill()
            process.join()  # a GPU has its memory back only then
    if reason := next((answer for answer in answers if answer and isinstance(answer, str)), ""):
        raise RuntimeError(reason)
    return sum(map(float, answers))


def cores_of(kind: str, jobs: int, threads: int) -> list[tuple[int, ...]]:
    """Those of each job, as in a sweep; none in particular on a GPU, for one job, or where there are too few."""
    if kind != "cpu" or jobs == 1 or jobs * threads > len(usable_cores()) or not hasattr(os, "sched_setaffinity"):
        return [()] * jobs
    return own_cores(jobs, threads)


def answer_of(processes: Sequence[Any], results: Any, deadline: float) -> float | str:
    """The next answer; a sentence where a process ends without one, killed for its memory perhaps."""
    while time.monotonic() < deadline:
        try:
            return cast(float | str, results.get(timeout=1))
        except queue.Empty:
            killed = [process.exitcode for process in processes if process.exitcode]
            if killed:
                return f"a job ended with exit code {killed[0]}"
    return f"too slow to be measured: a job was not done after {LONGEST} s"
