"""Jobs that are measured at the same time: none waits for another in vain."""

import math
import queue
import threading
from types import SimpleNamespace

import pytest

from resnet_lightning.benchmark import together
from resnet_lightning.benchmark.together import answer_of, cores_of, job
from resnet_lightning.benchmark.training import Variant
from resnet_lightning.config import LauncherConfig
from resnet_lightning.sweep import slots

EAGER = Variant("32", "channels_last", False)


def test_a_job_that_fails_keeps_the_others_waiting_for_nothing(monkeypatch):
    monkeypatch.setattr(together.signal, "signal", lambda *_: None)  # this is no process of its own
    begin, results = threading.Barrier(2), queue.Queue()
    job(["batch=1"], EAGER, 1, 0.01, begin, results)
    assert begin.broken and results.get_nowait().startswith("ConfigError: batch=1 is not possible")
    job(["model=resnet10", "model.widths=[4,8,8]", "batch=2"], EAGER, 1, 0.01, begin, results)
    assert results.get_nowait() == ""


def test_a_job_that_was_killed_is_not_waited_for():
    processes = [SimpleNamespace(exitcode=None), SimpleNamespace(exitcode=-9)]
    assert answer_of(processes, queue.Queue(), math.inf) == "a job ended with exit code -9"
    assert answer_of(processes, queue.Queue(), 0).startswith("too slow to be measured")


def test_jobs_at_the_same_time_have_cores_of_their_own_as_in_a_sweep(monkeypatch):
    for module in (together, slots):
        monkeypatch.setattr(module, "usable_cores", lambda: [0, 1, 4, 5])
    assert cores_of("cpu", 2, 2) == [(0, 1), (4, 5)]
    assert cores_of("cpu", 1, 2) == [()] and cores_of("cpu", 8, 1) == [()] * 8
    on_a_gpu = slots.gpu_slots(LauncherConfig("auto", 2, 2, None, 0), ["0"], 1, found=True)
    assert cores_of("cuda", 2, 2) == [slot.cores for slot in on_a_gpu] == [(), ()]


def test_jobs_at_the_same_time_say_why_they_do_not_train():
    with pytest.raises(RuntimeError, match="ConfigError: batch=1 is not possible"):
        together.together(["batch=1"], EAGER, [()], 1, 0.01)
