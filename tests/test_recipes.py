"""What the course reports varied, in whole runs: BatchNorm statistics, scaled-down runs, lines, a traced model."""

import csv
import logging
from pathlib import Path

import pytest
import torch

from resnet_lightning.config import Config
from resnet_lightning.data import cache
from resnet_lightning.result import RunResult
from resnet_lightning.run import run
from tests.conftest import TINY

RECIPE = [
    *TINY,
    "data.test_limit=1000",
    "threads=1",
    "optimizer=sgd",
    "scheduler=constant",
    "lr=0.1",
    "augment.rotation=10",
]


@pytest.fixture(scope="module")
def runs(data_root, tmp_path_factory):
    """``runs("epochs=2")`` -> folder, record and lines of that run, made once."""
    from resnet_lightning.compose import compose_all

    made: dict[tuple[str, ...], tuple[Path, RunResult, str]] = {}

    def make(*arguments: str) -> tuple[Path, RunResult, str]:
        if arguments not in made:
            config: Config = compose_all([*RECIPE, f"data.root={data_root}", *arguments], multirun=False).jobs[0][1]
            folder, lines = tmp_path_factory.mktemp("run"), Lines()
            logger = logging.getLogger("resnet_lightning")
            logger.addHandler(lines)
            logger.setLevel(logging.INFO)
            made[arguments] = (folder, run(config, folder, list(arguments), {}), lines.text)
            logger.removeHandler(lines)
        return made[arguments]

    return make


class Lines(logging.Handler):
    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


REESTIMATED = (
    "epochs=2",
    "batchnorm=reestimated",
    "eval_train=epoch",
    "log_style=report",
    "log_every=4",
    "traced=true",
)
RUNNING = ("epochs=2", "eval_train=end", "log_every=4")


def test_reestimated_statistics_change_the_evaluation_and_no_weight(runs):
    one, other = runs(*REESTIMATED)[0], runs(*RUNNING)[0]
    for a, b in zip(history(one), history(other), strict=True):
        assert a["train_loss"] == b["train_loss"] and a["val_loss"] != b["val_loss"]
    states = [torch.load(folder / "last.ckpt", weights_only=True)["state_dict"] for folder in (one, other)]
    for key in states[0]:
        same = torch.equal(states[0][key], states[1][key])
        assert same != ("running_" in key or "num_batches" in key), key


def test_reestimated_statistics_are_those_of_plain_training_images(runs, settings):
    """Those of the stem, computed anew: mean and variance of what its convolution gives for all 512 training images."""
    from resnet_lightning.data.datamodule import ImageDataModule

    folder, result, _ = runs(*REESTIMATED)
    state = torch.load(folder / "best.ckpt", weights_only=True)["state_dict"]
    config = settings(*RECIPE)
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.setup()
    images = data.augment.plain(cache.load(config.data).train.images[data.train_index])
    maps = torch.nn.functional.conv2d(images, state["conv1.weight"], padding=1)
    assert torch.allclose(state["bn1.running_mean"], maps.mean(dim=(0, 2, 3)), atol=1e-4)  # two batches of 256
    assert torch.allclose(state["bn1.running_var"], maps.var(dim=(0, 2, 3)), rtol=0.05)
    assert result.test["images"] == 1000


def test_training_images_are_evaluated_as_they_are(runs):
    _, result, _ = runs(*RUNNING)
    assert result.train_eval["images"] == 512 and len(result.train_eval["confusion_matrix"]) == 10
    assert sum(map(sum, result.train_eval["confusion_matrix"])) == 512
    assert result.train_eval["loss"] != result.train["loss"]
    folder, result, _ = runs(*REESTIMATED)
    assert float(history(folder)[result.best_epoch - 1]["train_eval_accuracy"]) == result.train_eval["accuracy"]


def test_lines_are_those_of_the_reports(runs):
    folder, result, text = runs(*REESTIMATED)
    first, per_epoch = float(history(folder)[0]["train_loss"]), history(folder)
    assert f"Experiment: ResNet-10-w4.8.8_LR_0.1_BS_64, Epoch: 0, Train Loss: {first:.6f}, Validation Loss: " in text
    assert "Train Epoch: 1 [256/512 (50%)]\tLoss: " in text and text.count("Train Epoch: 1 ") == 2
    right = round(float(per_epoch[1]["train_eval_accuracy"]) * 512)
    assert f"Train set: Average loss: {float(per_epoch[1]['train_eval_loss']):.4f}, Accuracy: {right}/512 " in text
    assert f"Accuracy of 3 : {100 * result.test['per_class_accuracy'][3]:.2f} %" in text


def test_plain_lines_show_the_loss_between_epochs_on_request(runs):
    _, _, text = runs(*RUNNING)
    assert "epoch 2/2  step 5/8  loss " in text and text.count("  step ") == 4


def test_traced_model_works_without_the_source(runs, settings):
    from resnet_lightning.data.datamodule import ImageDataModule

    folder, result, _ = runs(*REESTIMATED)
    traced = torch.jit.load(folder / "traced.pt")
    config = settings(*RECIPE)
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.setup()
    images, labels = data.data.test.images[data.test_index], data.data.test.labels[data.test_index]
    with torch.no_grad():
        right = (traced(data.augment.plain(images)).argmax(dim=1) == labels).float().mean()
    assert float(right) == pytest.approx(result.test["accuracy"], abs=0.002)


def test_scaled_down_run_trains_its_share_and_goes_through_the_whole_schedule(runs):
    arguments = ("scale=0.25", "epochs_scale=0.2", "epochs=20", "scheduler=step", "scheduler.step_size=10", "batch=16")
    folder, result, _ = runs(*arguments)
    assert (result.data["images"]["train"], result.epochs_done, result.train["images"]) == (128, 4, 128)
    assert [float(row["lr"]) for row in history(folder)] == pytest.approx([0.1, 0.1, 0.05, 0.05])


def test_a_batch_larger_than_a_scaled_down_run_takes_all_images(runs):
    folder, result, _ = runs("scale=0.25", "epochs=1", "batch=512")
    assert (result.train["images"], int(history(folder)[0]["step"])) == (128, 1)


def test_test_limit_is_stratified(settings):
    from resnet_lightning.data.datamodule import ImageDataModule

    config = settings("data.test_limit=1000")
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.setup()
    counts, everything = (
        torch.bincount(part) for part in (data.data.test.labels[data.test_index], data.data.test.labels)
    )
    assert float((counts - everything / 10).abs().max()) < 1
