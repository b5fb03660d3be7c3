"""Launchers take turns with the same jobs on one device."""

import pytest

from resnet_lightning.benchmark import launcher
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort
from resnet_lightning.result import RunResult


@pytest.mark.parametrize(("gpus", "device"), [(["3", "4"], "3"), ([], None)])
def test_launchers_are_compared_on_one_device(gpus, device, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(launcher, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(launcher, "command_seconds", lambda *call: calls.append(call) or 1.0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert launcher.Sweeps(tmp_path, ["threads=1"], 3).basic() == 1.0
    ((arguments, _, environment),) = calls
    assert environment.get("CUDA_VISIBLE_DEVICES") == device and {"seed=0,1,2", "threads=1"} <= set(arguments)


def test_launchers_take_turns_and_only_the_records_of_ours_count(settings, monkeypatch):
    ways = []

    def command_seconds(arguments, place, environment):
        if "--multirun" in arguments:
            jobs = next(argument for argument in arguments if argument.startswith("seed=")).count(",") + 1
            ways.append("basic" if "hydra/launcher=basic" in arguments else f"ours, {jobs}")
            for seed in range(jobs):
                seconds = 1.0 if ways[-1] == "basic" else 2.0
                record = RunResult("done", [], {}, seed, seconds=seconds, startup_seconds=0.5 + (seed == 0))
                folder = place / "multirun" / "sweep" / str(seed)
                folder.mkdir(parents=True)
                record.write(folder)
            return 10.0 if jobs == 4 else 3.5
        return 10.0

    monkeypatch.setattr(launcher, "command_seconds", command_seconds)
    rows, missing = launcher.measure_launcher(settings(), [], Effort())
    once = ["ours, 4", "ours, 1", "basic"]
    assert ways == [*once, *once[::-1], *once] and not missing
    assert all(row.minimum == row.median == row.maximum and row.rounds == 3 for row in rows)
    assert {row.case: row.median for row in rows} == {
        "our launcher": 10,
        "Hydra's basic launcher": 10,
        "single commands": 40,
        "the first job": 1.5,
        "later jobs (median)": 0.5,
        "4 jobs": 2,  # with one job it is 1.5
        "for each job": pytest.approx(0.5 / 3),
        "once": pytest.approx(1.5 - 0.5 / 3),
    }


def test_a_place_that_hydra_would_not_read_is_quoted(settings, monkeypatch, tmp_path):
    """The commands that are measured have the absolute place of the data, whatever its name is."""
    calls = []
    monkeypatch.setattr(launcher, "command_seconds", lambda *call: calls.append(call[0]) or 1.0)
    monkeypatch.setattr(launcher, "interleave", lambda *_: {})
    odd = tmp_path / "müller, (a)=1"
    config = settings()
    config.data.root = str(odd)
    launcher.measure_launcher(config, [], Effort(rounds=1))
    assert compose([argument for argument in calls[0] if argument.startswith("data.root=")]).data.root == str(odd)
