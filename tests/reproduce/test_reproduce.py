"""The reports again: which experiments run, and pages that stand on the records alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from resnet_lightning.compose import compose_all
from resnet_lightning.config import ConfigError, config_hash, plain_settings
from resnet_lightning.help import options
from resnet_lightning.report.reference import add_reference, find_reference
from resnet_lightning.reproduce.__main__ import chosen, main
from resnet_lightning.reproduce.pages import read_texts, write_pages
from resnet_lightning.reproduce.remaining import remaining
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.plan import plan_jobs, sweep_command
from resnet_lightning.sweep.plan import write_plan as record_plan
from resnet_lightning.text import duration
from tests.report.conftest import write_plan, write_run


@pytest.fixture(scope="module", autouse=True)
def quick_figures() -> Iterator[None]:
    """Drawing them takes most of a page's time, and they have their own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, file, **options: file.write(b"a picture"))
        yield


def test_every_report_experiment_is_on_a_page():
    listed = [name for text in read_texts().values() for name in text.experiments]
    assert sorted(listed) == sorted(name for name in options("experiment") if name[0] == "r" and name[1].isdigit())
    assert chosen([]) == listed and chosen(["r3", "r1_headline"]) == [
        "r3_activation_lr_batch",
        "r3_adam",
        "r1_headline",
    ]
    with pytest.raises(ConfigError, match="Did you mean r1_headline"):
        chosen(["r1_headlin"])


def composed(*arguments: str) -> list[dict[str, Any]]:
    """Plain settings of every run of R4."""
    jobs = compose_all(["experiment=r4_batch_epochs", *arguments], multirun=True).jobs
    return [plain_settings(config) for _, config in jobs]


def name_of(config: dict[str, Any]) -> str:
    return f"batch-{config['batch']}_epochs-{config['epochs']}_{config_hash(config)}"


def add_runs(sweep: Path, settings: list[dict[str, Any]]) -> None:
    """Finished runs of R4, with the page's figures of one; never trained."""
    for config in settings:
        place = sweep / name_of(config)
        overrides = {"batch": config["batch"], "epochs": config["epochs"]}
        run = write_run(place, 0.7, selection="test", **overrides)
        for name in ("best.ckpt", "predictions.png", "curves.png"):
            (place / name).write_bytes(b"a file")
        run.config = config | {"data": config["data"] | {"root": "C:\\my data"}}
        run.choices = {"model": "resnet50", "data": "cifar10"}
        run.data["images"]["train"] = round(50_000 * config["scale"])
        run.train_seconds, run.seconds, run.model["multiply_accumulates"] = 100.0, 110.0, 1e9
        run.write(place)
    add_reference(sweep, find_reference("r4_batch_epochs"))


def folder_of(sweep: Path, batch: int, epochs: int) -> Path:
    (folder,) = sweep.glob(f"batch-{batch}_epochs-{epochs}_*")
    return folder


FULL, SCALED = "r4_batch_epochs", "r4_batch_epochs_scale-0.1_epochs-0.5"
PFLOP_AN_EPOCH = 6 * 1_297_829_888 * 50_000 / 1e15  # of ResNet-50 on 32x32 with the CIFAR stem
COMMAND = "python -m resnet_lightning --multirun experiment=r4_batch_epochs"


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full sweep of R4 of which two of five runs are done and one waits, and a scaled-down one of four."""
    folder = tmp_path_factory.mktemp("reports") / "multirun"
    add_runs(folder / FULL, composed()[:2])
    write_plan(folder / FULL, {name_of(composed()[2]): ["batch=64", "epochs=20"]})
    add_runs(folder / SCALED, composed("scale=0.1", "epochs_scale=0.5")[:4])
    return folder


@pytest.fixture(scope="module")
def pages(sweeps: Path) -> Path:
    write_pages(sweeps, sweeps.parent / "pages")
    return sweeps.parent / "pages"


def test_a_page_has_tables_figures_and_what_is_left(pages):
    assert sorted(path.name for path in pages.glob("*.md")) == ["README.md", *(f"r{n}.md" for n in range(1, 6))]
    text = (pages / "r4.md").read_text()
    assert "71.22" in text and "caled down to 10 % of the training images and 50 % of the epochs" in text
    for name in (part.split(")")[0] for part in text.split("](")[1:]):
        assert (pages / name).is_file(), name
    assert text.count("/curves.png") == 2 + 4 and "`batch=64 epochs=10`, seed 0" in text
    assert "experiment=r4_batch_epochs` | 3 of 5 |" in text
    assert "experiment=r1_lr_batch` | 27 of 27 |" in (pages / "r1.md").read_text()
    assert f"{FULL} (2 of 3 runs), {SCALED} (4 runs)" in (pages / "README.md").read_text()


def test_what_is_left_is_estimated_from_the_scaled_down_runs(tmp_path):
    add_runs(tmp_path / FULL, composed()[:2])
    add_runs(tmp_path / SCALED, composed("scale=0.1", "epochs_scale=0.5"))
    (line,) = remaining("r4_batch_epochs", [tmp_path / FULL, tmp_path / SCALED])
    seconds = 3 * (100 / 0.1 / 0.5 + 10 / 0.5)
    assert (
        f"3 of 5 | {PFLOP_AN_EPOCH * 140:,.1f} | {duration(seconds)} on Test CPU, 2 CPU threads, 32 precision |" in line
    )


def test_what_has_no_run_is_estimated_from_the_operations_and_the_speed_of_others(tmp_path):
    add_runs(tmp_path / FULL, composed()[:2])
    (line,) = remaining("r4_batch_epochs", [], [RunResult.read(path) for path in (tmp_path / FULL).glob("batch-*")])
    seconds = 110 * PFLOP_AN_EPOCH * 160 / (6 * 1e9 * 500_000 / 1e15)
    assert f"5 of 5 | {PFLOP_AN_EPOCH * 160:,.1f} | about {duration(seconds)} on Test CPU" in line
    assert "not known" in remaining("r4_batch_epochs", [])[0]


def test_what_is_left_is_estimated_for_each_machine(tmp_path):
    add_runs(tmp_path / SCALED, composed("scale=0.1", "epochs_scale=0.5"))
    for path in list((tmp_path / SCALED).glob("batch-64_*")):
        run = RunResult.read(path)
        run.device, run.train_seconds, run.seconds = "Fast CPU", 10.0, 20.0
        run.write(path)
    (line,) = remaining("r4_batch_epochs", [tmp_path / SCALED])
    one, other = line.split(" | ")[3].removesuffix(" |").split("; ")
    assert one.startswith("about ") and one.endswith("on Fast CPU, 2 CPU threads, 32 precision")
    assert other.startswith("about ") and other.endswith("on Test CPU, 2 CPU threads, 32 precision")
    own = 2 * (10 / 0.1 / 0.5 + 10 / 0.5)  # batch 64, and 130 of the 160 epochs at the median speed of its runs
    guessed = 20 * PFLOP_AN_EPOCH * 130 / (6 * 1e9 * 5_000 * 7.5 / 1e15)
    assert one.startswith(f"about {duration(own + guessed)} ")


def test_a_run_on_another_machine_is_the_run_of_the_report(tmp_path):
    add_runs(tmp_path / FULL, composed("accelerator=cpu", "precision=32", "eval_batch=1000", "traced=true"))
    assert remaining("r4_batch_epochs", [tmp_path / FULL]) == []


def test_a_run_whose_time_of_training_is_unknown_is_estimated_from_others(tmp_path):
    add_runs(tmp_path / SCALED, composed("scale=0.1", "epochs_scale=0.5"))
    path = folder_of(tmp_path / SCALED, 64, 10)
    run = RunResult.read(path)
    run.train_seconds = None
    run.write(path)
    assert " | about " in remaining("r4_batch_epochs", [tmp_path / SCALED])[0]


def test_other_runs_in_the_folder_of_the_pages_are_left_alone(pages, tmp_path):
    shutil.copytree(pages, tmp_path / "pages")
    for number, config in enumerate([*composed("scale=0.1")[:1], *composed()[:1]]):
        add_runs(tmp_path / "pages" / "outputs" / str(number), [config])
    write_pages(tmp_path / "nothing", tmp_path / "pages")
    assert (tmp_path / "pages" / "r4.md").read_text() == (pages / "r4.md").read_text()


def test_pages_stand_on_copies_without_checkpoints_and_can_be_made_from_them_again(pages, tmp_path):
    assert not list(pages.rglob("*.ckpt")) and not list(pages.rglob("*.html")) and not (pages / ".new").exists()
    record = RunResult.read(folder_of(pages / FULL, 64, 10))
    assert record.test["accuracy"] == 0.7 and record.config["data"]["root"] is None  # where the data lay is nobody's
    before = (pages / "r4.md").read_text()
    write_pages(tmp_path / "nothing", pages)
    assert (pages / "r4.md").read_text() == before


def test_what_a_sweep_that_went_on_left_takes_the_place_of_the_old(sweeps, pages, tmp_path):
    copied = shutil.copytree(pages, tmp_path / "pages")
    folder = shutil.copytree(sweeps / FULL, tmp_path / "multirun" / FULL)
    (copied / FULL / "figures" / "outdated.png").write_bytes(b"a file")
    before = (copied / "r4.md").read_text()
    add_runs(folder, composed()[:3])
    jobs = compose_all(["experiment=r4_batch_epochs"], multirun=True).jobs
    for more in ("launcher.retries=1", "batch=64"):
        overrides = {"task": ["experiment=r4_batch_epochs", more], "hydra": ["hydra.mode=MULTIRUN"]}
        record_plan(folder, sweep_command(overrides), plan_jobs(folder, jobs))
    write_pages(tmp_path / "multirun", copied)
    text = (copied / "r4.md").read_text()
    assert "outdated.png" not in text and text.count("| here | 100.0 |") == before.count("| here | 100.0 |") + 1
    assert f"{COMMAND} launcher.retries=1\n{COMMAND} batch=64\n" in text


def test_a_sweep_that_lost_runs_does_not_take_them_from_the_pages(sweeps, pages, tmp_path, capsys):
    copied = shutil.copytree(pages, tmp_path / "pages")
    folder = shutil.copytree(sweeps / FULL, tmp_path / "multirun" / FULL)
    shutil.rmtree(folder_of(folder, 64, 10))
    write_pages(tmp_path / "multirun", copied)
    assert (folder_of(copied / FULL, 64, 10) / "result.json").exists()
    said = f"{copied / FULL} stays as it is: it has 1 finished run that {folder} lacks."
    assert said in capsys.readouterr().out and (copied / "r4.md").read_text() == (pages / "r4.md").read_text()


def test_what_is_said_of_numbers_is_said_to_be_of_others(pages, sweeps, tmp_path, monkeypatch):
    assert "## What the runs in docs/reports of the project showed, and what not" in (pages / "r4.md").read_text()
    monkeypatch.chdir(tmp_path)
    write_pages(sweeps, Path("docs/reports"))
    assert "## What these numbers show, and what not" in Path("docs/reports/r4.md").read_text()


def test_the_readme_of_somebody_else_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("# My project")
    assert main(["run=false", "pages=."]) == 2
    assert "pages=. is not possible: its README.md is not a list of such pages" in capsys.readouterr().err
    assert Path("README.md").read_text() == "# My project"


def test_pages_among_the_sweeps_are_refused(sweeps, capsys, monkeypatch):
    """A copy without checkpoints would take the place of each sweep."""
    monkeypatch.chdir(sweeps.parent)
    assert sweeps.name == "multirun"
    assert main(["run=false", "pages=./multirun/"]) == 2
    assert "pages=./multirun/ is not possible" in capsys.readouterr().err


def test_a_folder_of_pages_that_cannot_be_is_said_before_anything_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").touch()
    assert main(["pages=notes.md"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("Error: notes.md cannot be read or written") and "===" not in said.out


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
    command += ["data.test_limit=1000", "accelerator=cpu", "launcher.jobs_per_device=2", "launcher.threads_per_job=1"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=7200)
    again = subprocess.run(command, cwd=tmp_path, check=True, timeout=600, capture_output=True, text=True)
    assert "start " not in again.stdout
    for name in ("r1", "r2", "r3", "r4", "r5"):
        text = (tmp_path / "multirun" / "reports" / f"{name}.md").read_text()
        assert "caled down to 2 % of the training images and 2 % of the epochs" in text and "difference" in text


def test_another_device_has_another_speed(tmp_path):
    """The time on a CPU says nothing of the run on a GPU."""
    assert "not known" in remaining("r5_device", [])[0]
    jobs = compose_all(["experiment=r5_device", "scale=0.1"], multirun=True).jobs
    settings = [plain_settings(config) for _, config in jobs if config.accelerator == "cpu"]
    add_runs(tmp_path / "r5_device_scale-0.1", settings)
    (line,) = remaining("r5_device", [tmp_path / "r5_device_scale-0.1"])
    assert "2 of 2" in line and line.endswith("on Test CPU, 2 CPU threads, 32 precision; not known on the others |")
    assert "about" not in line
    (record,) = [RunResult.read(path.parent) for path in tmp_path.glob("*/*/result.json")]
    assert remaining("r5_device", [], [record])[0].endswith("| not known |")  # a run of something else
    full = compose_all(["experiment=r5_device"], multirun=True).jobs
    add_runs(tmp_path / "r5_device", [plain_settings(config) for _, config in full if config.accelerator == "cpu"])
    (line,) = remaining("r5_device", [tmp_path / "r5_device"])
    assert "1 of 2" in line and line.endswith("| not known |")


@pytest.mark.parametrize(
    ("codes", "code", "runs"), [([0, 0, 0, 0], 0, 4), ([1, 0, 0, 0], 1, 4), ([0, 130], 130, 2), ([2], 2, 1)]
)
def test_an_experiment_that_fails_does_not_end_the_others_but_a_stop_does(tmp_path, monkeypatch, codes, code, runs):
    monkeypatch.chdir(tmp_path)
    left = list(codes)
    monkeypatch.setattr("resnet_lightning.reproduce.__main__.run_one", lambda *_: left.pop(0))
    assert main(["only=r1"]) == code
    assert len(codes) - len(left) == runs
