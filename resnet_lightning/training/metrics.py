"""Loss and accuracy of an epoch as running sums on the device: no copy to the host until the epoch ends."""

from typing import Any

import torch
from torch import Tensor, nn


class Tally(nn.Module):
    """Sum of the losses and one confusion matrix; accuracy, per-class accuracy and the mean loss follow from them.

    The buffers move with the module and are no part of a checkpoint.
    """

    loss_sum: Tensor  # () float32
    confusion: Tensor  # (num_classes, num_classes) int64: rows are true classes, columns predicted ones

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("loss_sum", torch.zeros(()), persistent=False)
        self.register_buffer("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), persistent=False)

    def reset(self) -> None:
        self.loss_sum.zero_()
        self.confusion.zero_()

    @torch.no_grad()
    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: mean loss (), logits (N, num_classes), labels (N,); N may be 0 in one of several processes."""
        if len(labels) == 0:  # the mean of nothing is NaN
            return
        if self.loss_sum.dtype != torch.float32:  # Lightning's precision="bf16-true" has made it one that stops growing
            self.loss_sum = self.loss_sum.float()
        self.loss_sum.add_(loss.detach(), alpha=len(labels))
        cells = torch.add(logits.argmax(dim=1), labels, alpha=len(self.confusion))
        # not bincount: on a GPU it waits for the largest value
        self.confusion.view(-1).index_add_(0, cells, torch.ones_like(cells))

    def total(self) -> dict[str, Any]:
        """Loss (mean per sample), accuracy, accuracy of each class (0..1) and images, over all processes of the run."""
        loss_sum, confusion = self.over_processes()
        confusion = confusion.cpu()
        images = int(confusion.sum())
        return {
            "loss": float(loss_sum) / max(images, 1),
            "accuracy": int(confusion.diagonal().sum()) / max(images, 1),
            "images": images,
            "per_class_accuracy": per_class_accuracy(confusion.tolist()),
        }

    def over_processes(self) -> tuple[Tensor, Tensor]:
        """``loss_sum`` and ``confusion`` of all processes of the run together; its own stay as they are."""
        sums = self.loss_sum.clone(), self.confusion.clone()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for part in sums:
                torch.distributed.all_reduce(part)
        return sums


def per_class_accuracy(confusion: list[list[int]]) -> list[float | None]:
    """Share of each true class that was recognised; None for a class without images."""
    return [row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)]
