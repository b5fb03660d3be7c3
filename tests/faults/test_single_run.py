"""One run on its own: what the console says, the exit code, what stays on disk, ``resume=``."""

import json
from pathlib import Path

import pytest

from resnet_lightning.config import ConfigError
from resnet_lightning.result import RunResult
from resnet_lightning.resume import with_resumed
from tests.faults.conftest import COMMAND, SETTINGS


@pytest.mark.slow
def test_failure_of_the_second_device_alone_is_what_the_record_says(single, tmp_path):
    """The first process sees no more of it than a broken connection, or is ended by Lightning."""
    failed = single(*COMMAND, "devices=2", fault="rank:1", MASTER_ADDR="127.0.0.1")
    assert failed.returncode != 0
    result = RunResult.read(tmp_path / "one run")
    assert (result.status, result.reason) == ("failed", "RuntimeError: injected"), failed.stdout + failed.stderr


@pytest.mark.slow
def test_full_disk_at_the_end_loses_no_number(single, tmp_path):
    full = single(*COMMAND, fault="full@after last.ckpt 4")
    assert full.returncode == 1 and "Traceback" not in full.stderr
    (line,) = [line for line in full.stderr.splitlines() if "cannot be written (File too large)" in line]
    numbers = json.loads(line.partition("It would say: ")[2])
    assert numbers["epochs_done"] == 4 and 0 < numbers["val"]["accuracy"] < 1
    done = single("resume=one run")
    assert done.returncode == 0 and "resumes after epoch 4" in done.stdout
    assert RunResult.read(tmp_path / "one run").val["accuracy"] == numbers["val"]["accuracy"]
    assert "already finished" in single("resume=one run").stdout
    refused = single("resume=one run", "batch=64")
    assert refused.returncode == 2 and "batch: 32 / 64" in refused.stderr


@pytest.mark.slow
def test_full_disk_stops_the_run_with_one_sentence_and_keeps_the_checkpoint(single, tmp_path):
    full = single(*COMMAND, fault="full@step 19")
    assert full.returncode == 1 and "Traceback" not in full.stdout + full.stderr
    assert "failed: disk full writing" in full.stdout and "make room, then the same command resumes" in full.stdout
    assert single(*COMMAND).returncode == 0
    assert RunResult.read(tmp_path / "one run").status == "done"


@pytest.mark.slow
def test_checkpoint_of_other_settings_is_refused(single, tmp_path):
    assert single(*COMMAND, fault="signal9@step 19").returncode == -9
    (tmp_path / "one run" / "result.json").unlink()
    other = single(*COMMAND, "model.depths=[1,1,2]")
    assert other.returncode == 2 and "model.depths: [1, 1, 1] / [1, 1, 2]" in other.stderr
    assert (tmp_path / "one run" / "last.ckpt").exists()


@pytest.mark.slow
def test_other_threads_are_said_to_change_bits(single):
    assert single(*COMMAND, fault="signal9@step 19").returncode == -9
    assert (
        "bits may differ from those of an undisturbed run (threads: 1 / 2"
        in single("resume=one run", "threads=2").stdout
    )


def test_folder_that_cannot_be_written_is_one_sentence(single):
    done = single(*SETTINGS, "hydra.run.dir=/proc/no/run")
    assert done.returncode == 1 and done.stderr.startswith("Error: /proc/no cannot be read or written (")
    assert "Traceback" not in done.stdout + done.stderr


def test_missing_data_without_a_network_is_one_message(single, tmp_path):
    nobody = "http://127.0.0.1:9"
    done = single("data=cifar10", f"data.root={tmp_path / 'empty'}", http_proxy=nobody, https_proxy=nobody)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    for part in ("is missing and cannot be downloaded", "170 MB", "curl -L -o", str(tmp_path / "empty")):
        assert part in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["hydra.callbacks.x._target_=os.system"], "hydra.callbacks.x._target_ is not a setting of a run"),
        (["+hydra.callbacks.x._target_=os.system"], "is not a setting of a run"),
        (["--config-dir=/tmp/evil"], "--config-dir is not a setting of a run"),
        ({"a": 1}, "result.json is damaged, and"),
        ([1], "cannot be read"),
    ],
)
def test_resume_takes_settings_only(tmp_path, overrides, part):
    record = {"status": "killed", "overrides": overrides, "config": {}, "seed": 0}
    (tmp_path / "result.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=part):
        with_resumed([f"resume={tmp_path}"])


def test_resume_of_nothing_names_the_nearest(tmp_path):
    (tmp_path / "run_1").mkdir()
    (tmp_path / "run_1" / "result.json").write_text("{}")
    with pytest.raises(ValueError, match=f"there is no run in it. Did you mean {tmp_path / 'run_1'}"):
        with_resumed([f"resume={tmp_path / 'run_2'}"])
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ValueError, match="it is a sweep"):
        with_resumed([f"resume={tmp_path}"])
    with pytest.raises(ValueError, match="one run"):
        with_resumed(["-m", f"resume={Path('x')}"])


def test_resume_where_the_record_is_lost_takes_what_hydra_has_kept(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(ConfigError, match=r"result\.json is damaged, and .*overrides\.yaml is missing"):
        with_resumed([f"resume={tmp_path}"])
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- lr=0.1\n")
    assert "lr=0.1" in with_resumed([f"resume={tmp_path}"])
    (tmp_path / ".hydra" / "overrides.yaml").write_text("[")
    with pytest.raises(ConfigError, match=r"damaged|cannot be read"):
        with_resumed([f"resume={tmp_path}"])
