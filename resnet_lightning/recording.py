"""What the record of a run says of it (commit, data, network, how far it came), and what its bits depend on."""

import math
import subprocess
from typing import Any, cast

from resnet_lightning import hardware
from resnet_lightning.config import Config, conf_folder
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.models.summary import model_facts
from resnet_lightning.result import RunResult
from resnet_lightning.training.checkpoint import DATA
from resnet_lightning.training.classifier import ImageClassifier, best_row
from resnet_lightning.training.tracking import Tracking


def git_commit() -> str | None:
    """The commit of this checkout, with ``+changes`` where files differ from it; None for an installed package."""
    checkout = conf_folder().parent
    if not (checkout / ".git").exists():
        return None
    ask = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(ask, cwd=checkout, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


COMMIT = git_commit()  # of the code that was loaded: the jobs of a sweep share it, whatever is edited meanwhile


def describe(result: RunResult, config: Config, data: ImageDataModule, classifier: ImageClassifier) -> None:
    """Record what is known before the first step."""
    result.data, result.selection = data.facts(), data.selection
    result.model = model_facts(cast(ResNet, classifier.network), config, data.image_shape)
    kind = hardware.pick_accelerator(config.accelerator)
    result.precision = hardware.pick_precision(config.precision, kind, config.devices)


def bits_depend_on(result: RunResult, processes: int) -> dict[str, Any]:
    """With the same settings, and the same of these, a run gives the same bits."""
    versions = {key: result.versions[key] for key in ("torch", "lightning", "cuda")}
    shared = {"processes": processes} if processes > 1 and result.config["devices"] == "auto" else {}
    own = {"code": f"{result.versions['resnet_lightning']} {result.git_commit or ''}".strip()}
    machine = {"device": result.device_kind, "threads": result.threads, "precision": result.precision}
    return {**machine, **versions, **shared, **own, DATA: result.data.get("digest")}


def record_training(result: RunResult, classifier: ImageClassifier, tracking: Tracking) -> None:
    history = classifier.history
    seconds = tracking.epoch_seconds[: len(history)]
    result.startup_seconds = tracking.startup_seconds
    result.epochs_done = len(history)
    result.epoch_seconds = [time for time in seconds if math.isfinite(time)]
    result.train_seconds = sum(seconds)  # unknown where that of an epoch is
    timed = [(row, time) for row, time in zip(history, seconds, strict=False) if math.isfinite(time)]
    steady = timed[1:] or timed  # the first epoch also warms up
    if steady:
        images = sum(row["train"]["images"] for row, _ in steady)
        result.images_per_second = images / sum(time for _, time in steady)
    if best := best_row(history):
        result.best_epoch, result.train, result.val = best["epoch"], best["train"], best["val"]
