"""Explanations of single images."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_lightning import load
from resnet_lightning.explain import main


@pytest.fixture
def run(trained_run, tmp_path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


def test_figure_of_predicted_and_true_class(run, pictures, capsys):
    pytest.importorskip("captum")
    assert main([str(run), str(pictures / "0_grey.png"), "label=7"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("0  ") and "\n7  " in out
    two = Image.open(run / "explain" / "0_grey.png").size
    assert main([str(run), str(pictures / "0_grey.png")]) == 0  # perhaps another image of this name
    assert Image.open(run / "explain" / "0_grey.png").size == two and (run / "explain" / "0_grey_2.png").exists()
    assert main([str(run), str(pictures / "0_grey.png"), "label=0", f"out={run / 'one.png'}"]) == 0
    one = Image.open(run / "one.png").size
    assert two[1] > 1.5 * one[1]


def test_covering_the_figure_matters_and_covering_black_does_not(run, digits):
    pytest.importorskip("captum")
    from resnet_lightning.use.explanation import explain_class

    trained, image = load(run), digits[0][:1]
    label = int(trained.logits(image).argmax())
    part = explain_class(trained, image, label, 1.0)
    ink = image[0, 0] > 128
    assert float(part.occlusion[ink].mean()) > float(part.occlusion[~ink].mean())
    assert abs(float(part.occlusion[0, 0])) < 1e-3
    assert part.grad_cam.shape == (28, 28) and 0 <= float(part.grad_cam.min()) <= float(part.grad_cam.max()) <= 1
    assert not torch.equal(part.grad_cam, explain_class(trained, image, (label + 1) % 10, 0.0).grad_cam)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["0_grey.png", "label=11"], 2, "Allowed: 0, 1, 2"),
        (["0_grey.png", "out=seven.jpg"], 2, "it must be a .png"),
        (["broken.png"], 1, "cannot be read as an image"),
        ([], 2, "Which image"),
        (["0_grey.png", "1_wide.png"], 2, "Which image"),
    ],
)
def test_mistakes_are_sentences(run, pictures, capsys, arguments, code, sentence):
    pytest.importorskip("captum")
    files = [str(pictures / text) if text.endswith(".png") else text for text in arguments]
    assert main([str(run), *files]) == code
    assert sentence in capsys.readouterr().err
    assert not (run / "explain").exists()


def test_the_figure_does_not_take_the_place_of_the_image(run, pictures, tmp_path, capsys):
    pytest.importorskip("captum")
    image = shutil.copy(pictures / "0_grey.png", tmp_path / "own.png")
    assert main([str(run), str(image), f"out={image}"]) == 2
    assert "another file than the image itself" in capsys.readouterr().err
    assert main([str(run), str(image), "label=null", "out=null"]) == 0 and (run / "explain" / "own.png").exists()


def test_missing_package_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["nowhere", "x.png"]) == 2
    assert 'pip install -e ".[explain]"' in capsys.readouterr().err
