"""What a start of a run takes over from the one before, and what a further process of a run may say."""

import errno
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from resnet_lightning import attempt
from resnet_lightning.attempt import Attempt, end_of, tell_of_failure
from resnet_lightning.config import FIRST, ConfigError, plain_settings
from resnet_lightning.files import remove_half_written
from resnet_lightning.result import RunResult
from resnet_lightning.run import refuse_folder
from resnet_lightning.training.checkpoint import Checkpoints
from resnet_lightning.training.sealed import write_sealed


def running() -> RunResult:
    return RunResult("running", [], {}, 0)


def test_what_cannot_be_read_is_not_put_aside_as_damaged(tmp_path):
    (tmp_path / "result.json").mkdir()  # stands for a disk that does not answer
    with pytest.raises(IsADirectoryError):
        Attempt(tmp_path, running())
    row = {"epoch": 1, "val": {"loss": 0.1, "accuracy": 0.9}}
    state = {"config": "{}", "environment": "{}", "history": f"[{row}]".replace("'", '"'), "state_dict": {}, "epoch": 1}
    write_sealed(state, tmp_path / "last.ckpt")
    (tmp_path / "best.ckpt").mkdir()
    with pytest.raises(IsADirectoryError):
        Checkpoints(tmp_path, {}).newest({})
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "last.ckpt", "best.ckpt"}


def test_an_error_of_the_disk_is_a_sentence():
    end = end_of(OSError(5, "Input/output error"), running())
    assert end is not None
    assert end.reason.startswith(
        "A file of the run cannot be read or written (Input/output error); once it can, the same"
    )


def test_a_further_process_says_nothing_in_the_record_of_the_next_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "FIRST_SPEAKS", 0.0)
    running().write(tmp_path)
    failed = RunResult("failed", [], {}, 0, reason="RuntimeError: the connection is closed")
    monkeypatch.setattr(attempt, "PARENT", os.getppid() + 1)  # the first process has ended
    assert not tell_of_failure(failed, tmp_path) and RunResult.read(tmp_path).status == "running"
    monkeypatch.setattr(attempt, "PARENT", os.getppid())
    assert tell_of_failure(failed, tmp_path) and RunResult.read(tmp_path).status == "failed"


def test_a_further_process_knows_the_first_one_although_that_has_ended():
    ask = "from resnet_lightning import attempt; print(attempt.PARENT)"
    done = subprocess.run(
        [sys.executable, "-c", ask], env=os.environ | {FIRST: "4711"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "4711\n"


def test_memory_that_the_system_refuses_is_out_of_memory():
    result = RunResult("running", [], {"batch": 64, "eval_batch": 500}, 0)
    end = end_of(OSError(errno.ENOMEM, "Cannot allocate memory"), result)
    assert end is not None and end.status == "oom" and "batch=64" in end.reason


def test_a_folder_of_something_else_is_refused(settings, tmp_path):
    """Before its files are replaced by those of a run."""
    config = settings()
    (tmp_path / "events.out.tfevents.1.mine").write_bytes(b"weeks of work")
    with pytest.raises(ConfigError, match=r"events\.out\.tfevents\.1\.mine is there, but no result\.json"):
        refuse_folder(config, tmp_path)
    (tmp_path / "result.json.bad").write_text("{")  # of a run whose record was damaged
    refuse_folder(config, tmp_path)


def test_settings_that_did_not_fit_the_data_do_not_block_the_folder(settings, tmp_path):
    refused = RunResult("failed", [], plain_settings(settings("batch=64")), 0, exit_code=2)
    refused.write(tmp_path)
    refuse_folder(settings("batch=16"), tmp_path)
    replace(refused, epochs_done=1).write(tmp_path)
    with pytest.raises(ConfigError, match="batch: 64 / 16"):
        refuse_folder(settings("batch=16"), tmp_path)


def test_files_of_others_that_look_half_written_stay(tmp_path):
    for name in (".backup.tmp", ".result.json.4711.tmp"):
        (tmp_path / name).touch()
    remove_half_written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".backup.tmp"]
