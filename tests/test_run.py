"""Whole runs through the command line, on real MNIST: the record is complete, honest and the same for the same seed."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_lightning import hardware
from resnet_lightning.config import ConfigError
from resnet_lightning.result import RunResult
from resnet_lightning.run import run
from tests.conftest import HPARAMS_QUERY, TINY
from tests.forked import run_module

FILES = {
    "result.json", "metrics.csv", "best.ckpt", "last.ckpt", "curves.png", "confusion_matrix.png", "predictions.png",
    "run.log", ".hydra", ".lock",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(data_root, tmp_path_factory) -> tuple[Path, RunResult, str]:
    """Folder, record and console of one run of three epochs."""
    place = tmp_path_factory.mktemp("run")
    arguments = [*TINY, "epochs=3", "lr=0.2", "dropout=0.1", "augment.rotation=10", f"data.root={data_root}"]
    done = run_module("resnet_lightning", *arguments, cwd=place, pictures=True)
    assert done.returncode == 0, done.stderr
    (folder,) = (place / "outputs").iterdir()
    return folder, RunResult.read(folder), done.stdout + done.stderr


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_folder_holds_everything(finished):
    folder, _, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert {name for name in names if not name.startswith("events.out.tfevents")} == FILES
    assert sum(name.startswith("events.out.tfevents") for name in names) == 1
    for name in ("curves.png", "confusion_matrix.png", "predictions.png"):
        assert min(Image.open(folder / name).size) > 300


def test_record_is_complete(finished):
    folder, result, _ = finished
    assert (result.status, result.exit_code, result.reason, result.seed) == ("done", 0, None, 0)
    assert "lr=0.2" in result.overrides and result.config["lr"] == 0.2
    assert result.epochs_done == len(result.epoch_seconds) == 3
    assert (result.train["images"], result.val["images"], result.test["images"]) == (512, 256, 10_000)
    for split in (result.train, result.val, result.test):
        assert 0 < split["accuracy"] < 1 and split["loss"] > 0 and len(split["per_class_accuracy"]) == 10
    assert result.model["parameters"] == 2_646 and result.data["images"] == {"train": 512, "val": 256, "test": 10_000}
    assert result.precision == "32" and result.threads >= 1 and result.versions["torch"] == torch.__version__
    assert result.peak_memory > 100 and result.seconds > result.train_seconds > 0 and result.images_per_second > 0
    assert result.device.split()[0] in ("cpu", "cuda:0", "mps")
    text = (folder / "result.json").read_text()
    assert json.loads(text)["selection"] == "validation"


def test_best_epoch_is_the_one_with_the_highest_validation_accuracy(finished):
    folder, result, _ = finished
    accuracies = [float(row["val_accuracy"]) for row in rows(folder)]
    assert result.best_epoch == 1 + accuracies.index(max(accuracies))
    assert result.val["accuracy"] == max(accuracies)
    assert torch.load(folder / "best.ckpt", weights_only=True)["epoch"] == result.best_epoch


def test_test_accuracy_is_that_of_the_best_checkpoint(finished, settings):
    """Computed again from best.ckpt alone, with nothing of the trainer."""
    from resnet_lightning.data.datamodule import ImageDataModule
    from resnet_lightning.models.resnet import ResNet

    folder, result, _ = finished
    config = settings(*TINY)
    network = ResNet(config.model, config.stem, 1, 10, config.activation).eval()
    network.load_state_dict(torch.load(folder / "best.ckpt", weights_only=True)["state_dict"])
    data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
    data.setup()
    with torch.no_grad():
        logits = torch.cat([network(data.augment.plain(part)) for part in data.data.test.images.split(1000)])
    labels = data.data.test.labels
    assert float((logits.argmax(dim=1) == labels).float().mean()) == pytest.approx(result.test["accuracy"], abs=2e-4)
    assert float(torch.nn.functional.cross_entropy(logits, labels)) == pytest.approx(result.test["loss"], rel=1e-4)


def test_per_class_accuracy_and_confusion_matrix_agree(finished):
    _, result, _ = finished
    matrix = result.test["confusion_matrix"]
    assert sum(map(sum, matrix)) == 10_000
    assert sum(matrix[i][i] for i in range(10)) / 10_000 == result.test["accuracy"]
    assert result.test["per_class_accuracy"] == [matrix[i][i] / sum(matrix[i]) for i in range(10)]


def test_console_says_what_and_how_well_in_few_lines(finished):
    folder, result, console = finished
    lines = console.strip().splitlines()
    assert lines[0].startswith("model       resnet10") and lines[3] == "parameters  2,646"
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert f"{100 * result.test['accuracy']:.2f} %" in console and lines[-1] == f"outputs/{folder.name}"
    assert len(lines) < 20
    for noise in ("Warning", "Tip", "TPU", "GPU available", "Traceback"):
        assert noise not in console


def test_events_are_read_by_tensorboards_own_server(finished, tensorboard):
    """Scalars per epoch, and in the HPARAMS tab one successful row with the real metrics."""
    folder, result, _ = finished
    ask = tensorboard(folder.parent)
    tags = ask("scalars/tags")
    assert set(tags[folder.name]) == {
        "lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy", "test/loss", "test/accuracy",
    }  # fmt: skip
    points = ask(f"scalars/scalars?tag=val/accuracy&run={folder.name}")
    assert [(step, round(value, 6)) for _, step, value in points] == [
        (int(row["epoch"]), round(float(row["val_accuracy"]), 6)) for row in rows(folder)
    ]
    (group,) = ask("hparams/session_groups", HPARAMS_QUERY)["sessionGroups"]
    assert group["hparams"]["lr"] == 0.2 and group["hparams"]["optimizer"] == "momentum"
    metrics = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    assert metrics["test/accuracy"] == pytest.approx(result.test["accuracy"], rel=1e-6)
    assert "hp_metric" not in metrics


def outcome(place: Path) -> tuple[bytes, dict[str, torch.Tensor]]:
    (folder,) = (place / "outputs").iterdir()
    return (folder / "metrics.csv").read_bytes(), torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def test_same_seed_same_bits_other_seed_others(data_root, tmp_path):
    """With shuffling, augmentation and dropout on, each in a process of its own."""
    outcomes = []
    for place, seed in (("first", 3), ("again", 3), ("other", 4)):
        (tmp_path / place).mkdir()
        arguments = [*TINY, "epochs=2", f"seed={seed}", "dropout=0.2", "augment.rotation=10", "augment.random_crop=2"]
        done = run_module(
            "resnet_lightning", *arguments, f"data.root={data_root}", "accelerator=cpu", cwd=tmp_path / place
        )
        assert done.returncode == 0, done.stderr
        outcomes.append(outcome(tmp_path / place))
    (metrics, weights), (metrics_again, weights_again), (metrics_other, _) = outcomes
    assert metrics == metrics_again != metrics_other
    assert weights.keys() == weights_again.keys()
    assert all(torch.equal(weights[key], weights_again[key]) for key in weights)


def test_without_validation_every_number_says_selected_on_test(command, the_run):
    done = command(*TINY, "epochs=1", "data.val_size=0", "data.train_limit=512")
    folder, result = the_run()
    assert result.selection == "test" and "selected on test" in done.stdout and "validation" not in rows(folder)[0]
    assert list(rows(folder)[0])[-2:] == ["test_loss", "test_accuracy"]
    assert result.test["accuracy"] == float(rows(folder)[0]["test_accuracy"])


def test_the_test_accuracy_of_a_run_does_not_cut_off_its_curve(command, the_run, tensorboard):
    """Where the test set selects. TensorBoard drops what stands behind a point of an earlier epoch."""
    command(*TINY, "epochs=3", "data.val_size=0", "data.test_limit=500", "lr=0.5")
    folder, result = the_run()
    ask = tensorboard(folder.parent)
    curve = ask(f"scalars/scalars?tag=test_each_epoch/accuracy&run={folder.name}")
    assert [(step, round(value, 5)) for _, step, value in curve] == [
        (int(row["epoch"]), round(float(row["test_accuracy"]), 5)) for row in rows(folder)
    ]
    (point,) = ask(f"scalars/scalars?tag=test/accuracy&run={folder.name}")
    assert point[1:] == [result.best_epoch, pytest.approx(result.test["accuracy"])]


def test_diverging_run_is_recorded_as_such(command, the_run):
    done = command(*TINY, "lr=1e20", "epochs=2", "scheduler=constant")
    folder, result = the_run()
    assert done.returncode == 1 and result.status == "diverged"
    assert "step" in result.reason and "lr 1e+20" in result.reason and "Traceback" not in done.stdout + done.stderr
    assert result.test == {} and not (folder / "best.ckpt").exists()


def test_a_users_own_images(command, the_run, image_folder):
    arguments = [f"data.root={image_folder}", "data.image_size=16", "batch=16", "optimizer=adam", "epochs=4"]
    done = command("data=folder", "model=resnet20", "model.widths=[8,8,8]", *arguments)
    _, result = the_run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert result.data["classes"] == ["blue sky", "grass"] and result.data["image_shape"] == [3, 16, 16]
    assert result.test["accuracy"] > 0.8


def test_batch_larger_than_a_users_data_is_one_sentence(command, the_run, image_folder):
    done = command("data=folder", f"data.root={image_folder}", "batch=100")
    assert done.returncode == 2
    assert done.stderr == "Error: batch=100 is not possible: it must be at most the 72 training images.\n"
    assert the_run()[1].status == "failed"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_does_not_go_on_with_other_images(settings, tmp_path, image_folder, monkeypatch):
    monkeypatch.setattr(hardware, "set_threads", lambda *_: 1)
    root, folder = shutil.copytree(image_folder, tmp_path / "images"), tmp_path / "run"
    arguments = ["model.widths=[4,4,4]", f"data.root={root}", "data.image_size=8", "batch=16", "epochs=1", "threads=1"]
    config = settings("data=folder", "model=resnet10", "accelerator=cpu", "logger=none", *arguments)
    folder.mkdir()
    assert run(config, folder, [], {}).status == "done"
    Image.new("RGB", (30, 30)).save(root / "train" / "grass" / "new.png")
    finished = RunResult.read(folder)
    for status in ("done", "interrupted"):
        finished.status = status
        finished.write(folder)
        before = contents(folder)
        with pytest.raises(ConfigError, match="run holds a run on images other"):
            run(config, folder, [], {})
        assert contents(folder) == before
    for damage in (lambda: finished.write(folder), (folder / "result.json").unlink):  # now only the checkpoint knows
        finished.data = {}
        damage()
        with pytest.raises(ConfigError, match="run holds a run on images other"):
            run(config, folder, [], {})


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("c++") and Path(sysconfig.get_path("include"), "Python.h").exists()),
    reason="torch.compile needs a compiler and the headers of Python",
)
def test_a_compiled_run_learns_what_an_eager_one_does(command, tmp_path):
    """The last batch of an evaluation is smaller than the others: another graph."""
    losses = {}
    for compiled in ("false", "true"):
        folder = tmp_path / f"compile_{compiled}"
        settings = [*TINY, "epochs=1", "eval_batch=100", "data.test_limit=250", f"compile={compiled}"]
        done = command(*settings, f"hydra.run.dir={folder}")
        assert done.returncode == 0, done.stderr
        result = RunResult.read(folder)
        losses[compiled] = [split["loss"] for split in (result.train, result.val, result.test)]
    assert losses["true"] == pytest.approx(losses["false"], rel=1e-3)


def in_second_epoch(place: Path, data_root: Path, *more: str) -> subprocess.Popen[str]:
    """A run of fifty epochs in ``place`` that has said the first of them; its errors come with its output."""
    arguments = [*TINY, "data.train_limit=5000", "epochs=50", f"data.root={data_root}", *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_lightning", *arguments],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch "):
            break
    return process


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize(
    ("signum", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_in_order(data_root, tmp_path, signum, code):
    process = in_second_epoch(tmp_path, data_root)
    process.send_signal(signum)
    rest = process.stdout.read()
    assert process.wait(timeout=60) == code, rest
    (folder,) = (tmp_path / "outputs").iterdir()
    result = RunResult.read(folder)
    assert (result.status, result.exit_code) == ("interrupted", code) and signum.name in result.reason
    assert result.epochs_done >= 1 and result.val["accuracy"] > 0 and "Traceback" not in rest


@pytest.mark.slow
def test_ctrl_c_stops_a_run_whose_reader_has_gone_as_well(data_root, tmp_path):
    """``| tee log``: Ctrl-C ends tee first."""
    process = in_second_epoch(tmp_path, data_root, "hydra.run.dir=run")
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert RunResult.read(tmp_path / "run").status == "interrupted"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_run_whose_log_finds_no_room_is_done_all_the_same(data_root, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "resnet_lightning", *TINY, "epochs=1", f"data.root={data_root}",
             "hydra.run.dir=run"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=300,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert RunResult.read(tmp_path / "run").status == "done"


def test_a_folder_of_runs_that_cannot_be_made_is_one_sentence(command, tmp_path):
    (tmp_path / "outputs").touch()
    done = command(*TINY)
    assert done.returncode == 1 and done.stderr.startswith("Error: outputs/") and done.stderr.count("\n") == 1


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    from resnet_lightning.compose import free_folder

    monkeypatch.chdir(tmp_path)
    first = free_folder("outputs/now_resnet18_mnist")
    free_folder.cache_clear()
    second = free_folder("outputs/now_resnet18_mnist")
    assert first != second and Path(first).is_dir() and Path(second).is_dir()


def test_no_finite_validation_loss_is_divergence_too(command, the_run):
    """Weights so large that the loss overflows in validation only."""
    done = command(*TINY, "optimizer=sgd", "lr=1e15", "epochs=1", "data.train_limit=64")
    assert done.returncode == 1 and "Traceback" not in done.stdout
    result = the_run()[1]
    assert result.status == "diverged" and "In none of 1 epochs was the validation loss finite" in result.reason


def test_learning_rate_of_an_epoch_is_the_one_it_began_with(command, the_run):
    command(*TINY, "epochs=3", "scheduler=step", "scheduler.step_size=1", "lr=0.1")
    assert [float(row["lr"]) for row in rows(the_run()[0])] == [0.1, 0.05, 0.025]


def test_commit_is_that_of_the_code_that_was_loaded(settings, tmp_path, monkeypatch):
    """A sweep's jobs begin when the files may have been edited already."""
    from resnet_lightning import recording, run

    monkeypatch.setattr(run, "COMMIT", "loaded")
    monkeypatch.setattr(recording, "git_commit", lambda: "edited meanwhile")
    result = run.run(settings(*TINY, "epochs=1", "data.train_limit=64", "logger=none"), tmp_path / "run", [], {})
    assert result.git_commit == "loaded"
