"""Training metrics of a run of two processes (DDP with gloo): the sums of both."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from resnet_lightning.training.classifier import ImageClassifier

IMAGES = 64


def linear() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))


def test_training_metrics_are_those_of_both_processes(tmp_path, monkeypatch):
    """The second process gets every other image, and wrong labels for these only; the weights do not move."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    images, network = torch.randn(IMAGES, 3, 2, 2), linear()
    logits = network(images).detach()
    wrong = torch.arange(IMAGES) % 2
    labels = (logits.argmax(dim=1) + wrong) % 3
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp_spawn", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(ImageClassifier(network, 3, "sgd", "constant", lr=1e-30, weight_decay=0.0), loader, loader)
    shown = trainer.callback_metrics
    for split in ("train", "val"):
        assert float(shown[f"{split}/accuracy"]) == 0.5
        assert float(shown[f"{split}/loss"]) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
