"""Sweeps through the command line, with injected faults."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from resnet_lightning.result import RunResult
from tests.forked import run_module

INJECT = str(Path(__file__).parents[1] / "inject")
SMALL = [
    "model=resnet10", "model.widths=[4,4,4]", "data.train_limit=256", "data.val_size=256", "batch=32", "epochs=1",
    "precision=32", "accelerator=cpu", "threads=1", "data.image_size=8",
]  # fmt: skip


def injected(faults: dict[str, object]) -> dict[str, str]:
    """The environment in which ``tests/inject`` makes these faults happen."""
    paths = os.pathsep.join(filter(None, [INJECT, os.environ.get("PYTHONPATH")]))
    return {"RNL_FAULTS": json.dumps(faults), "PYTHONPATH": paths}


class Sweep:
    """The sweep ``name=s`` of a test, in a folder of its own."""

    def __init__(self, place: Path, data_root: Path, settings: Sequence[str] = SMALL) -> None:
        limit = next((item.partition("=")[2] for item in settings if item.startswith("data.test_limit=")), None)
        self.folder = place / "multirun" / (f"s_test-{limit}" if limit else "s")
        self.place, self.journal = place, place / "journal"
        self.data_root, self.settings = data_root, settings

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "resnet_lightning", "--multirun", "name=s", *self.settings, *arguments]

    def environment(self, faults: dict[str, object] | None) -> dict[str, str]:
        extra = {"RNL_JOURNAL": str(self.journal), "RESNET_LIGHTNING_DATA": str(self.data_root)}
        return os.environ | injected({"figures": False} | (faults or {})) | extra

    def run(self, *arguments: str, faults: dict[str, object] | None = None) -> subprocess.CompletedProcess[str]:
        """The faults strike in its jobs. Pictures are not drawn."""
        return run_module(*self.command(*arguments)[2:], cwd=self.place, env=self.environment(faults))

    def start(self, *arguments: str, faults: dict[str, object] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), cwd=self.place, env=self.environment(faults), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def results(self) -> dict[float, RunResult]:
        """Records by learning rate."""
        found = [RunResult.read(path.parent) for path in self.folder.glob("*/result.json")]
        return {result.config["lr"]: result for result in found}

    def job(self, lr: float) -> Path:
        (folder,) = [p.parent for p in self.folder.glob("*/result.json") if RunResult.read(p.parent).config["lr"] == lr]
        return folder

    def events(self) -> list[tuple[float, str, float, str | None, int]]:
        """Lines of the journal: time, start or end, lr, CUDA_VISIBLE_DEVICES, process."""
        return [tuple(json.loads(line)) for line in self.journal.read_text().splitlines()]

    def wait_for_start(self, lr: float, seconds: float = 60) -> int:
        """The process that trains with ``lr``, once it does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for _, event, rate, _, process in self.events() if self.journal.exists() else ():
                if event == "start" and rate == lr:
                    return process
            time.sleep(0.1)
        raise AssertionError(f"no job with lr={lr} has started")


@pytest.fixture
def sweep(tmp_path, data_root) -> Sweep:
    return Sweep(tmp_path, data_root)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split(") ")[1][0] != "Z"


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def interrupt(process: subprocess.Popen, signum: int = signal.SIGINT) -> None:
    os.kill(process.pid, signum)
