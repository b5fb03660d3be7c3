"""From settings to one trained, evaluated and recorded run: the one place where the parts meet."""

import datetime
import logging
import os
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LambdaCallback

from resnet_lightning import hardware
from resnet_lightning.attempt import Attempt, End, end_after_first, end_of, said_by_another, write_or_say
from resnet_lightning.build import build_classifier, build_data, build_loggers, build_trainer
from resnet_lightning.checks import check_batch, check_devices
from resnet_lightning.config import FIRST, PLANNED, PUBLISHED, Config, ConfigError, config_hash, plain_settings
from resnet_lightning.data.cache import refuse_other_images
from resnet_lightning.data.datamodule import ImageDataModule, refuse_one_class
from resnet_lightning.lock import hold, refuse_held
from resnet_lightning.messages import closing_lines, opening_lines
from resnet_lightning.recording import COMMIT, bits_depend_on, describe, record_training
from resnet_lightning.result import FINISHED, RunResult, status_in
from resnet_lightning.text import percent
from resnet_lightning.training.batchnorm import ReestimateBatchNorm
from resnet_lightning.training.checkpoint import (
    Checkpoints,
    digest_before,
    drop_older,
    load_best,
    refuse_foreign,
    refuse_other_run,
)
from resnet_lightning.training.classifier import Diverged, ImageClassifier, best_row, metrics_of
from resnet_lightning.training.console import Console
from resnet_lightning.training.interrupt import Interrupted, StopOnSignal
from resnet_lightning.training.lines import Lines, lines_of
from resnet_lightning.training.loggers import Loggers
from resnet_lightning.training.traced import save_traced
from resnet_lightning.training.tracking import Tracking

log = logging.getLogger(__name__)
ADVICE = "choose another folder"


def run(config: Config, folder: Path, overrides: list[str], choices: dict[str, str]) -> RunResult:
    """Train, evaluate and record one run in ``folder``. Whatever happens to it, ``result.json`` says so.

    A folder that holds this run, finished, is left as it is.

    Args:
        overrides: the settings as the user wrote them, for the record.
        choices: the chosen option of each group, ``{"model": "resnet18", ...}``.

    Raises:
        ConfigError: the settings do not fit the data, or the folder holds another run or somebody else's files; nothing
            has been trained.
    """
    settings = plain_settings(config)
    if status_here(settings, folder) in FINISHED:
        result = RunResult.read(folder)
        refuse_other_images(config.data, result.data.get("digest"), folder)
        log.info(f"already finished\n{closing_lines(result, folder)}")
        return result
    quiet_lightning()
    hardware.keep_freed_memory()
    threads = hardware.set_threads(config.threads, hardware.processes(config.accelerator, config.devices))
    result = RunResult(
        status="running",
        overrides=overrides,
        choices=choices,
        config=settings,
        seed=config.seed,
        name=config.name or f"{config.model.name}_{config.data.name}",
        started=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        threads=threads,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        versions=hardware.versions(),
        git_commit=COMMIT,
    )
    with hold(folder, ADVICE) if hardware.is_first_process() else nullcontext():
        if config.data.name not in PUBLISHED:
            refuse_other_images(config.data, digest_before(folder), folder)
        return attempt(config, folder, result)


def refuse_folder(config: Config, folder: Path) -> None:
    """
    Raises:
        ConfigError: the folder holds a run with other settings than these, or is being run.
    """
    status_here(plain_settings(config), folder)
    refuse_held(folder, ADVICE)


def status_here(settings: dict[str, Any], folder: Path) -> str:
    """How far the run with these settings is in a folder.

    Raises:
        ConfigError: the folder holds another run or somebody else's files, or a sweep has planned other settings.
    """
    refuse_other_settings(settings)
    status = status_in(folder, settings)
    if status == "waiting":
        refuse_other_run(folder, settings)
        refuse_foreign(folder, ADVICE)
    return status


def refuse_other_settings(settings: dict[str, Any]) -> None:
    """A job of a sweep computes what was planned, whatever has become of the files of ``conf/`` since.

    Raises:
        ConfigError: its settings are others by now.
    """
    planned = os.environ.get(PLANNED)
    if planned and planned != config_hash(settings):
        raise ConfigError(
            "Files in conf/ have changed since the sweep was started, and this job would no longer be the one that was "
            "planned. Give the command of the sweep again, with either the old files or the new ones."
        )


def attempt(config: Config, folder: Path, result: RunResult) -> RunResult:
    """Begin the run, or go on with it where an earlier attempt was stopped; ends with the record of how it ended.

    Raises:
        ConfigError: as ``run``.
        OSError: the record cannot be written; nothing has been trained.
    """
    this, stop = Attempt(folder, result), StopOnSignal()
    write(result, folder)
    if hardware.is_first_process():
        os.environ[FIRST] = str(os.getpid())
    else:
        threading.Thread(target=end_after_first, daemon=True).start()
    try:
        with stop:
            train_and_test(config, folder, result, stop, this)
        result.status, result.exit_code = "done", 0
    except ConfigError as error:
        result.status, result.reason, result.exit_code = "failed", str(error), 2
        raise
    except (Exception, Interrupted, SystemExit, KeyboardInterrupt) as error:
        end = end_of(error, result) or said_by_another(folder)
        result.status, result.reason, result.exit_code = end or End("failed", f"{type(error).__name__}: {error}")
        if end is None:
            log.error(traceback.format_exc())
    finally:
        result.seconds = this.seconds
        write_or_say(result, folder)
        if result.exit_code:
            stop.end_others()
    if hardware.is_first_process():
        if result.exit_code == 0:
            drop_older(folder)
        log.info(closing_lines(result, folder))
    return result


def write(result: RunResult, folder: Path) -> None:
    if hardware.is_first_process():
        result.write(folder)


def quiet_lightning() -> None:
    """Keep banners, tips and warnings about what we do on purpose off the console."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    logging.raiseExceptions = False  # a line that does not fit on a full disk is no traceback on the console
    threading.excepthook = pass_over_full_disk
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")  # a skipped first step in 16-bit


def pass_over_full_disk(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands its OSError to the run, which says it in a sentence; it need not print it as well."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def train_and_test(config: Config, folder: Path, result: RunResult, stop: StopOnSignal, this: Attempt) -> None:
    """Fill ``result`` step by step, so that it holds what was reached wherever the run ends."""
    processes = hardware.processes(config.accelerator, config.devices)
    data, classifier = prepare(config, result, processes)
    lines = lines_of(config, data.selection, len(data.train_index))
    with loggers_of(config, folder, result) as loggers:
        tracking = Tracking(folder, "val" if data.selection == "validation" else "test", loggers, this.epoch_seconds)

        def progress(*_: object) -> None:  # so that the record of a run that is killed says how far it came
            record_training(result, classifier, tracking)
            result.seconds = this.seconds
            write(result, folder)

        checkpoints = Checkpoints(folder, result.config)
        keep_record = LambdaCallback(on_train_start=progress, on_train_epoch_end=progress)
        callbacks = [stop, tracking, Console(lines, config.log_every), keep_record, checkpoints]
        if config.batchnorm == "reestimated":
            callbacks.append(ReestimateBatchNorm(data))
        trainer = build_trainer(config, folder, str(result.precision), callbacks)
        result.device = hardware.device_name(trainer.strategy.root_device)
        if trainer.is_global_zero:
            log.info(opening_lines(config, result, data))
        try:
            train(trainer, classifier, data, checkpoints.newest(bits_depend_on(result, processes)))
            record_training(result, classifier, tracking)
            load_best(folder, classifier.evaluated)
            if config.eval_train != "none":
                result.train_eval = test(trainer, classifier, data, "train")
            result.test = test(trainer, classifier, data, "test")
        finally:
            record_training(result, classifier, tracking)
            result.peak_memory = hardware.peak_memory(trainer.strategy.root_device)
        if trainer.is_global_zero:
            for line in class_lines(lines, result, data.classes):
                log.info(line)
            draw(result, classifier, data, folder)
            if config.traced:
                save_traced(classifier.evaluated, data.image_shape, folder / "traced.pt")


def prepare(config: Config, result: RunResult, processes: int) -> tuple[ImageDataModule, ImageClassifier]:
    """Data and classifier of a run, described in its record.

    Raises:
        ConfigError: the settings do not fit the data, or the devices.
        DataError: the data are missing or damaged, or have one class only.
    """
    data = build_data(config)
    refuse_one_class(data.classes, config.data.root)
    check_devices(processes, config.batch)  # devices=auto is a number only here
    check_batch(config, len(data.data.train.labels), processes)
    classifier = build_classifier(config, data)
    describe(result, config, data, classifier)
    return data, classifier


@contextmanager
def loggers_of(config: Config, folder: Path, result: RunResult) -> Iterator[Loggers | None]:
    """The loggers of the first process of a run; they are told how the block ended."""
    loggers, success = build_loggers(config, folder, result) if hardware.is_first_process() else None, False
    try:
        yield loggers
        success = True
    finally:
        if loggers is not None:
            loggers.close(metrics_of({"test": result.test}), result.best_epoch or 0, success)


def train(trainer: Trainer, classifier: ImageClassifier, data: ImageDataModule, checkpoint: Path | None) -> None:
    """Train from the first epoch, or from ``checkpoint`` on.

    Raises:
        Diverged: the loss became infinite or not a number.
    """
    trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if best_row(classifier.history) is None:
        raise Diverged(f"In none of {len(classifier.history)} epochs was the validation loss finite.")


def class_lines(lines: Lines, result: RunResult, classes: list[str]) -> list[str]:
    """The accuracy of each class, where the style of the lines has it."""
    splits = (("train", result.train_eval), ("test", result.test))
    return [line for split, sums in splits if sums for line in lines.classes(split, sums, classes)]


def test(trainer: Trainer, classifier: ImageClassifier, data: ImageDataModule, split: str) -> dict[str, Any]:
    """Loss, accuracies and confusion matrix on the images of a split, ``test`` or ``train``, as they are."""
    data.test_split = split
    trainer.test(classifier, datamodule=data, verbose=False)
    return classifier.test_sums


def draw(result: RunResult, classifier: ImageClassifier, data: ImageDataModule, folder: Path) -> None:
    from resnet_lightning.training import figures

    title = f"{result.model['name']} on {data.config.name}, seed {result.seed}"
    selected = ", selected on test" if result.selection == "test" else ""
    test = f"{title}: test accuracy {percent(result.test['accuracy'])} (n = {result.test['images']:,}{selected})"
    figures.draw_curves(classifier.history, result.best_epoch, result.selection, title, folder / "curves.png")
    figures.draw_confusion(result.test["confusion_matrix"], data.classes, test, folder / "confusion_matrix.png")
    positions = data.test_dataloader().positions()
    predicted = torch.cat(classifier.test_predictions).cpu()
    wrong = round(result.test["images"] * (1 - result.test["accuracy"]))
    figures.draw_predictions(
        data.data.test, positions, predicted, wrong, data.classes, test, folder / "predictions.png"
    )
