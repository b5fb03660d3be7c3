"""Exported files compute what the network computes, for any number of images, and are described."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_lightning import load
from resnet_lightning.export import main
from resnet_lightning.result import RunResult
from resnet_lightning.use.card import accuracy_line
from resnet_lightning.use.exporting import real_images

NEEDED = {
    "onnx": ["onnx", "onnxscript", "onnxruntime"],
    "safetensors": ["safetensors"],
    "pt2": [],
    "torchscript": [],
}


@pytest.fixture(scope="module")
def run(trained_run, tmp_path_factory) -> Path:
    return shutil.copytree(trained_run, tmp_path_factory.mktemp("export") / "run")


@pytest.mark.parametrize("name", NEEDED)
def test_file_gives_the_probabilities_of_the_network(run, digits, capsys, name):
    for package in NEEDED[name]:
        pytest.importorskip(package)
    assert main([str(run), f"format={name}"]) == 0
    said = capsys.readouterr()
    assert "1,000 mnist test images" in said.out and "the same class for all" in said.out
    assert ("deprecated" in said.err) == (name == "torchscript")
    from resnet_lightning.use.exporting import FORMATS

    predict = FORMATS[name].read(run / "export" / FORMATS[name].name)
    expected = load(run).probabilities(digits[0][1000:1007])
    for count in (1, 3, 7):
        found = predict(digits[0][1000 : 1000 + count].contiguous())
        assert float((found - expected[:count]).abs().max()) < 1e-5, count
    card = (run / "export" / "README.md").read_text()
    assert "of 10,000 images (95 % interval" in card and "model=resnet10" in card and "CC BY-SA 3.0" in card
    assert FORMATS[name].name in card


def test_accuracy_of_mirror_images_too_is_not_that_of_the_file(trained_run):
    trained = load(trained_run)
    assert "mirror" not in accuracy_line(trained)
    trained.config.tta = "flip"
    assert "of the mean over an image and its mirror image" in accuracy_line(trained)


def test_file_that_computes_something_else_is_reported(run, capsys, monkeypatch):
    from resnet_lightning.use import exporting

    wrong = exporting.FORMATS["pt2"]._replace(read=lambda path: lambda images: torch.full((len(images), 10), 0.1))
    monkeypatch.setitem(exporting.FORMATS, "pt2", wrong)
    assert main([str(run), "format=pt2"]) == 1
    assert "do not use the file" in capsys.readouterr().out


def test_the_card_says_what_is_known_of_every_file(trained_run, tmp_path, monkeypatch):
    from resnet_lightning.use import exporting

    run = shutil.copytree(trained_run, tmp_path / "run")
    card = run / "export" / "README.md"
    wrong = exporting.FORMATS["pt2"]._replace(read=lambda path: lambda images: torch.full((len(images), 10), 0.1))
    with monkeypatch.context() as patch:
        patch.setitem(exporting.FORMATS, "pt2", wrong)
        main([str(run), "format=pt2"])
    assert main([str(run), "format=torchscript"]) == 0
    assert card.read_text().count("| checked |") == 2 and "torch.export.load" not in card.read_text()
    result = RunResult.read(run)
    result.best_epoch += 1  # the run has gone on since
    result.write(run)
    assert main([str(run), "format=pt2"]) == 0
    assert "torch.export.load" in card.read_text() and "torch.jit.load" not in card.read_text()
    assert f"model.torchscript.pt: weights of epoch {result.best_epoch - 1}, not those above" in card.read_text()
    (run / "export" / "checks.json").unlink()  # as an older version left it
    assert main([str(run), "format=pt2"]) == 0
    assert "model.torchscript.pt: weights of epoch unknown" in card.read_text()


def test_missing_package_is_one_sentence_before_any_work(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["nowhere"]) == 2
    error = capsys.readouterr().err
    assert "This needs onnx, which is not installed: pip install onnx, or" in error and '".[export]"' in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["RUN", "format=onx"], "Did you mean onnx?"), ([], "Which run?"), (["RUN", "x"], "x is not understood")],
)
def test_mistakes_are_sentences(run, capsys, arguments, sentence):
    assert main([str(run) if word == "RUN" else word for word in arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_file_is_checked_on_the_data_where_they_are_by_now(trained_run, tmp_path, monkeypatch, data_root):
    trained = load(trained_run)
    moved = replace(
        trained, config=replace(trained.config, data=replace(trained.config.data, root=str(tmp_path / "x")))
    )
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))
    images, source = real_images(moved)
    assert source == "mnist test images" and torch.equal(images, real_images(trained)[0])
    assert not (tmp_path / "x").exists()
    own = replace(moved, config=replace(moved.config, data=replace(moved.config.data, name="folder")))
    assert real_images(own)[1].startswith("random images")  # what is there now may be somebody else's
