"""What the live table says of a running job."""

from types import SimpleNamespace

import pytest

from resnet_lightning.sweep import monitor
from resnet_lightning.sweep.monitor import Monitor


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
