"""The moving average of the weights and mirrored images: what is evaluated, and what training knows of it (nothing)."""

import copy
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from resnet_lightning.build import build_classifier
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.result import RunResult
from resnet_lightning.run import run
from resnet_lightning.training.averaging import Following, follower_of
from resnet_lightning.training.classifier import ImageClassifier
from tests.conftest import TINY

SHORT = [*TINY, "data.test_limit=1000", "threads=1", "lr=0.1", "epochs=2"]


@pytest.fixture
def record(settings, tmp_path):
    """``record("ema=0.9")`` -> folder and record of a short run."""

    def make(*arguments: str) -> tuple[Path, RunResult]:
        folder = tmp_path / ("_".join(arguments) or "plain")
        folder.mkdir()
        return folder, run(settings(*SHORT, *arguments), folder, list(arguments), {})

    return make


def test_average_follows_weights_and_statistics_by_the_formula():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = follower_of(network)
    following = Following(average, network, decay=0.5)
    expected = copy.deepcopy(average.state_dict())
    for number in (1, 2, 40):
        network(torch.randn(8, 3)).sum().backward()
        for parameter in network.parameters():
            parameter.data += torch.randn_like(parameter)
        following.step(number)
        decay = min(0.5, (1 + number) / (10 + number))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                expected[key] = decay * expected[key] + (1 - decay) * value
    for key, value in expected.items():
        assert torch.allclose(average.state_dict()[key].float(), value.float(), atol=1e-6), key
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_average_is_evaluated_and_kept_and_training_is_the_same_without(record):
    (plain, _), (averaged, result) = record(), record("ema=0.9")
    last = torch.load(averaged / "last.ckpt", weights_only=True)["state_dict"]
    without = torch.load(plain / "last.ckpt", weights_only=True)["state_dict"]
    assert {key for key in last if not key.startswith("average.")} == set(without)
    assert all(torch.equal(last[key], without[key]) for key in without)
    best = torch.load(averaged / "best.ckpt", weights_only=True)
    assert best["epoch"] == result.best_epoch == 2
    for key, weights in best["state_dict"].items():
        assert torch.equal(weights, last[f"average.{key}"])
    assert not torch.equal(best["state_dict"]["fc.weight"], last["network.fc.weight"])


def test_test_figures_are_those_of_the_averaged_weights_and_both_mirror_images(record, settings):
    folder, result = record("ema=0.9", "tta=flip")
    config = settings(*SHORT)
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.setup()
    network = build_classifier(config, data).network.eval()
    network.load_state_dict(torch.load(folder / "best.ckpt", weights_only=True)["state_dict"])
    images, labels = (part[data.test_index] for part in data.data.test)
    with torch.no_grad():
        images = data.augment.plain(images)
        logits = (network(images) + network(images.flip(3))) / 2
    loss = nn.functional.cross_entropy(logits, labels)
    assert result.test["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert result.test["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()), abs=2e-3)


def test_resumed_training_goes_on_with_the_average(settings, tmp_path):
    def fit(epochs: int, checkpoint: Path | None = None) -> ImageClassifier:
        config = settings(*SHORT, "ema=0.99", "scheduler=constant")
        data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
        data.setup()
        classifier = build_classifier(config, data)
        trainer = Trainer(
            accelerator="cpu", devices=1, max_epochs=epochs, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return classifier

    whole = fit(2)
    fit(1)
    resumed = fit(2, tmp_path / "1.ckpt")
    for key, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[key]), key


@pytest.mark.parametrize(("setting", "message"), [("ema=1", "ema=1.0"), ("tta=flips", "Did you mean flip")])
def test_values_that_cannot_be_are_refused(settings, setting, message):
    from resnet_lightning.config import ConfigError

    with pytest.raises(ConfigError, match=message):
        settings(*TINY, setting)
