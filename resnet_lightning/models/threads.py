"""Shares of a batch, each gone through by one thread.

An operation of torch divides its tensors among all threads anew: a core then reads what another one has written, and
waits for all. For many short operations in a row on megabytes, this costs more than the operations, the more so where
two cores have no cache in common. A share that stays with its thread stays in the cache of its core.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Result = TypeVar("Result")
Share = TypeVar("Share")


def in_threads(work: Callable[[Share], Result], shares: Sequence[Share]) -> list[Result]:
    """``work`` of every share, at the same time, with one thread of torch each and without gradients."""
    inference = torch.is_inference_mode_enabled()  # like the recording of gradients, a matter of the thread

    def alone(share: Share) -> Result:
        with torch.inference_mode(inference), torch.no_grad():
            return work(share)

    return list(pool(len(shares), os.getpid()).map(alone, shares))


@cache
def pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process (a forked one has none of its parent's) that do not divide their work any further."""
    before = torch.get_num_threads()
    threads_of_pool, all_there = ThreadPoolExecutor(threads, "share"), Barrier(threads)

    def do_not_divide(number: int) -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # else this thread takes the default below over when it first divides work
        all_there.wait()  # so that each thread comes here once

    try:
        list(threads_of_pool.map(do_not_divide, range(threads)))
    except BaseException:  # no more threads can be started: those that were must not wait forever
        all_there.abort()
        raise
    torch.set_num_threads(before)  # what is said in one thread is also the default of later ones
    return threads_of_pool
