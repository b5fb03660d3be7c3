"""Evaluating a trained network: from images to numbers, figures and a short table."""

import datetime
import itertools
import json
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lightning import hardware
from resnet_lightning.config import PUBLISHED
from resnet_lightning.data.augment import Augment
from resnet_lightning.files import write_json
from resnet_lightning.randomness import stream
from resnet_lightning.text import percent
from resnet_lightning.training.metrics import Tally
from resnet_lightning.use.calibration import BINS, expected_calibration_error, reliability, wilson
from resnet_lightning.use.subject import Subject, read_subject
from resnet_lightning.use.trained import Trained, batches, load

if TYPE_CHECKING:
    from resnet_lightning.evaluate import EvaluateOptions  # which imports this module when it has work

TYPES = {"bf16": torch.bfloat16, "16": torch.float16}
# two evaluations with the same of these are one
WHAT = ("root", "split", "overrides", "tta", "precision", "images", "best_epoch")
OTHER_SPLIT = ("data=", "data.val_size=", "data.val_seed=")  # with these, other images may be held out than in the run


def evaluate(run: str | Path, options: "EvaluateOptions", overrides: Sequence[str] = ()) -> Path:
    """Evaluate a run, write ``evaluation/<what>/`` into its folder, print the table, return the folder.

    Args:
        overrides: ``key=value`` of the groups ``data`` and ``augment``.

    Raises:
        ConfigError, DataError: the run or the data are not to be had, or do not fit.
        OSError: the folder cannot be written; the table has been printed.
    """
    trained = load(run, options.accelerator)
    precision = pick_precision(options.precision, trained)
    subject = read_subject(trained, options.split, overrides)
    tta = trained.config.tta if options.tta == "run" else options.tta
    logits = predict(trained, subject, options.batch or trained.batch, tta, precision)
    probabilities, facts = logits.softmax(dim=1), measure(logits, subject.labels, trained.classes)
    record = {
        "run": str(trained.folder),
        "data": subject.name,
        "split": options.split,
        "overrides": list(overrides),
        "root": None if subject.data.name in PUBLISHED else str(Path(subject.data.root).resolve()),
        "command": shlex.join(["python", "-m", "resnet_lightning.evaluate", str(run), *overrides, *changed(options)]),
        "tta": tta,
        "device": hardware.device_name(trained.device),
        "precision": precision,
        "best_epoch": trained.result.best_epoch,
        "selection": trained.result.selection,
        "caution": caution(subject, options.split, trained.result.selection, overrides),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": hardware.versions(),
        "classes": trained.classes,
        **facts,
    }
    folder = place_of(record, trained.folder / "evaluation" / what(subject, options, overrides))
    text = "\n".join([*([trained.why] if trained.why else []), table(record)])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "evaluation.json", record)
        draw(record, subject, probabilities, folder)
    except OSError:  # the numbers are said where they cannot be kept
        with suppress(BrokenPipeError):
            print(text, flush=True)
        raise
    print(text, flush=True)
    return folder


def pick_precision(asked: str, trained: Trained) -> str:
    """What the run was evaluated in, where this hardware computes in it.

    Raises:
        ConfigError: ``16`` on a CPU.
    """
    kind = trained.device.type
    if asked != "auto":
        hardware.check_hardware(kind, 1, asked)
        return asked
    recorded = trained.result.precision or "32"
    possible = {"bf16": hardware.computes_in_bf16(kind), "16": kind == "cuda"}
    return recorded if possible.get(recorded, False) else "32"


def caution(subject: Subject, split: str, selection: str, overrides: Sequence[str]) -> str:
    """Why the numbers are too good, where images had a part in making the network, and ``split`` does not say so."""
    if not subject.own:
        return ""
    if split == "val" and (subject.changed or any(text.startswith(OTHER_SPLIT) for text in overrides)):
        return "Images that the network was trained on may be among these: the numbers may be too good."
    if (split, selection) == ("val", "validation"):
        return "These images selected the epoch: these numbers are a little too good."
    if (split, selection) == ("test", "test"):
        return "The test set selected the epoch: these numbers are too good."
    return ""


def changed(options: "EvaluateOptions") -> list[str]:
    return [f"{key}={value}" for key, value in vars(options).items() if value != vars(type(options)())[key]]


def what(subject: Subject, options: "EvaluateOptions", overrides: Sequence[str]) -> str:
    """The name of the folder: ``mnist_test``, ``mnist_test_augment.rotation-30_tta-flip``."""
    place = ("data=", "data.root=")  # the name of the data set says it
    said = [text for text in overrides if not text.startswith(place)]
    said += [text for text in changed(options) if text.startswith(("tta=", "precision="))]
    name = "_".join([subject.name.replace(" ", "-"), options.split, *(text.replace("=", "-") for text in said)])
    return re.sub(r"[^\w.+-]+", "-", name)[:120]


def place_of(record: dict[str, Any], folder: Path) -> Path:
    """``folder``, or where that holds an evaluation of something else ``..._2``, ``..._3``."""
    path = folder
    for number in itertools.count(2):
        try:
            there = json.loads((path / "evaluation.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            break
        if all(there.get(key, record[key]) == record[key] for key in WHAT):
            break
        path = folder.with_name(f"{folder.name}_{number}")
    return path


@torch.inference_mode()
def predict(trained: Trained, subject: Subject, batch: int, tta: str, precision: str) -> Tensor:
    """(N, classes) float32 logits on the CPU; with ``tta=flip`` the mean of those of image and mirror image."""
    from tqdm import tqdm

    preprocessing, device = trained.augment, trained.device
    if subject.augment is not None:
        preprocessing = Augment(subject.augment, trained.augment.mean, trained.augment.std)
    generator = stream(trained.config.seed, 0, "evaluation")
    autocast = torch.autocast(device.type, TYPES.get(precision), enabled=precision in TYPES)
    found = []
    for part in tqdm(list(batches(len(subject.labels), batch)), unit="batch", leave=False, disable=None):
        images = subject.images.batch(part).to(device)
        if subject.augment is None:
            pixels = preprocessing.plain(images)
        else:
            draws = torch.rand(len(images), preprocessing.draws, generator=generator)
            pixels = preprocessing(images, draws.to(device))
        views = [pixels, pixels.flip(3)] if tta == "flip" else [pixels]
        # the network alone: the matrices of the augmentation are float32 in a run too
        with hardware.float32_throughout(), autocast:
            logits = torch.stack([trained.network(view).float() for view in views]).mean(dim=0)
        found.append(logits.cpu())
    return torch.cat(found)


def measure(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """The numbers of an evaluation.

    Args:
        logits: (N, classes).
        labels: (N,) class numbers.
    """
    tally = Tally(len(classes))
    tally.add(F.cross_entropy(logits, labels), logits, labels)
    sums = tally.total()
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    bins = reliability(confidence.numpy(), (predicted == labels).numpy())
    correct = int((predicted == labels).sum())
    per_class = tally.confusion.sum(dim=1).tolist()
    return {
        "images": sums["images"],
        "loss": sums["loss"],
        "accuracy": sums["accuracy"],
        "accuracy_interval_95": wilson(correct, sums["images"]),
        "per_class_accuracy": sums["per_class_accuracy"],
        "images_per_class": per_class,
        "confusion_matrix": tally.confusion.tolist(),
        "expected_calibration_error": expected_calibration_error(bins),
        "mean_confidence": float(confidence.mean()),
        "calibration_bins": [part._asdict() for part in bins],
    }


def draw(record: dict[str, Any], subject: Subject, probabilities: Tensor, folder: Path) -> None:
    from resnet_lightning.training.figures import draw_confusion
    from resnet_lightning.use import pictures

    said = [text for text in record["overrides"] if text.startswith("augment")]  # the images are drawn without it
    said += [f"tta={record['tta']}"] if record["tta"] != "none" else []
    subject_of = ", ".join([record["data"], record["split"], *said])
    title = f"{subject_of}: accuracy {percent(record['accuracy'])} (n = {record['images']:,})"
    draw_confusion(record["confusion_matrix"], record["classes"], title, folder / "confusion_matrix.png")
    pictures.draw_reliability(record, title, folder / "reliability.png")
    pictures.draw_mistakes(subject, probabilities, record["classes"], title, folder / "mistakes.png")


def table(record: dict[str, Any]) -> str:
    low, high = record["accuracy_interval_95"]
    error = record["expected_calibration_error"]
    lines = [
        f"data          {record['data']}, {record['split']}: {record['images']:,} images",
        f"computed      {record['device']}, precision {record['precision']}"
        + (", mean of image and mirror image" if record["tta"] == "flip" else ""),
        f"loss          {record['loss']:.4f}",
        f"accuracy      {percent(record['accuracy'])}, 95 % interval {percent(low)} to {percent(high)}",
        f"calibration   ECE {percent(error)} ({BINS} bins), mean confidence {percent(record['mean_confidence'])}",
    ]
    if record["caution"]:
        lines += [f"              {record['caution']}"]
    return "\n".join([*lines, *class_lines(record)])


def class_lines(record: dict[str, Any], most: int = 20) -> list[str]:
    """A line a class; with more than ``most`` the ten worst."""
    columns = (record[key] for key in ("classes", "per_class_accuracy", "images_per_class"))
    rows = [row for row in zip(*columns, strict=True) if row[2]]
    head = "of each class"
    if len(rows) > most:
        rows, head = sorted(rows, key=lambda row: row[1])[:10], "the ten worst classes"
    width = max(len(row[0]) for row in rows)
    lines = [f"  {name:<{width}}  {percent(accuracy):>9}  of {images:,}" for name, accuracy, images in rows]
    return [head, *lines]
