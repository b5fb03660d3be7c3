"""Predicting image files of every kind: the right class, clean output, a sentence for what is no image."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resnet_lightning import load
from resnet_lightning.predict import main
from resnet_lightning.text import exit_with


def test_digits_of_every_kind_are_recognised(trained_run, pictures, capsys):
    code = main([str(trained_run), str(pictures), "format=json", "top=1"])
    out, err = capsys.readouterr()
    rows = json.loads(out)
    found = {Path(row["image"]).name: row["predictions"][0]["class"] for row in rows}
    assert len(found) == 8
    right = sum(name[0] == label for name, label in found.items())
    assert right >= 6, found  # a network of one short epoch; by chance it would be one
    inverted = {Path(row["image"]).name for row in rows if row["inverted"]}
    assert inverted == {"2_paper.jpg", "3_transparent.png"} and "2 images were dark on light and inverted" in err
    assert code == 1 and "broken.png cannot be read as an image" in err and "empty.jpg" in err and "notes" not in err


def test_kind_of_file_does_not_change_the_answer(trained_run, pictures, digits):
    """Turned by EXIF, 16 bits and in a palette: the pixels that the network sees are those of the data set."""
    from resnet_lightning.use.images import read_images

    names = ["0_grey.png", "4_16bit.png", "deep/9_palette.bmp", "5_animated.gif"]
    images, _ = read_images([pictures / name for name in names], (1, 28, 28), "auto")
    firsts = [int((digits[1] == label).nonzero()[0]) for label in (0, 4, 9, 5)]
    assert int((images.int() - digits[0][firsts].int()).abs().max()) <= 1
    exif, _ = read_images([pictures / "7_exif.jpg"], (1, 28, 28), "auto")
    seven = digits[0][int((digits[1] == 7).nonzero()[0])]
    assert float((exif[0].float() - seven.float()).abs().mean()) < 5  # JPEG


def test_csv_is_clean(trained_run, pictures, capsys):
    assert main([str(trained_run), str(pictures / "0_grey.png"), "format=csv", "top=2"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == ["image", "class_1", "probability_1", "class_2", "probability_2", "inverted"]
    assert row["class_1"] == "0" and float(row["probability_1"]) > float(row["probability_2"])


def test_invert_can_be_said(trained_run, pictures, capsys):
    main([str(trained_run), str(pictures / "2_paper.jpg"), "format=json", "invert=false"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["inverted"] is False
    main([str(trained_run), str(pictures / "0_grey.png"), "format=json", "invert=true"])
    assert json.loads(capsys.readouterr().out)[0]["inverted"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Which run?"),
        (["RUN"], 2, "Which images?"),
        (["RUN", "x.png", "topp=1"], 2, "Did you mean top?"),
        (["RUN", "x.png", "top=0"], 2, "a whole number from 1"),
        (["RUN", "x.png", "format=xml"], 2, "Allowed: table, csv, json"),
        (["RUN", "x.png", "--top"], 2, "written key=value"),
        (["RUN", "x.png"], 1, "There is no file x.png"),
        (["nowhere", "x.png"], 2, "There is no folder nowhere"),
    ],
)
def test_mistakes_are_sentences(trained_run, capsys, arguments, code, sentence):
    assert main([str(trained_run) if word == "RUN" else word for word in arguments]) == code
    out, err = capsys.readouterr()
    assert sentence in err and "Traceback" not in err and out == ""


def test_a_file_may_be_called_like_a_setting(trained_run, pictures, tmp_path, monkeypatch, capsys):
    shutil.copy(pictures / "0_grey.png", tmp_path / "epoch=3.png")
    monkeypatch.chdir(tmp_path)
    assert main([str(trained_run), "epoch=3.png", "top=1"]) == 0
    assert capsys.readouterr().out.startswith("epoch=3.png")
    assert main([str(trained_run), "epoch=3.png", f"tops={'1' * 300}"]) == 2  # longer than any name of a file
    assert "There is no setting tops" in capsys.readouterr().err


def test_class_of_files_from_python(trained_run, pictures):
    assert load(trained_run).predict([pictures / "0_grey.png"]) == ["0"]


@pytest.mark.parametrize("name", ["evaluate", "predict", "export", "explain"])
def test_help_needs_no_torch(name):
    code = f"import sys, resnet_lightning.{name} as c; c.main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Settings (key=value)" in done.stdout, done.stderr


def test_out_of_memory_is_one_sentence(trained_run, pictures, monkeypatch, capsys):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr("resnet_lightning.use.trained.Trained.logits", fail)
    assert main([str(trained_run), str(pictures / "0_grey.png")]) == 1
    assert "Error: Out of memory (OutOfMemoryError: CUDA out of memory. Tried" in capsys.readouterr().err


def test_an_output_that_was_closed_before_the_start_is_none_to_fail_on(trained_run, pictures, monkeypatch):
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)  # as Python has it after >&-
    assert main([str(trained_run), str(pictures / "0_grey.png"), "format=csv"]) == 0
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as caught:
        exit_with(0)
    assert caught.value.code == 0


def test_an_image_of_too_many_pixels_says_so(trained_run, pictures, monkeypatch, capsys):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)
    assert main([str(trained_run), str(pictures / "1_wide.png")]) == 1
    assert "1_wide.png has more pixels than Pillow reads" in capsys.readouterr().err


def test_files_are_read_some_at_a_time_and_each_keeps_its_answer(trained_run, pictures, monkeypatch, capsys):
    main([str(trained_run), str(pictures), "format=json"])
    at_once = json.loads(capsys.readouterr().out)
    monkeypatch.setattr("resnet_lightning.use.trained.CHUNK", 3)
    main([str(trained_run), str(pictures), "format=json"])
    in_parts = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in in_parts] == [row["image"] for row in at_once] and len(at_once) == 8
    for one, other in zip(in_parts, at_once, strict=True):
        assert one["predictions"][0]["class"] == other["predictions"][0]["class"]


def test_folders_that_give_no_image_are_named(trained_run, pictures, tmp_path, locked, capsys):
    shutil.copytree(pictures / "deep", tmp_path / "mine" / "deep")
    shutil.copy(pictures / "0_grey.png", tmp_path / "mine")
    (tmp_path / "none").mkdir()
    locked("deep")
    assert main([str(trained_run), str(tmp_path / "mine"), str(tmp_path / "none"), "format=csv"]) == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 2 and f"Skipped: {tmp_path / 'mine' / 'deep'} cannot be read (Permission denied)." in err
    assert f"Skipped: There is no image in {tmp_path / 'none'}." in err
