"""Shares of a batch, each gone through by one thread."""

import multiprocessing
import sys
import threading

import pytest
import torch

from resnet_lightning.models.threads import in_threads


@pytest.fixture(autouse=True)
def this_many_threads(two_threads) -> None:
    torch.set_num_threads(2)  # also where OMP_NUM_THREADS says otherwise


def test_each_share_has_a_thread_that_does_not_divide_it():
    together = threading.Barrier(3, timeout=60)

    def work(share: int) -> tuple[int, int, bool]:
        together.wait()  # ends only if all three are there at once
        return share, torch.get_num_threads(), torch.is_grad_enabled()

    for _ in range(2):
        assert in_threads(work, [0, 1, 2]) == [(0, 1, False), (1, 1, False), (2, 1, False)]
    assert torch.get_num_threads() == 2


def test_a_new_thread_still_has_the_number_of_this_process():
    in_threads(abs, [1, 2, 3, 4, 5])  # a pool of its own
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


@pytest.mark.parametrize("shares", range(10, 20))
def test_several_callers_at_once(shares):
    """One makes the pool, the other finds it; neither is left with a single thread."""
    found: list[int] = []
    start = threading.Barrier(2)

    def call() -> None:
        start.wait()
        in_threads(abs, range(shares))
        found.append(torch.get_num_threads())

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [2, 2]


def test_where_no_thread_can_be_started(monkeypatch):
    """None waits for those that never come, and later threads have the number of this process."""
    start, started = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("share") and started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            in_threads(abs, range(9))
    assert len(started) == 1 and not started[0].is_alive()
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


def test_what_a_share_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda share: 1 / share, [1, 0])
    assert in_threads(abs, [-1, -2]) == [1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    in_threads(abs, [1, 2])
    squares = (torch.linalg.matrix_norm, [torch.ones(2, 2), torch.ones(3, 3)])
    child = multiprocessing.get_context("fork").Process(target=in_threads, args=squares)
    child.start()
    child.join(timeout=60)
    hangs = child.is_alive()
    child.kill()
    assert not hangs and child.exitcode == 0
