"""One run on two devices (DDP with gloo, two CPU processes): what one device would have computed."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from resnet_lightning.build import build_classifier
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.result import RunResult
from tests.conftest import TINY
from tests.sweep.conftest import injected

# 257 validation images in batches of 256 and 999 test images: the last batch of each cannot be shared evenly
SETTINGS = [
    *TINY, "lr=0.1", "epochs=2", "data.val_size=257", "eval_batch=256", "data.test_limit=999", "accelerator=cpu",
    "threads=1", "ema=0.9", "augment=crop_flip",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(data_root, tmp_path_factory) -> dict[int, tuple[Path, RunResult]]:
    """Folder and record of the same run on one device and on two."""
    made = {}
    for devices in (1, 2):
        place = tmp_path_factory.mktemp(f"devices_{devices}")
        done = subprocess.run(
            [sys.executable, "-m", "resnet_lightning", *SETTINGS, f"devices={devices}", f"data.root={data_root}"],
            cwd=place, capture_output=True, text=True, check=False, env=os.environ | {"MASTER_ADDR": "127.0.0.1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (folder,) = (place / "outputs").iterdir()
        made[devices] = folder, RunResult.read(folder)
    return made


def curve(folder: Path, column: str) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def test_loss_curve_is_that_of_one_device(runs):
    """Same images, same order, same augmentation. BatchNorm sees half a batch on each device: 5 % of difference."""
    one, two = (curve(runs[devices][0], "train_loss") for devices in (1, 2))
    assert one == pytest.approx(two, rel=0.05) and one != two


def test_every_image_counts_once(runs):
    for _, result in runs.values():
        assert (result.train["images"], result.val["images"], result.test["images"]) == (512, 257, 999)
        assert sum(map(sum, result.test["confusion_matrix"])) == 999


def test_killed_on_both_devices_it_goes_on_to_the_same_bits(runs, data_root, tmp_path):
    """In the second of two epochs, between two steps."""
    arguments = [*SETTINGS, "devices=2", f"data.root={data_root}", "hydra.run.dir=run"]
    said = [
        subprocess.run(
            [sys.executable, "-m", "resnet_lightning", *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {"MASTER_ADDR": "127.0.0.1"} | more,
        )
        for more in (injected({"0.1": "signal9@step 11"}), {})
    ]  # fmt: skip
    assert [done.returncode for done in said] == [-9, 0], said[0].stderr + said[1].stdout + said[1].stderr
    assert "resumes after epoch 1" in said[1].stdout + said[1].stderr
    for name in ("metrics.csv", "best.ckpt", "last.ckpt"):
        assert (tmp_path / "run" / name).read_bytes() == (runs[2][0] / name).read_bytes(), name


@pytest.mark.parametrize("pause", [0.0, pytest.param(0.13, marks=pytest.mark.slow)])
def test_sigterm_at_the_first_process_ends_both_in_order(data_root, tmp_path, pause):
    """As ``kill`` and ``docker stop`` send it, at moments that differ."""
    arguments = [*SETTINGS, "data.train_limit=2000", "epochs=50", "devices=2", f"data.root={data_root}"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "resnet_lightning", *arguments, "hydra.run.dir=run"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"MASTER_ADDR": "127.0.0.1"},
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch "):
            break
    time.sleep(pause)
    process.terminate()
    rest = process.communicate(timeout=100)[0]
    result = RunResult.read(tmp_path / "run")
    assert (process.returncode, result.status, result.reason) == (143, "interrupted", "stopped by SIGTERM"), rest


def evaluated(config, folder: Path, part: str) -> tuple[float, list[list[int]]]:
    """Loss and confusion matrix with the weights of ``best.ckpt``, on one device and with nothing of the trainer."""
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.setup()
    network = build_classifier(config, data).network.eval()
    network.load_state_dict(torch.load(folder / "best.ckpt", weights_only=True)["state_dict"])
    split, index = (data.data.train, data.val_index) if part == "val" else (data.data.test, data.test_index)
    with torch.no_grad():
        logits = network(data.augment.plain(split.images[index]))
    labels, matrix = split.labels[index], torch.zeros(10, 10, dtype=torch.int64)
    matrix.index_put_((labels, logits.argmax(dim=1)), torch.ones_like(labels), accumulate=True)
    return float(torch.nn.functional.cross_entropy(logits, labels)), matrix.tolist()


@pytest.mark.parametrize("devices", [1, 2])
def test_metrics_are_exact_however_the_last_batch_is_shared(runs, settings, devices):
    folder, result = runs[devices]
    config = settings(*SETTINGS)
    loss, matrix = evaluated(config, folder, "test")
    assert result.test["confusion_matrix"] == matrix and result.test["loss"] == pytest.approx(loss, rel=1e-4)
    loss, matrix = evaluated(config, folder, "val")
    right = sum(matrix[i][i] for i in range(10))
    assert round(result.val["accuracy"] * 257) == right and result.val["loss"] == pytest.approx(loss, rel=1e-4)
