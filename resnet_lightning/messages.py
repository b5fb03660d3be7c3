"""What a run says on the console before it trains and after it ended."""

import math
import os
from pathlib import Path

from resnet_lightning.config import Config
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.models.summary import summary
from resnet_lightning.report.labels import threads_text
from resnet_lightning.result import RunResult
from resnet_lightning.text import duration, percent


def opening_lines(config: Config, result: RunResult, data: ImageDataModule) -> str:
    counts = data.facts()["images"]
    held_out = (
        f"{counts['val']:,} validation" if counts["val"] else "no validation (the test set selects the best epoch)"
    )
    unseen = len(data.classes) - len(data.data.train.labels[data.train_index].unique())
    none = f"; of {unseen} of {len(data.classes)} classes none is trained on" if unseen else ""
    images = f"{counts['train']:,} training, {held_out}, {counts['test']:,} test images"
    lines = [
        summary(result.model, data.image_shape),
        f"data        {data.config.name}: {images}{none}",
        f"device      {result.device}, precision {result.precision}, {threads_text(result.threads)}",
    ]
    parts = [f"moving average of the weights (decay {config.ema:g} a step)"] if config.ema else []
    parts += ["mean over each image and its mirror image"] if config.tta == "flip" else []
    return "\n".join([*lines, f"evaluation  {', '.join(parts)}"] if parts else lines)


def closing_lines(result: RunResult, folder: Path) -> str:
    """The short table at the end, the status where it is not done, and the path of the folder."""
    lines = [""]
    best = f"epoch {result.best_epoch} of {result.epochs_done}, best by {result.selection}"
    if result.test:
        lines += [f"{'':12}{'loss':>8}{'accuracy':>11}{'images':>9}   ({best})"]
        parts = [("train", result.train), ("train, eval", result.train_eval)]
        parts += [("validation", result.val), ("test", result.test)]
        for name, part in parts:
            if not part or (name == "validation" and result.selection == "test"):
                continue
            note = "   selected on test" if name == "test" and result.selection == "test" else ""
            loss = math.nan if part["loss"] is None else part["loss"]  # as it is in a record that was read
            lines += [f"{name:<12}{loss:>8.4f}{percent(part['accuracy']):>11}{part['images']:>9,}{note}"]
        memory = f", peak memory {result.peak_memory:,.0f} MiB" if result.peak_memory else ""
        speed = f"{result.images_per_second:,.0f} images/s" if result.images_per_second else ""
        lines += [f"{duration(result.seconds or 0)}, {speed} in training{memory}"]
    if result.status != "done":
        lines += [f"{result.status}: {result.reason}"]
    try:
        place = os.path.relpath(folder)
    except ValueError:  # on another drive of Windows
        place = str(folder)
    return "\n".join([*lines, place])
