"""Evaluating a run: the recorded numbers come out again, other data are matched by name, the folder is whole."""

import json
import math
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from resnet_lightning.evaluate import main
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.result import RunResult
from resnet_lightning.run import run as train
from resnet_lightning.use.calibration import expected_calibration_error, reliability, wilson
from resnet_lightning.use.evaluation import measure
from resnet_lightning.use.subject import read_subject
from resnet_lightning.use.trained import load
from tests.conftest import TINY

slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture
def run(trained_run, tmp_path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


@pytest.fixture(autouse=True)
def quick_figures(request, monkeypatch) -> None:
    """One test looks at them; drawing takes longer than most others."""
    if "test_set_gives" not in request.node.name:
        monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: file.write(b"a picture"))


def record(run: Path, name: str) -> dict:
    return json.loads((run / "evaluation" / name / "evaluation.json").read_text())


def test_test_set_gives_the_recorded_numbers(run, capsys):
    assert main([str(run)]) == 0
    found, recorded = record(run, "mnist_test"), RunResult.read(run).test
    assert found["confusion_matrix"] == recorded["confusion_matrix"]
    assert found["accuracy"] == recorded["accuracy"] and found["loss"] == pytest.approx(recorded["loss"], rel=1e-4)
    low, high = found["accuracy_interval_95"]
    assert low < found["accuracy"] < high and found["images"] == 10_000 and found["precision"] == "32"
    assert sum(part["images"] for part in found["calibration_bins"]) == 10_000 and len(found["calibration_bins"]) == 15
    for name in ("confusion_matrix", "reliability", "mistakes"):
        assert min(Image.open(run / "evaluation" / "mnist_test" / f"{name}.png").size) > 300
    out = capsys.readouterr().out
    assert "95 % interval" in out and "10,000 images" in out and out.rstrip().endswith("evaluation/mnist_test")


def test_numbers_are_printed_where_they_cannot_be_kept(run, capsys):
    (run / "evaluation").touch()
    assert main([str(run), "split=val"]) == 1
    said = capsys.readouterr()
    assert "95 % interval" in said.out and said.err.startswith(f"Error: {run / 'evaluation'}")
    assert "cannot be read or written (" in said.err and said.err.count("\n") == 1


def test_a_run_that_is_not_finished_says_so(run, capsys):
    result = RunResult.read(run)
    result.status = "interrupted"
    result.write(run)
    assert main([str(run), "split=val"]) == 0
    said = f"{run}: interrupted; these are the weights of epoch {result.best_epoch}, the best so far\n"
    assert capsys.readouterr().out.startswith(said)


def test_validation_images_are_those_of_the_run(run):
    main([str(run), "split=val"])
    assert record(run, "mnist_val")["accuracy"] == RunResult.read(run).val["accuracy"]


def test_images_of_a_scaled_down_run_are_its_own(settings, tmp_path):
    folder, config = tmp_path / "small", settings(*TINY, "epochs=1", "scale=0.5", "data.test_limit=500", "logger=none")
    train(config, folder, [], {})
    for split, images in (("test", 500), ("train", 256)):
        assert main([str(folder), f"split={split}"]) == 0
        assert record(folder, f"mnist_{split}")["images"] == images
    assert record(folder, "mnist_test")["confusion_matrix"] == RunResult.read(folder).test["confusion_matrix"]


@pytest.mark.parametrize(
    ("selection", "arguments", "said"),
    [
        ("test", [], "The test set selected the epoch: these numbers are too good."),
        slow("test", ["data=mnist"], "The test set selected the epoch: these numbers are too good."),
        slow("test", ["data.image_size=32"], "The test set selected the epoch: these numbers are too good."),
        ("test", ["data=folder", "data.root=MINE"], ""),
        ("validation", [], ""),
        ("validation", ["split=val"], "These images selected the epoch: these numbers are a little too good."),
        ("validation", ["split=val", "data.val_seed=1"], "Images that the network was trained on may be among these"),
    ],
)
def test_numbers_that_are_too_good_are_said_to_be(
    run, folder, data_root, capsys, monkeypatch, selection, arguments, said
):
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))
    result = RunResult.read(run)
    result.selection = selection
    result.write(run)
    assert main([str(run), *(text.replace("MINE", str(folder)) for text in arguments)]) == 0
    out = capsys.readouterr().out
    assert said in out and ("too good" in out) == bool(said)


def test_a_folder_of_the_run_is_its_own_at_any_size_and_in_any_place(settings, folder, tmp_path, capsys):
    """Only another folder that the user names may hold other images."""
    for split in ("train", "test"):
        shutil.copytree(folder, tmp_path / "set" / split)
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    shutil.copytree(tmp_path / "set", tmp_path / "other")
    next((tmp_path / "other" / "test").rglob("*.png")).unlink()
    shape = ("data=folder", "data.image_size=16", "data.val_size=0.2", "model=resnet10", "model.widths=[4,4,4]")
    config = settings(*shape, "epochs=1", "batch=20", "accelerator=cpu", f"data.root={tmp_path / 'set'}")
    train(config, tmp_path / "run", [], {})
    trained = load(tmp_path / "run")
    own = {text: read_subject(trained, "test", text.split()).own for text in (
        "", "data.image_size=24", f"data.root={tmp_path / 'copy'}",
        f"data.root={tmp_path / 'copy'} data.image_size=24", f"data.root={tmp_path / 'other'}",
    )}  # fmt: skip
    assert list(own.values()) == [True, True, True, True, False], own
    next((tmp_path / "set" / "train").rglob("*.png")).unlink()
    capsys.readouterr()
    for text in ("", f"data.root={tmp_path / 'set'}"):
        assert main([str(tmp_path / "run"), "split=val", *text.split()]) == 0
        assert "Images that the network was trained on may be among these" in capsys.readouterr().out
    shutil.move(tmp_path / "set", tmp_path / "moved")
    assert main([str(tmp_path / "run")]) == 2
    assert f"no longer in {tmp_path / 'set'}: give data.root=" in capsys.readouterr().err


def test_the_network_alone_computes_in_half_precision(run, monkeypatch):
    """As in training: matrices of an augmentation in bfloat16 would move images by parts of a pixel."""
    seen = []

    def spy(network, images):
        seen.append((images.dtype, torch.is_autocast_enabled("cpu"), torch.backends.cudnn.allow_tf32))
        return forward(network, images)

    forward = ResNet.forward
    monkeypatch.setattr(ResNet, "forward", spy)
    assert main([str(run), "split=val", "precision=bf16", "augment.rotation=30", "augment.color_jitter.hue=0.1"]) == 0
    assert set(seen) == {(torch.float32, True, False)} and torch.backends.cudnn.allow_tf32


def test_images_that_the_cache_has_are_not_copied(run):
    subject = read_subject(load(run), "val", [])
    assert len(subject.labels) == 500 and len(subject.images.images) == 60_000
    assert subject.images.batch(slice(3, 5)).shape == (2, 1, 28, 28)


def test_the_loss_of_a_mistake_has_no_limit():
    facts = measure(torch.tensor([[200.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 0]), ["a", "b"])
    assert facts["loss"] == pytest.approx((200 + math.log(2)) / 2)


def test_mirror_images_and_rotation_change_the_answer(run):
    for argument in ("tta=flip", "augment.rotation=60"):
        assert main([str(run), "split=val", argument]) == 0
    recorded = RunResult.read(run).val["accuracy"]
    flipped, turned = record(run, "mnist_val_tta-flip"), record(run, "mnist_val_augment.rotation-60")
    assert flipped["tta"] == "flip" and 0.5 < flipped["accuracy"] < recorded
    assert 0.3 < turned["accuracy"] < recorded
    assert turned["command"].endswith("augment.rotation=60 split=val")


def test_a_run_that_was_tested_with_mirror_images_is_evaluated_with_them(run, tmp_path):
    main([str(run), "split=val", "tta=flip"])
    copy = Path(shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("evaluation")))
    result = RunResult.read(copy)
    result.config["tta"] = "flip"
    result.write(copy)
    main([str(copy), "split=val"])
    assert record(copy, "mnist_val")["tta"] == "flip"
    assert record(copy, "mnist_val")["loss"] == record(run, "mnist_val_tta-flip")["loss"]


@pytest.fixture
def folder(tmp_path, digits) -> Path:
    """Colour pictures of 40 x 40 pixels of the digits 3 and 8, without a folder train/."""
    images, labels = digits
    for digit in (8, 3):
        place = tmp_path / "mine" / str(digit)
        place.mkdir(parents=True)
        for number in (labels == digit).nonzero()[:30, 0].tolist():
            pixels = Image.fromarray(images[number, 0].numpy()).resize((40, 40)).convert("RGB")
            pixels.save(place / f"{number}.png")
    return tmp_path / "mine"


def test_other_data_are_matched_by_the_names_of_their_classes(run, folder):
    assert main([str(run), "data=folder", f"data.root={folder}"]) == 0
    found = record(run, f"folder-{folder.parent.name}-mine_test")
    assert found["images"] == 60 and found["accuracy"] > 0.8
    assert [number for number, count in enumerate(found["images_per_class"]) if count] == [3, 8]
    assert found["per_class_accuracy"][0] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["data=cifar10"], "The data have the class airplane and 9 more, which the network does not know"),
        (["data=folder", "data.root=MINE"], "The data have the class eight, which the network does not know"),
        (["data=folder", "data.root=nowhere"], "data.root=nowhere is not a folder"),
        (["data=folder", "data.root=MINE", "split=val"], "has no folder train/"),
        (["split=val", "data.val_size=0"], "holds out no validation images"),
        (["split=tst"], "Did you mean test?"),
        (["data=folder", "data.root=MINE", "data.test_limit=2"], "data.test_limit=2 is not possible: all images of"),
        (["augment.rotatoin=3"], "Did you mean augment.rotation?"),
        (["lr=3"], "There is no setting lr here"),
        (["data=minst"], "Did you mean mnist?"),
        (["precision=16", "accelerator=cpu"], "not possible on a CPU"),
        (["augment.normalize=false"], "the network takes images normalised as in its training"),
        (["augment.rotation=10,20"], "augment.rotation=10,20 names several values; only sweeps take those"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, folder, capsys, arguments, sentence):
    (folder / "8").rename(folder / "eight")
    assert main([str(run), *(text.replace("MINE", str(folder)) for text in arguments)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (run / "evaluation").exists()


def test_an_evaluation_takes_the_place_of_none_of_something_else(run, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other" / folder.parent.name / folder.name)
    next((other / "3").iterdir()).unlink()
    name = f"folder-{folder.parent.name}-mine_test"
    for place in (folder, other, folder):
        assert main([str(run), "data=folder", f"data.root={place}"]) == 0
    assert [record(run, part)["images"] for part in (name, f"{name}_2")] == [60, 59]
    assert sorted(path.name for path in (run / "evaluation").iterdir()) == [name, f"{name}_2"]
    assert main([str(run), "split=train", "data.train_limit=64"]) == 0  # a batch of the run has more


def test_wilson_interval_is_that_of_the_literature():
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # Newcombe 1998, method 3
    assert wilson(10, 10)[1] == 1.0 and wilson(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)


def test_calibration_error_is_that_of_torchmetrics():
    from torchmetrics.functional.classification import multiclass_calibration_error

    random = torch.Generator().manual_seed(0)
    probabilities = (3 * torch.randn(2000, 7, generator=random)).softmax(dim=1)
    confidence, predicted = probabilities.max(dim=1)
    # right more often the less sure it is: accuracy is above confidence in some bins and below in others
    right = torch.rand(2000, generator=random) < 1.2 - confidence
    labels = torch.where(right, predicted, (predicted + 1) % 7)
    bins = reliability(confidence.numpy(), (predicted == labels).numpy())
    expected = float(multiclass_calibration_error(probabilities, labels, num_classes=7, n_bins=15))
    assert expected_calibration_error(bins) == pytest.approx(expected, abs=1e-4)


def test_network_that_is_always_right_and_sure_is_calibrated():
    bins = reliability(np.ones(5), np.ones(5, bool))
    assert bins[-1].images == 5 and math.isclose(expected_calibration_error(bins), 0)
