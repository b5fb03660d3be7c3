"""The scripts of examples/ run as they are; the parts refuse what cannot be in one sentence."""

import os
import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from resnet_lightning import ImageClassifier, ImageDataModule, ResNet
from resnet_lightning.config import ConfigError
from tests.forked import run_module

ROOT = Path(__file__).parents[2]
REACHED = {"train_in_ten_lines": 0.5, "own_data": 0.9, "own_block": 0.5}  # test accuracy; by chance 0.1 and 0.5


def run(name: str, place: Path, data_root: Path) -> str:
    environment = os.environ | {"RESNET_LIGHTNING_DATA": str(data_root), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = run_module(str(ROOT / "examples" / f"{name}.py"), cwd=place, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", REACHED)
def test_example_trains(name, tmp_path, data_root):
    out = run(name, tmp_path, data_root)
    accuracy = re.search(r"test/accuracy\W+([\d.]+)", out)
    assert accuracy and float(accuracy[1]) > REACHED[name], out


@pytest.mark.slow
def test_sweep_from_python(tmp_path, data_root):
    out = run("sweep", tmp_path, data_root)
    assert out.count("of 10,000 images") == 2 and "the best of 2 finished, by validation accuracy" in out


def test_every_example_is_tested():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {*REACHED, "sweep"}


def test_other_peoples_loaders_fit():
    """Any loader of (images, labels) trains the classifier."""
    images, labels = torch.randn(64, 3, 16, 16), torch.randint(4, (64,))
    loader = DataLoader(TensorDataset(images, labels), batch_size=16)
    network = ResNet.from_name("resnet20", num_classes=4, widths=[4, 4, 8])
    classifier = ImageClassifier(network, num_classes=4)
    assert (classifier.lr, classifier.weight_decay) == (0.1, 5e-4)  # those of conf/optimizer/momentum.yaml
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(classifier, loader, loader)
    assert classifier.history[0]["train"]["images"] == 64
    (metrics,) = trainer.test(classifier, loader, verbose=False)
    assert set(metrics) == {"test/loss", "test/accuracy"}


def test_network_by_name_is_that_of_the_command_line(settings):
    config = settings("model=resnet34", "data=cifar10")
    torch.manual_seed(0)
    one = ResNet.from_config(config, 3, 10)
    torch.manual_seed(0)
    other = ResNet.from_name("resnet34", num_classes=10)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_stem_follows_the_size_of_the_images():
    assert ResNet.from_name("resnet18", 5, image_size=224).conv1.kernel_size == (7, 7)
    assert ResNet.from_name("resnet18", 5, image_size=64).conv1.kernel_size == (3, 3)
    assert ResNet.from_name("resnet18", 5, stem="imagenet").conv1.kernel_size == (7, 7)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ResNet.from_name("resnet19", 10), "Did you mean resnet18?"),
        (lambda: ResNet.from_name("resnet18", 10, width=[4]), "has no setting width. Did you mean widths?"),
        (lambda: ResNet.from_name("resnet18", 10, widths=[4, 0, 4, 4]), "a list of whole numbers from 1"),
        (lambda: ResNet.from_name("resnet18", 10, widths=[4]), "the same number of stages"),
        (lambda: ResNet.from_name("resnet18", 10, activation="rellu"), "Did you mean relu?"),
        (lambda: ResNet.from_name("resnet18", 10, dropout=1), "from 0 to below 1"),
        (lambda: ResNet.from_name("resnet18", 10, init="kaiming"), "model.init=kaiming is unknown"),
        (
            lambda: ImageDataModule.from_name("mnist", augment={"color_jitter": {"brightnes": 1}}),
            "Did you mean brightness?",
        ),
        (lambda: ImageDataModule.from_name("mnist", augment={"color_jitter": {"hue": 5}}), "from 0 to 0.5"),
        (
            lambda: ImageDataModule.from_name("mnist", augment={"color_jitter": 0.4}),
            "a dictionary with some of brightness",
        ),
        (
            lambda: ImageDataModule.from_name("mnist", augment={"random_crop": 4, "random_resized_crop": 0.5}),
            "both choose",
        ),
        (lambda: ImageDataModule.from_name("mnist", std=None), "data.mean and data.std go together"),
        (lambda: ImageDataModule.from_name("minst"), "Did you mean mnist?"),
        (lambda: ImageDataModule.from_name("mnist", batch=0), "a whole number from 2"),
        (lambda: ImageDataModule.from_name("mnist", val_size=-1), "a share below 1"),
        (lambda: ImageDataModule.from_name("mnist", augment={"rotate": 3}), "Did you mean rotation?"),
        (lambda: ImageClassifier(torch.nn.Identity(), 10, optimizer="adm"), "Did you mean adam?"),
    ],
)
def test_what_cannot_be_is_one_sentence(make, sentence):
    with pytest.raises(ConfigError) as caught:
        make()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
