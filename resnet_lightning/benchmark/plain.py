"""The yardstick: training loops as most people write them, and as the course reports had them.

A torchvision data set of PIL images, torchvision transforms for each image, a DataLoader, float32, ``loss.item()`` and
a count of right answers in every step. Correct, readable and slow; nothing else in the project uses it.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import CIFAR10

from resnet_lightning.data.readers import read_mnist


class MNIST(Dataset[Any]):
    """As ``torchvision.datasets.MNIST``, from the files of the package: (PIL image, label), transformed one by one."""

    def __init__(self, transform: transforms.Compose) -> None:
        source = read_mnist()
        self.images = [image for chunk in source.images["train"]() for image in chunk[..., 0]]
        self.labels, self.transform = source.labels["train"], transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def mnist() -> Dataset[Any]:
    steps = [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    return MNIST(transforms.Compose(steps))


def cifar10(root: Path) -> Dataset[Any]:
    """
    Raises:
        RuntimeError: the files are not in ``root``, or damaged.
    """
    steps = [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ]
    return CIFAR10(str(root), train=True, transform=transforms.Compose(steps))  # type: ignore[no-any-return]


def training_steps(
    network: nn.Module, data: Dataset[Any], batch: int, workers: int, device: torch.device, lr: float = 0.01
) -> Generator[float, None, None]:
    """Train for ever, epoch after epoch; yields the sum of an epoch's losses after each step.

    Closing it ends the workers.
    """
    loader = DataLoader(data, batch_size=batch, shuffle=True, num_workers=workers, drop_last=True)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(network.parameters(), lr=lr)
    network.to(device).train()
    while True:
        running_loss, correct = 0.0, 0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)  # noqa: PLW2901
            optimizer.zero_grad()
            outputs = network(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            correct += (outputs.argmax(dim=1) == labels).sum().item()
            yield running_loss
