"""Shares of a batch, each gone through by one thread.

An operation of torch divides its tensors among all threads anew: a core then reads what another one has written, and
waits for all. For many short operations in a row on megabytes, this can cost more than the operations. A share that
stays with its thread can stay in the cache of its core. Profilers that record by thread do not see these operations:
profile with one thread.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import TypeVar

import torch

Result = TypeVar("Result")
Share = TypeVar("Share")

_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}
_ONE_AT_A_TIME = Lock()


def have_cores(threads: int) -> bool:
    """Whether as many threads of ours would get a core each: they inherit those of this one, which OpenMP may have
    bound to a single core (``OMP_PROC_BIND``)."""
    return not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) >= threads


def in_threads(work: Callable[[Share], Result], shares: Sequence[Share]) -> list[Result]:
    """``work`` of every share, at the same time, with one thread of torch each and without gradients."""
    inference = torch.is_inference_mode_enabled()  # like the recording of gradients, a matter of the thread

    def alone(share: Share) -> Result:
        with torch.inference_mode(inference), torch.no_grad():
            return work(share)

    return list(pool(len(shares)).map(alone, shares))


def pool(threads: int) -> ThreadPoolExecutor:
    """Threads of this process that do not divide their work any further; a forked one has none of its parent's."""
    key = threads, os.getpid()
    with _ONE_AT_A_TIME:
        if key not in _POOLS:
            _POOLS[key] = new_pool(threads)
    return _POOLS[key]


def new_pool(threads: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    made, all_there = ThreadPoolExecutor(threads, "share"), Barrier(threads)

    def do_not_divide(number: int) -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # else this thread takes the default below over when it first divides work
        all_there.wait()  # so that each thread comes here once

    try:
        list(made.map(do_not_divide, range(threads)))
    except BaseException:  # no more threads can be started: those that were must not wait forever
        all_there.abort()
        made.shutdown()
        raise
    finally:
        torch.set_num_threads(before)  # what is said in one thread is also the default of later ones
    return made
