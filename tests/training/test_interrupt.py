"""Signals that come late."""

import os
import signal

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader, TensorDataset

from resnet_lightning.training.classifier import ImageClassifier
from resnet_lightning.training.interrupt import Interrupted, StopOnSignal


class Late(Callback):
    """The signal comes after the last step and the last validation."""

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_signal_after_the_last_step_is_obeyed(tmp_path):
    loader = DataLoader(TensorDataset(torch.randn(8, 3, 2, 2), torch.arange(8) % 2), batch_size=4)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    classifier = ImageClassifier(network, 2)
    with StopOnSignal() as stop, pytest.raises(Interrupted, match="stopped by SIGINT") as caught:
        trainer = Trainer(
            accelerator="cpu", devices=1, max_epochs=1, callbacks=[stop, Late()], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(classifier, loader, loader)
    assert caught.value.exit_code == 130 and len(classifier.history) == 1
