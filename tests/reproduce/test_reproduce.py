"""The reports again: which experiments run, and pages that stand on the records alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_lightning.config import ConfigError
from resnet_lightning.help import options
from resnet_lightning.report import write_report
from resnet_lightning.report.reference import add_reference, find_reference
from resnet_lightning.reproduce.__main__ import chosen, main
from resnet_lightning.reproduce.pages import read_texts, write_pages
from resnet_lightning.result import RunResult
from tests.report.conftest import write_run


def test_every_report_experiment_is_on_a_page():
    listed = [name for text in read_texts().values() for name in text.experiments]
    assert sorted(listed) == sorted(name for name in options("experiment") if name[0] == "r" and name[1].isdigit())
    assert chosen([]) == listed and chosen(["r3", "r1_headline"]) == ["r3_activation_lr_batch", "r1_headline"]
    with pytest.raises(ConfigError, match="Did you mean r1_headline"):
        chosen(["r1_headlin"])


@pytest.fixture
def sweeps(tmp_path: Path) -> Path:
    """A full sweep of which one run is missing, and a scaled-down one of both; never trained."""
    folder = tmp_path / "multirun"
    for name, scale, batches in (("r4_batch_epochs", 1.0, [64]), ("r4_batch_epochs_scale-0.1", 0.1, [64, 128])):
        for batch in batches:
            place = folder / name / f"batch-{batch}"
            run = write_run(place, 0.7, batch=batch, scale=scale, selection="test", model="resnet50")
            (place / "best.ckpt").write_bytes(b"weights")
            (place / "predictions.png").write_bytes(b"picture")
            run.images_per_second, run.data["images"]["train"] = 100.0, round(50_000 * scale)
            run.config["epochs"] = 20
            run.write(place)
        add_reference(folder / name, find_reference("r4_batch_epochs"))
        write_report(folder / name)
    return folder


def test_a_page_has_command_tables_figures_and_what_is_left(sweeps, tmp_path):
    pages = write_pages(sweeps, tmp_path / "pages")
    assert [path.name for path in pages] == ["README.md", "r1.md", "r2.md", "r3.md", "r4.md", "r5.md"]
    text = (tmp_path / "pages" / "r4.md").read_text()
    assert "--multirun experiment=r4_batch_epochs\n" in text and "experiment=r4_batch_epochs scale=0.1\n" in text
    assert "71.22" in text and "caled down to 10 % of the training images" in text
    assert "2 h 46 min on Test CPU, 2 threads, 32 precision (1 run)" in text  # 20 x 50,000 images at 100 images/s
    for name in (part.split(")")[0] for part in text.split("](")[1:]):
        assert (tmp_path / "pages" / name).is_file(), name
    assert "no run of it here" in (tmp_path / "pages" / "r1.md").read_text()


def test_pages_stand_on_copies_without_checkpoints_and_can_be_made_from_them_again(sweeps, tmp_path):
    folder = tmp_path / "pages"
    write_pages(sweeps, folder)
    assert not list(folder.rglob("*.ckpt")) and not list(folder.rglob("*.html"))
    assert RunResult.read(folder / "r4_batch_epochs" / "batch-64").test["accuracy"] == 0.7
    before = (folder / "r4.md").read_text()
    write_pages(tmp_path / "nothing", folder)
    assert (folder / "r4.md").read_text() == before


def test_a_mistyped_key_is_one_sentence(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["only=r9"]) == 2
    assert "only=r9 is unknown." in capsys.readouterr().err


@pytest.mark.slow
def test_all_reports_scaled_down(data_root, tmp_path):
    """Every experiment really runs; those on CIFAR-10 need its files."""
    place = os.environ.get("RESNET_LIGHTNING_DATA")
    if not place:
        pytest.skip("needs the files of CIFAR-10, and RESNET_LIGHTNING_DATA to say where they are")
    command = [sys.executable, "-m", "resnet_lightning.reproduce", "scale=0.02", "epochs_scale=0.02"]
    command += ["data.test_limit=1000", "accelerator=cpu"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=7200)
    again = subprocess.run(command, cwd=tmp_path, check=True, timeout=600, capture_output=True, text=True)
    assert "start " not in again.stdout
    for name in ("r1", "r2", "r3", "r4", "r5"):
        text = (tmp_path / "multirun" / "reports" / f"{name}.md").read_text()
        assert "caled down to 2 % of the training images and 2 % of the epochs" in text and "difference" in text
