"""Faults of a whole sweep: a broken device, and kills at random until everything is done."""

import os
import random
import signal
import time

import pytest

from resnet_lightning.training.sealed import Damaged, read_sealed
from tests.faults.conftest import AT_ONCE, SETTINGS, differences
from tests.sweep.conftest import Sweep
from tests.sweep.test_sweep import timeless

KILLS = 30  # at least
EPOCHS = 10
WRITTEN = ("last.ckpt", "metrics.csv", "result.json")  # every epoch; best.ckpt has its own cases


@pytest.mark.slow
def test_broken_device_gets_no_more_jobs(tmp_path, data_root):
    sweep = Sweep(tmp_path, data_root, SETTINGS)
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    faults = {f"{lr:g}": "device:1@start" for lr in rates} | {"figures": False}
    done = sweep.run(f"lr={','.join(map(str, rates))}", "launcher.devices=[0,1]", faults=faults)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "device 1: 3 jobs in a row failed at their start: it gets no more jobs." in done.stdout
    assert {result.visible_devices for result in sweep.results().values()} == {"0"}
    starts = [device for _, event, _, device, _ in sweep.events() if event == "start"]
    assert starts.count("1") == 0  # the journal notes a start when the network is there


@pytest.mark.slow
def test_no_device_left_ends_the_sweep_with_a_sentence(tmp_path, data_root):
    sweep = Sweep(tmp_path, data_root, SETTINGS)
    rates = [0.1, 0.2, 0.3, 0.4, 0.5]
    faults = {f"{lr:g}": "device:1@start" for lr in rates} | {"figures": False}
    done = sweep.run(f"lr={','.join(map(str, rates))}", "launcher.devices=[1]", faults=faults)
    assert done.returncode == 1 and "No device is left for the waiting jobs" in done.stdout
    assert len(sweep.results()) == 3 and {r.status for r in sweep.results().values()} == {"failed"}
    assert sweep.run(f"lr={','.join(map(str, rates))}", "launcher.devices=[2]").returncode == 0


@pytest.mark.slow
def test_random_kills_until_done(tmp_path, data_root):
    """Jobs in the middle of steps and of writing a file, the launcher at any time; the seed of chance is fixed."""
    chance, rates = random.Random(0), (0.05, 0.051, 0.052, 0.053, 0.054, 0.055)
    longer = [f"epochs={EPOCHS}" if key.startswith("epochs=") else key for key in SETTINGS]
    sweep = Sweep(tmp_path, data_root, longer)
    grid = [f"lr={','.join(map(str, rates))}", *AT_ONCE]
    kills, launches, reached = 0, 0, dict.fromkeys(rates, 0)

    def moment(epoch: int) -> str:
        """In the next epoch, of eight steps, or in what is written at its end."""
        place = f"{chance.choice(['before', 'after', 'half'])} {chance.choice(WRITTEN)} 1"
        return f"signal9@{chance.choice([f'step {chance.randrange(8 * epoch, 8 * epoch + 8)}', place])}"

    while True:
        struck = tmp_path / f"struck in launch {launches}"
        struck.mkdir()
        faults: dict[str, object] = {"once": str(struck), "figures": False}
        if kills < KILLS:
            faults |= {f"{lr:g}": moment(epoch) for lr, epoch in reached.items()}
        process = sweep.start(*grid, faults=faults)
        launches += 1
        if kills < KILLS and launches % 3 == 0:
            time.sleep(chance.uniform(5, 15))
            kills += process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
        output = process.communicate(timeout=300)[0]
        kills += len(list(struck.iterdir()))
        print(f"launch {launches}, {kills} kills so far: {sorted(path.name for path in struck.iterdir())}")
        for lr in reached:
            now = epochs(sweep, lr)
            assert now >= reached[lr], f"lr={lr} went back from epoch {reached[lr]} to {now}"
            reached[lr] = now
        if process.returncode == 0:
            break
        assert launches < 60, output
    print(f"{kills} kills, {launches} launches, attempts {[r.attempts for r in sweep.results().values()]}")
    assert kills >= KILLS
    (tmp_path / "undisturbed").mkdir()
    other = Sweep(tmp_path / "undisturbed", data_root, longer)
    assert other.run(*grid, faults={"figures": False}).returncode == 0
    assert {lr: differences(sweep.job(lr), other.job(lr)) for lr in rates} == {lr: [] for lr in rates}
    assert timeless(sweep) == timeless(other)


def epochs(sweep: Sweep, lr: float) -> int:
    """Of the newest whole checkpoint."""
    folders = list(sweep.folder.glob(f"lr-{lr:g}_*"))
    for name in ("last.ckpt", "last-1.ckpt"):
        try:
            return read_sealed(folders[0] / name)["epoch"] + 1
        except (OSError, IndexError, Damaged):
            continue
    return 0
