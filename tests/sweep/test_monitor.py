"""What the live table says of a running job."""

from types import SimpleNamespace

import pytest

from resnet_lightning.result import RunResult
from resnet_lightning.sweep import monitor
from resnet_lightning.sweep.monitor import Monitor, end_line


@pytest.mark.parametrize(("before", "left"), [(0, "10.0 s"), (6, "20.0 s")])
def test_time_left_is_that_of_this_attempt(tmp_path, monkeypatch, before, left):
    """Of ten epochs eight are done: all of them now, in 40 s, or two of them, in 20 s, and six before a kill."""
    clock = [0.0]
    monkeypatch.setattr(monitor.time, "monotonic", lambda: clock[0])
    job = SimpleNamespace(name="a", label="a", attempts=1, config=SimpleNamespace(epochs=10, epochs_scale=1.0))
    write_epochs(tmp_path, before)
    watcher = Monitor(tmp_path, 1)
    watcher.started(job, SimpleNamespace(name="cpu"))
    watcher.running["a"].start = 0.0
    clock[0] = 40.0 if before == 0 else 20.0
    write_epochs(tmp_path, 8)
    assert watcher.row(watcher.running["a"])[-1] == left


def write_epochs(folder, epochs: int) -> None:
    (folder / "a").mkdir(exist_ok=True)
    rows = [f"{epoch},0.5" for epoch in range(1, epochs + 1)]
    (folder / "a" / "metrics.csv").write_text("\n".join(["epoch,val_accuracy", *rows]))


def test_attempts_are_no_further_jobs(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(monitor.time, "monotonic", lambda: clock[0])
    config = SimpleNamespace(epochs=10, epochs_scale=1.0)
    jobs = [SimpleNamespace(name=name, label=name, attempts=1, config=config) for name in "abc"]
    watcher = Monitor(tmp_path, 3)
    watcher.slots = 3
    for job in jobs:
        watcher.started(job, SimpleNamespace(name="cpu"))
    failed = RunResult("failed", [], {}, 0, reason="ValueError", test={"accuracy": 0.98})
    clock[0] = 600.0
    watcher.ended(jobs[0], failed, 600.0)
    watcher.started(jobs[0], SimpleNamespace(name="cpu"))
    for name, start in (("a", 600.0), ("b", 0.0), ("c", 0.0)):
        watcher.running[name].start = start
    clock[0] = 1195.0
    assert watcher.time_left() == "; 3 left, about 5.0 s" and "0 of 3 jobs ended" in watcher.table().title


def test_a_job_that_failed_after_its_test_says_why(tmp_path):
    failed = RunResult("failed", [], {}, 0, reason="disk full", test={"accuracy": 0.98})
    job = SimpleNamespace(name="a", label="lr=1")
    assert end_line(tmp_path, job, failed).endswith(f"lr=1: disk full; see {tmp_path / 'a' / 'job.log'}")


def test_an_accuracy_on_test_images_is_called_one(tmp_path):
    job = SimpleNamespace(name="a", label="a", attempts=1, config=SimpleNamespace(epochs=2, epochs_scale=1.0))
    watcher = Monitor(tmp_path, 1)
    watcher.started(job, SimpleNamespace(name="cpu"))
    write_epochs(tmp_path, 1)
    assert watcher.row(watcher.running["a"])[2:4] == ("1/2", "50.00 %")
    (tmp_path / "a" / "metrics.csv").write_text("epoch,test_accuracy\n1,0.5\n")
    assert watcher.row(watcher.running["a"])[3] == "50.00 % (test)"
