"""From settings to one trained, evaluated and recorded run: the one place where the parts meet."""

import datetime
import hashlib
import json
import logging
import os
import subprocess
import time
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.memory import is_oom_error

from resnet_lightning import hardware
from resnet_lightning.config import Config, ConfigError, check_batch, conf_folder
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.data.sources import DataError
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.models.summary import model_facts, summary
from resnet_lightning.result import RunResult
from resnet_lightning.training.checkpoint import AtomicCheckpointIO, Checkpoints, load_best
from resnet_lightning.training.classifier import Diverged, ImageClassifier
from resnet_lightning.training.console import Console, duration, percent
from resnet_lightning.training.interrupt import Interrupted, StopOnSignal
from resnet_lightning.training.metrics import per_class_accuracy
from resnet_lightning.training.tracking import Events, Tracking

log = logging.getLogger(__name__)


def run(config: Config, folder: Path, overrides: list[str]) -> RunResult:
    """Train, evaluate and record one run in ``folder``. Whatever happens to it, ``result.json`` says so.

    Raises:
        ConfigError: the settings do not fit the data; nothing has been trained.
    """
    quiet_lightning()
    threads = hardware.set_threads(config.threads)
    result = RunResult(
        status="running",
        overrides=overrides,
        config=asdict(config),
        seed=config.seed,
        name=config.name or f"{config.model.name}_{config.data.name}",
        started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        threads=threads,
        versions=hardware.versions(),
        git_commit=git_commit(),
    )
    write(result, folder)
    start = time.perf_counter()
    try:
        with StopOnSignal() as stop:
            train_and_test(config, folder, result, stop)
        result.status, result.exit_code = "done", 0
    except ConfigError as error:
        result.status, result.reason, result.exit_code = "failed", str(error), 2
        raise
    except Interrupted as error:
        result.status, result.reason, result.exit_code = "interrupted", str(error), error.exit_code
    except SIGTERMException:
        result.status, result.reason, result.exit_code = "interrupted", "stopped by SIGTERM", 143
    except Diverged as error:
        result.status, result.reason = "diverged", str(error)
    except DataError as error:
        result.status, result.reason = "failed", str(error)
    except Exception as error:
        result.status = "oom" if isinstance(error, MemoryError) or is_oom_error(error) else "failed"
        result.reason = f"{type(error).__name__}: {error}"
        log.error(traceback.format_exc())
    finally:
        result.seconds = time.perf_counter() - start
        write(result, folder)
    if hardware.is_first_process():
        log.info(closing_lines(result, folder))
    return result


def write(result: RunResult, folder: Path) -> None:
    if hardware.is_first_process():
        result.write(folder)


def quiet_lightning() -> None:
    """Keep banners, tips and warnings about what we do on purpose off the console."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")  # a skipped first step in 16-bit


def git_commit() -> str | None:
    """The commit of our checkout, else of the working directory, with ``+changes`` where files differ; None without."""
    checkout = conf_folder().parent
    place = checkout if (checkout / ".git").exists() else Path.cwd()
    ask = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        return subprocess.run(ask, cwd=place, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def train_and_test(config: Config, folder: Path, result: RunResult, stop: StopOnSignal) -> None:
    """Fill ``result`` step by step, so that it holds what was reached wherever the run ends."""
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.prepare_data()
    data.setup()
    check_batch(config, len(data.data.train.labels))
    result.data, result.selection = data.facts(), data.selection
    classifier = build_classifier(config, data)
    result.model = model_facts(cast(ResNet, classifier.network), config, data.image_shape)
    result.precision = hardware.pick_precision(config.precision, hardware.pick_accelerator(config.accelerator))
    events = open_events(config, folder, result.precision) if hardware.is_first_process() else None
    tracking = Tracking(folder, "val" if data.selection == "validation" else "test", events)
    checkpoints = Checkpoints(folder, result.config)
    trainer = build_trainer(config, folder, result.precision, [stop, tracking, Console(data.selection), checkpoints])
    result.device = hardware.device_name(trainer.strategy.root_device)
    if trainer.is_global_zero:
        log.info(opening_lines(result, data))
    try:
        trainer.fit(classifier, datamodule=data)
        record_training(result, classifier, tracking, checkpoints)
        load_best(folder, classifier.network)
        trainer.test(classifier, datamodule=data, verbose=False)
        record_test(result, classifier)
    finally:
        record_training(result, classifier, tracking, checkpoints)
        result.peak_memory = hardware.peak_memory(trainer.strategy.root_device)
        if events is not None:
            metrics = {f"test/{key}": result.test[key] for key in ("loss", "accuracy") if result.test}
            events.scalars(metrics, result.best_epoch or 0)
            events.close(success=bool(result.test))
    if trainer.is_global_zero:
        draw(result, classifier, data, folder)


def build_classifier(config: Config, data: ImageDataModule) -> ImageClassifier:
    seed_everything(config.seed, verbose=False)
    network = ResNet(
        config.model, config.stem, data.image_shape[0], len(data.classes), config.activation, dropout=config.dropout
    )
    return ImageClassifier(
        network,
        len(data.classes),
        config.optimizer,
        config.scheduler,
        config.lr,
        config.weight_decay,
        config.label_smoothing,
        config.seed,
        config.compile,
    )


def open_events(config: Config, folder: Path, precision: str) -> Events:
    settings = flat_settings(config, precision)
    group = {key: value for key, value in settings.items() if key != "seed"}
    return Events(folder, settings, hashlib.sha256(json.dumps(group).encode()).hexdigest()[:16])


def build_trainer(config: Config, folder: Path, precision: str, callbacks: list[Any]) -> Trainer:
    kind = hardware.pick_accelerator(config.accelerator)
    return Trainer(
        accelerator=kind,
        devices=config.devices,
        precision=hardware.LIGHTNING_PRECISION[precision],
        max_epochs=config.epochs,
        gradient_clip_val=config.gradient_clip or None,
        deterministic="warn" if kind == "cuda" else None,  # the same bits for the same seed, where CUDA can
        default_root_dir=folder,
        logger=False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the loader shares a batch among the processes itself
    )


def flat_settings(config: Config, precision: str) -> dict[str, bool | int | float | str]:
    """The flat keys of a run with plain values: the columns of TensorBoard's table."""
    augment = asdict(config.augment) | asdict(config.augment.color_jitter)
    toggles = [key for key, value in augment.items() if value and key != "color_jitter"]
    return {
        "model": config.model.name,
        "data": config.data.name,
        "augment": "+".join(toggles) or "none",
        "optimizer": config.optimizer["name"],
        "scheduler": config.scheduler["name"],
        "activation": config.activation,
        "lr": config.lr,
        "batch": config.batch,
        "epochs": config.epochs,
        "dropout": config.dropout,
        "weight_decay": config.weight_decay,
        "label_smoothing": config.label_smoothing,
        "precision": precision,
        "seed": config.seed,
    }


def record_training(
    result: RunResult, classifier: ImageClassifier, tracking: Tracking, checkpoints: Checkpoints
) -> None:
    history = classifier.history
    seconds = tracking.epoch_seconds[: len(history)]
    result.epochs_done, result.epoch_seconds, result.train_seconds = len(history), seconds, sum(seconds)
    steady = list(zip(history, seconds, strict=False))[1:] or list(zip(history, seconds, strict=False))
    if steady:  # the first epoch also warms up
        images = sum(row["train"]["images"] for row, _ in steady)
        result.images_per_second = images / sum(time for _, time in steady)
    if checkpoints.best:
        result.best_epoch = checkpoints.best["epoch"]
        result.train, result.val = (with_classes(checkpoints.best[split]) for split in ("train", "val"))


def record_test(result: RunResult, classifier: ImageClassifier) -> None:
    sums = classifier.tally("test").total()
    result.test = with_classes(sums) | {"confusion_matrix": sums["confusion_matrix"]}


def with_classes(sums: dict[str, Any]) -> dict[str, Any]:
    """Replace the confusion matrix by what the record keeps of it."""
    kept = {key: value for key, value in sums.items() if key != "confusion_matrix"}
    return {**kept, "per_class_accuracy": per_class_accuracy(sums["confusion_matrix"])}


def draw(result: RunResult, classifier: ImageClassifier, data: ImageDataModule, folder: Path) -> None:
    from resnet_lightning.training import figures

    title = f"{result.model['name']} on {data.config.name}, seed {result.seed}"
    test = f"{title}: test accuracy {percent(result.test['accuracy'])} (n = {result.test['images']:,})"
    figures.draw_curves(classifier.history, result.best_epoch, result.selection, title, folder / "curves.png")
    figures.draw_confusion(result.test["confusion_matrix"], data.classes, test, folder / "confusion_matrix.png")
    positions = data.test_dataloader().positions()
    predicted = torch.cat(classifier.test_predictions).cpu()
    images, labels = data.data.test.images[positions], data.data.test.labels[positions]
    figures.draw_predictions(images, labels, predicted, data.classes, test, folder / "predictions.png")


def opening_lines(result: RunResult, data: ImageDataModule) -> str:
    counts = data.facts()["images"]
    held_out = (
        f"{counts['val']:,} validation" if counts["val"] else "no validation (the test set selects the best epoch)"
    )
    lines = [
        summary(result.model, data.image_shape),
        f"data        {data.config.name}: {counts['train']:,} training, {held_out}, {counts['test']:,} test images",
        f"device      {result.device}, precision {result.precision}, {result.threads} threads",
    ]
    return "\n".join(lines)


def closing_lines(result: RunResult, folder: Path) -> str:
    """The short table at the end, the status where it is not done, and the path of the folder."""
    lines = [""]
    best = f"epoch {result.best_epoch} of {result.epochs_done}, best by {result.selection}"
    if result.test:
        lines += [f"{'':12}{'loss':>8}{'accuracy':>11}{'images':>9}   ({best})"]
        for name, part in (("train", result.train), ("validation", result.val), ("test", result.test)):
            if name == "validation" and result.selection == "test":
                continue
            note = "   selected on test" if name == "test" and result.selection == "test" else ""
            lines += [f"{name:<12}{part['loss']:>8.4f}{percent(part['accuracy']):>11}{part['images']:>9,}{note}"]
        memory = f", peak memory {result.peak_memory:,.0f} MiB" if result.peak_memory else ""
        speed = f"{result.images_per_second:,.0f} images/s" if result.images_per_second else ""
        lines += [f"{duration(result.seconds or 0)}, {speed} in training{memory}"]
    if result.status != "done":
        lines += [f"{result.status}: {result.reason}"]
    return "\n".join([*lines, os.path.relpath(folder)])
