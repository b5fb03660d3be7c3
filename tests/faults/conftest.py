"""One sweep that is disturbed in every way and started again, one that is not, and what there is to compare."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray

from resnet_lightning.result import RunResult
from tests.forked import run_module
from tests.sweep.conftest import Sweep, injected

# four epochs of eight steps; everything that draws random numbers is on
SETTINGS = [
    "model=resnet10", "model.widths=[4,4,4]", "data.image_size=8", "data.train_limit=256", "data.val_size=256",
    "data.test_limit=500", "batch=32", "epochs=4", "precision=32", "accelerator=cpu", "threads=1", "dropout=0.2",
    "augment.rotation=10", "augment.random_crop=1", "batchnorm=reestimated",
]  # fmt: skip
LR = 0.01  # of a run on its own
COMMAND = [*SETTINGS, f"lr={LR}", "hydra.run.dir=one run"]
AT_ONCE = ["launcher.jobs_per_device=2", "launcher.threads_per_job=1"]
MAY_DIFFER = {
    "attempts", "started", "seconds", "startup_seconds", "train_seconds", "epoch_seconds", "images_per_second",
    "peak_memory",
}  # fmt: skip
SAME_BYTES = ("best.ckpt", "last.ckpt", "metrics.csv")


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Every point of the TensorBoard events as it stands in the files, doubles and all."""
    events = (event for path in sorted(folder.glob("events.out.*")) for event in EventFileLoader(str(path)).Load())
    values = ((event.step, value) for event in events for value in event.summary.value)
    return [(v.tag, step, float(make_ndarray(v.tensor))) for step, v in values if "hparams" not in v.tag]


def differences(here: Path, there: Path) -> list[str]:
    """Everything in which two run folders differ, but for times, memory, attempts and damaged files put aside."""
    found = [name for name in SAME_BYTES if (here / name).read_bytes() != (there / name).read_bytes()]
    found += ["events"] if scalars(here) != scalars(there) else []
    records = [json.loads((folder / "result.json").read_text()) for folder in (here, there)]
    keys = records[0].keys() | records[1].keys()
    found += [key for key in sorted(keys - MAY_DIFFER) if records[0].get(key) != records[1].get(key)]
    names = [
        {p.name for p in folder.iterdir() if not p.name.startswith("events") and p.suffix not in (".bad", ".log")}
        for folder in (here, there)
    ]
    return found + [f"files {names[0] ^ names[1]}"] * (names[0] != names[1])


@dataclass(frozen=True)
class Case:
    """A fault of one job.

    Attributes:
        fault: as ``tests/inject`` words it.
        status: of the job after it.
        reason: part of its reason.
        damage: what else happens to its folder before the command is given again.
        says: what the log then says.
        attempts: that the record then knows of.
    """

    fault: str
    status: str
    reason: str = ""
    damage: Callable[[Path], object] = lambda folder: None
    says: str = "resumes after epoch 2"
    attempts: int = 2


@dataclass(frozen=True)
class Disturbed:
    """A sweep after both launches, its jobs by learning rate.

    Attributes:
        before: records after the first launch.
        outputs: of both launches.
        same: the folder of an undisturbed run with this learning rate.
    """

    sweep: Sweep
    before: dict[float, RunResult]
    outputs: list[str]
    same: Callable[[float], Path]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, data_root):
    """``undisturbed([0.1, 0.2])`` -> ``{0.1: folder, ...}``; each list is run once."""

    @cache
    def run(rates: Sequence[float]) -> Sweep:
        sweep = Sweep(tmp_path_factory.mktemp("undisturbed"), data_root, SETTINGS)
        done = sweep.run(f"lr={','.join(map(str, rates))}", *AT_ONCE, faults={"figures": False})
        assert done.returncode == 0, done.stdout + done.stderr
        return sweep

    return run


@pytest.fixture(scope="session")
def disturb(tmp_path_factory, data_root, undisturbed):
    """``disturb({0.1: Case(...), ...})`` runs the sweep with these faults, then the same command again."""

    def run(cases: dict[float, Case], forgetful: Sequence[float] = ()) -> Disturbed:
        sweep = Sweep(tmp_path_factory.mktemp("disturbed"), data_root, SETTINGS)
        (sweep.place / "struck").mkdir()
        faults: dict[str, object] = {f"{lr:g}": case.fault for lr, case in cases.items()}
        faults |= {"once": str(sweep.place / "struck"), "forgetful": [f"{lr:g}" for lr in forgetful], "figures": False}
        rates = f"lr={','.join(map(str, cases))}"
        first = sweep.run(rates, *AT_ONCE, faults=faults)
        before = sweep.results()
        folders = {lr: sweep.job(lr) for lr in cases}
        for lr, case in cases.items():
            case.damage(folders[lr])
        (sweep.folder / ".holder").write_text("process 999999 on elsewhere since 2001-01-01 00:00:00\n")
        second = sweep.run(rates, *AT_ONCE, faults=faults)
        reference = undisturbed(tuple(cases))
        return Disturbed(sweep, before, [d.stdout + d.stderr for d in (first, second)], reference.job)

    return run


@pytest.fixture
def single(tmp_path, data_root):
    """``single("lr=0.1", fault="raise@step 3")`` runs the command in an empty folder."""

    def run(*arguments: str, fault: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        faults = {"once": str(tmp_path), "figures": False} | ({f"{LR:g}": fault} if fault else {})
        extra = injected(faults) | {"RESNET_LIGHTNING_DATA": str(data_root)}
        if not fault:
            return run_module("resnet_lightning", *arguments, cwd=tmp_path, env=os.environ | extra | environment)
        return subprocess.run(
            [sys.executable, "-m", "resnet_lightning", *arguments],
            cwd=tmp_path, env=os.environ | extra | environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip

    return run
