"""The lines that a run prints: ``log_style=plain``, or ``report``, as the course reports printed them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from resnet_lightning.config import Config, trained_epochs
from resnet_lightning.text import duration, percent


class Lines(Protocol):
    """Words for what happens; epochs and steps count from 0, losses are means per sample."""

    def step(self, epoch: int, step: int, loss: float) -> str: ...
    def epoch(self, row: dict[str, Any], seconds: float, left: float) -> str: ...
    def classes(self, split: str, sums: dict[str, Any], names: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True)
class PlainLines:
    """
    Attributes:
        selection: how to call the images that select the best epoch: ``validation`` or ``test``.
        epochs, steps: of the run, and of each of its epochs.
    """

    selection: str
    epochs: int
    steps: int

    def step(self, epoch: int, step: int, loss: float) -> str:
        return f"epoch {epoch + 1}/{self.epochs}  step {step + 1:>{len(str(self.steps))}}/{self.steps}  loss {loss:.4f}"

    def epoch(self, row: dict[str, Any], seconds: float, left: float) -> str:
        splits = [("train", row["train"]), (self.selection, row["val"])]
        if row["train_eval"]:
            splits.insert(1, ("train in evaluation", row["train_eval"]))
        parts = [f"{name} loss {sums['loss']:.4f} accuracy {percent(sums['accuracy'])}" for name, sums in splits]
        ahead = f", {duration(left)} left" if left else ""
        head = f"epoch {row['epoch']:>{len(str(self.epochs))}}/{self.epochs}"
        return "  ".join([head, *parts, f"{duration(seconds)}{ahead}"])

    def classes(self, split: str, sums: dict[str, Any], names: Sequence[str]) -> list[str]:
        return []


@dataclass(frozen=True)
class ReportLines:
    """
    Attributes:
        experiment: ``ResNet-10_LR_0.01_BS_32``.
        batch, images: of a step, and of each epoch.
    """

    experiment: str
    selection: str
    batch: int
    images: int

    def step(self, epoch: int, step: int, loss: float) -> str:
        seen = step * self.batch
        return f"Train Epoch: {epoch} [{seen}/{self.images} ({100 * seen / self.images:.0f}%)]\tLoss: {loss:.6f}"

    def epoch(self, row: dict[str, Any], seconds: float, left: float) -> str:
        epoch, train, val, selection = row["epoch"] - 1, row["train"], row["val"], self.selection.capitalize()
        line = (
            f"Experiment: {self.experiment}, Epoch: {epoch}, Train Loss: {train['loss']:.6f}, "
            f"{selection} Loss: {val['loss']:.6f}, Accuracy: {100 * val['accuracy']:.2f}%"
        )
        if not row["train_eval"]:
            return line
        return "\n".join([line, set_line("Train", row["train_eval"]), set_line(selection, val)])

    def classes(self, split: str, sums: dict[str, Any], names: Sequence[str]) -> list[str]:
        """The accuracy of each class, then of all; a class without images has none."""
        shares = zip(names, sums["per_class_accuracy"], strict=True)
        each = [f"Accuracy of {name} : {100 * share:.2f} %" for name, share in shares if share is not None]
        return [f"{split}:", *each, f"Accuracy of the network: {right_of(sums)}"]


def set_line(name: str, sums: dict[str, Any]) -> str:
    return f"{name} set: Average loss: {sums['loss']:.4f}, Accuracy: {right_of(sums)}"


def right_of(sums: dict[str, Any]) -> str:
    """``59950/60000 (99.92%)``"""
    return f"{round(sums['accuracy'] * sums['images'])}/{sums['images']} ({100 * sums['accuracy']:.2f}%)"


def lines_of(config: Config, selection: str, images: int) -> Lines:
    """The style that ``log_style`` asks for.

    Args:
        images: that the run trains on.
    """
    batch = min(config.batch, images)
    if config.log_style == "report":
        model = re.sub(r"^resnet(?=\d)", "ResNet-", config.model.name)
        return ReportLines(f"{model}_LR_{config.lr:g}_BS_{config.batch}", selection, batch, images)
    return PlainLines(selection, trained_epochs(config), images // batch)
