"""The record: what is written comes back, a crash leaves the old one, damage is noticed."""

import json
import math
import os

import pytest

from resnet_lightning.files import atomic_write
from resnet_lightning.messages import closing_lines
from resnet_lightning.result import RunResult


def record(**changes) -> RunResult:
    return RunResult(status="done", overrides=["lr=0.1"], config={"lr": 0.1}, seed=0, **changes)


def test_round_trip(tmp_path):
    written = record(test={"loss": 0.25, "accuracy": 0.5, "confusion_matrix": [[1, 2], [3, 4]]}, best_epoch=3)
    written.write(tmp_path)
    assert RunResult.read(tmp_path) == written


def test_nan_and_infinity_become_null(tmp_path):
    record(val={"loss": math.nan}, seconds=math.inf).write(tmp_path)
    content = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert content["val"]["loss"] is None and content["seconds"] is None


def test_a_list_of_numbers_takes_one_line(tmp_path):
    record(epoch_seconds=[1.0, 2.0, 3.0]).write(tmp_path)
    assert '"epoch_seconds": [ 1.0, 2.0, 3.0 ]' in (tmp_path / "result.json").read_text()


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"status": "done"}', "null", "\0" * 20, "[" * 100_000])
def test_damaged_record_is_a_value_error(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"."):
        RunResult.read(tmp_path)


def test_fields_of_another_type_are_a_value_error(tmp_path):
    for changes in ({"config": []}, {"status": None}, {"epoch_seconds": "long"}):
        record().write(tmp_path)
        content = json.loads((tmp_path / "result.json").read_text()) | changes
        (tmp_path / "result.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=next(iter(changes))):
            RunResult.read(tmp_path)


def test_keys_of_a_later_version_are_passed_over(tmp_path):
    record().write(tmp_path)
    content = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps({**content, "from the future": 1}))
    assert RunResult.read(tmp_path) == record()


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_write(path, "w") as file:
        file.write("new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_finished_run_whose_loss_was_no_number_is_told_again(tmp_path):
    sums = {"loss": math.nan, "accuracy": 0.5, "images": 10}
    record(test=sums, train=sums, val=sums, best_epoch=1, seconds=1.0).write(tmp_path)
    assert closing_lines(RunResult.read(tmp_path), tmp_path).count(" nan ") == 3
