"""Shared by the tests: settings composed as the command line does, tiny data, the command itself."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lightning.compose import compose_all
from resnet_lightning.config import Config
from resnet_lightning.result import RunResult
from tests.forked import run_module

# a network and a part of MNIST that train in about a second an epoch
TINY = [
    "model=resnet10",
    "model.widths=[4,8,8]",
    "data.train_limit=512",
    "data.val_size=256",
    "batch=64",
    "precision=32",
]

HPARAMS_QUERY = {
    "experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_UNKNOWN", "STATUS_RUNNING"],
    "colParams": [], "startIndex": 0, "sliceSize": 99,
}  # fmt: skip


os.environ.setdefault("no_proxy", "127.0.0.1,localhost")  # of servers that tests start
os.environ.pop("FORCE_COLOR", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a run changes in its process on purpose is put back for the next test."""
    environment, hook = dict(os.environ), threading.excepthook
    yield
    os.environ.clear()
    os.environ.update(environment)
    threading.excepthook = hook


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.manual_seed(0)  # what a test draws does not depend on those before it
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", min(2, os.cpu_count() or 1))))


@pytest.fixture
def hangup_heard() -> Iterator[None]:
    """What a test starts hears SIGHUP, even where the tests themselves run under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of MNIST for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def settings(data_root: Path):
    """``settings("lr=0.1")`` -> checked Config, as the command line would make it."""

    def make(*arguments: str) -> Config:
        return compose_all([f"data.root={data_root}", *arguments], multirun=False).jobs[0][1]

    return make


@pytest.fixture
def command(data_root: Path, tmp_path: Path):
    """``command("lr=0.1")`` runs ``python -m resnet_lightning`` in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"RESNET_LIGHTNING_DATA": str(data_root)}
        return run_module("resnet_lightning", *arguments, cwd=tmp_path, env=environment)

    return run


@pytest.fixture
def the_run(tmp_path: Path):
    """``the_run()`` -> folder and record of the only run below ``outputs``."""

    def find() -> tuple[Path, RunResult]:
        (folder,) = (tmp_path / "outputs").iterdir()
        return folder, RunResult.read(folder)

    return find


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's images: two classes that differ by colour, of many sizes and modes, some of them awkward."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        for name, colour in (("blue sky", (40, 60, 200)), ("grass", (60, 180, 50))):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = random.integers(20, 80, 2)
                pixels = np.clip(np.array(colour) + random.normal(0, 30, (height, width, 3)), 0, 255).astype(np.uint8)
                image = Image.fromarray(pixels)
                image = image.convert(("RGB", "RGBA", "P")[number % 3])
                image.save(folder / f"{number}.{'png' if number % 2 else 'gif' if number % 3 == 2 else 'png'}")
            (folder / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def locked(monkeypatch):
    """``locked("deep")``: a folder of this name cannot be read, not even by root."""
    scandir = os.scandir

    def lock(name: str) -> None:
        def refuse(place):
            if Path(place).name == name:
                raise PermissionError(13, "Permission denied", str(place))
            return scandir(place)

        monkeypatch.setattr(os, "scandir", refuse)

    return lock


@pytest.fixture
def tensorboard():
    """``tensorboard(folder)("scalars/tags")`` asks TensorBoard's own server, once it has loaded all runs."""
    from tensorboard import program

    def serve(folder: Path):
        board = program.TensorBoard()
        board.configure(logdir=str(folder), port=0, load_fast="false")
        address = board.launch()

        def ask(path: str, body: dict | None = None):
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"{address}data/plugin/{path}", data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)

        finished = {path.parent.name for path in folder.rglob("result.json") if RunResult.read(path.parent).test}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            loaded = {Path(run).name for run, tags in ask("scalars/tags").items() if "test/accuracy" in tags}
            if loaded >= finished:
                return ask
            time.sleep(0.2)
        raise TimeoutError(f"TensorBoard has not loaded {finished - loaded}")

    return serve
