"""Jobs that are killed, stopped, made to fail or damaged at any point end with the bits of undisturbed ones.

All in one sweep, since a start of Python costs more than such a run; each job has its own fault.
"""

import csv
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from resnet_lightning.result import RunResult
from resnet_lightning.training import sealed
from tests.faults.conftest import COMMAND, LR, Case, differences, scalars

KILL = "signal9@step 19"  # in the middle of the third epoch


def cut(name: str, size: int):
    def damage(folder: Path) -> None:
        os.truncate(folder / name, size if size >= 0 else (folder / name).stat().st_size + size)

    return damage


def both(*damages):
    def damage(folder: Path) -> None:
        for one in damages:
            one(folder)

    return damage


def flip(name: str):
    """One bit in the middle of a tensor: torch.load takes it without a word."""

    def damage(folder: Path) -> None:
        path = folder / name
        content = bytearray(path.read_bytes())
        largest = max(zipfile.ZipFile(path).infolist(), key=lambda item: item.file_size * ("/data/" in item.filename))
        content[largest.header_offset + 200] ^= 1
        path.write_bytes(content)
        torch.load(path, weights_only=True)

    return damage


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def damage_events(folder: Path) -> None:
    (path,) = folder.glob("events.out.tfevents.*.0")
    content = bytearray(path.read_bytes()[:-7])
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def poison(folder: Path) -> None:
    """A checkpoint that runs a command when it is unpickled, with a right checksum."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {folder / 'ran'}",)

    archive = io.BytesIO()
    torch.save({"state_dict": Evil(), "hyper_parameters": {"_instantiator": "os.system"}}, archive)
    body = archive.getvalue()[:-2] + sealed.DIGEST.to_bytes(2, "little")
    (folder / "last.ckpt").write_bytes(body + sealed.hashlib.sha256(body).hexdigest().encode())
    with pytest.raises(pickle.UnpicklingError):
        torch.load(folder / "last.ckpt", weights_only=True)


FALLS_BACK = "resumes after epoch 1, from"
CASES = {
    0.01: Case("signal9@after last.ckpt 3", "killed", says="resumes after epoch 3"),  # best.ckpt is of epoch 1 still
    0.011: Case(KILL, "killed", "signal 9"),
    0.012: Case("signal9@half last.ckpt 3", "killed", "signal 9"),
    0.014: Case("signal15@step 19", "interrupted", "SIGTERM"),
    0.017: Case(KILL, "killed", damage=cut("last.ckpt", -10), says=FALLS_BACK),
    0.018: Case(KILL, "killed", damage=flip("last.ckpt"), says=FALLS_BACK),
    0.019: Case(
        KILL,
        "killed",
        damage=both(cut("last.ckpt", 0), cut("last-1.ckpt", 100)),
        says="training starts over with the first epoch",
    ),
    0.02: Case(
        KILL, "killed", damage=write("result.json", '{"status": "do'), says="put aside as result.json.bad", attempts=1
    ),
    0.022: Case(KILL, "killed"),  # the control: goes on wrongly
}
CONTROL = 0.022
MORE = {
    0.013: Case("signal9@after last-1.ckpt 2", "killed", "signal 9", says="(last.ckpt is missing)"),
    0.015: Case("raise@step 19", "failed", "RuntimeError: injected"),
    0.016: Case("signal9@after metrics.csv 3", "killed", "signal 9"),  # a row too many
    0.021: Case(KILL, "killed", damage=damage_events),
    0.03: Case("signal9@before best.ckpt 1", "killed", says="resumes after epoch 1"),
    0.031: Case("signal9@half best.ckpt 1", "killed", says="resumes after epoch 1"),
    0.032: Case("signal9@half result.json 4", "killed"),
    0.033: Case("signal9@after last.ckpt 4", "killed", says="resumes after epoch 4"),  # trained, not yet tested
    0.034: Case("signal9@step 3", "killed", says="epoch 1/4"),
    0.035: Case(KILL, "killed", damage=cut("last.ckpt", 0), says=FALLS_BACK),
    0.036: Case(KILL, "killed", damage=cut("last.ckpt", 100), says=FALLS_BACK),
    0.037: Case(KILL, "killed", damage=lambda folder: (folder / "last.ckpt").unlink(), says="(last.ckpt is missing)"),
    0.038: Case(KILL, "killed", damage=cut("best.ckpt", 100), says="best.ckpt"),
    0.039: Case(KILL, "killed", damage=poison, says="holds more than tensors and plain values, and is not loaded"),
    0.04: Case(KILL, "killed", damage=write("last.ckpt", "no checkpoint"), says=FALLS_BACK),
    0.041: Case("memory@step 19", "oom", "out of memory with batch=32"),
    0.042: Case("oom@step 19", "oom", "out of memory with batch=32"),
    0.043: Case("signal11@step 19", "crashed", "signal 11"),
    0.044: Case("vanish@step 19", "failed", "without a result"),
    0.045: Case("exit@step 19", "failed", "without a result"),
    0.046: Case("full@step 19", "failed"),
    0.047: Case("signal2@step 19", "interrupted", "SIGINT"),
}


@pytest.fixture(scope="module")
def disturbed(disturb):
    return disturb(CASES, forgetful=[CONTROL])


def check(disturbed, lr: float, case: Case) -> None:
    before, folder = disturbed.before[lr], disturbed.sweep.job(lr)
    assert before.status == case.status and case.reason in (before.reason or "")
    assert case.says in (folder / "job.log").read_text()
    after = RunResult.read(folder)
    assert (after.status, after.attempts) == ("done", case.attempts)
    if case.attempts > 1:  # the times of a record that was lost are lost
        assert len(after.epoch_seconds) == 4 and after.seconds > before.seconds
    assert differences(folder, disturbed.same(lr)) == []


@pytest.mark.parametrize("lr", [lr for lr in CASES if lr != CONTROL], ids=lambda lr: CASES[lr].fault)
def test_same_bits_as_undisturbed(disturbed, lr):
    check(disturbed, lr, CASES[lr])


@pytest.mark.slow
def test_same_bits_as_undisturbed_after_rarer_faults(disturb):
    done = disturb(MORE)
    for lr, case in MORE.items():
        check(done, lr, case)
        assert [step for tag, step, _ in scalars(done.sweep.job(lr)) if tag == "val/loss"] == [1, 2, 3, 4]
    assert not list(done.sweep.folder.rglob("ran"))


def test_control_a_run_that_goes_on_wrongly_is_noticed(disturbed):
    """Its dropout counts the epochs from the restart, as frameworks do; and other runs are no equals either."""
    found = differences(disturbed.sweep.job(CONTROL), disturbed.same(CONTROL))
    assert {"last.ckpt", "metrics.csv", "events"} <= set(found)
    assert {"best.ckpt", "config"} <= set(differences(disturbed.same(0.01), disturbed.same(0.011)))


def test_events_have_each_epoch_once(disturbed):
    for lr in CASES:
        steps = [step for tag, step, _ in scalars(disturbed.sweep.job(lr)) if tag == "val/loss"]
        assert steps == [1, 2, 3, 4]


def test_best_weights_lag_behind_where_the_kill_came_between(disturbed):
    """Else the first case would not show that they are restored: epoch 3 is the best of the first three."""
    with (disturbed.same(0.01) / "metrics.csv").open(newline="") as file:
        first, second, third, _ = (float(row["val_accuracy"]) for row in csv.DictReader(file))
    assert third > max(first, second)


def test_second_launch_runs_what_is_missing_and_takes_over_the_lock(disturbed):
    first, second = disturbed.outputs
    assert f"{len(CASES)} to run" in first and f"{len(CASES)} to run" in second and "Traceback" not in second
    assert "was held by process 999999 on elsewhere" in second and "taken over" in second


def test_nothing_half_written_and_nothing_superfluous_is_left(disturbed):
    for lr in CASES:
        names = {path.name for path in disturbed.sweep.job(lr).iterdir()}
        assert not {name for name in names if name.endswith(".tmp")} and "last-1.ckpt" not in names


def test_sigterm_then_resume_with_nothing_but_the_folder(single, tmp_path, undisturbed):
    stopped = single(*COMMAND, fault="signal15@step 19")
    folder = tmp_path / "one run"
    assert stopped.returncode == 143, stopped.stdout + stopped.stderr
    result = RunResult.read(folder)
    assert (result.status, result.exit_code, result.epochs_done) == ("interrupted", 143, 2)
    (folder / ".last.ckpt.1.tmp").write_text("left by a kill")
    done = single("resume=one run")
    assert done.returncode == 0 and "resumes after epoch 2" in done.stdout, done.stdout + done.stderr
    assert differences(folder, undisturbed(tuple(CASES)).job(LR)) == []
    assert not (folder / ".last.ckpt.1.tmp").exists()
