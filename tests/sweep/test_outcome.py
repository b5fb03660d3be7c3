"""What the record of a job says in the end, whoever ended it; and which device a waiting job is for."""

from dataclasses import replace

import pytest

from resnet_lightning.cli import check_machine
from resnet_lightning.config import ConfigError
from resnet_lightning.lock import hold
from resnet_lightning.result import RunResult, status_in
from resnet_lightning.sweep import launch
from resnet_lightning.sweep.launch import unavailable
from resnet_lightning.sweep.outcome import forget_old_record, mark_unavailable, not_started, settle
from resnet_lightning.sweep.plan import plan_jobs


@pytest.fixture
def job(settings, tmp_path):
    (job,) = plan_jobs(tmp_path, [(["lr=0.2"], settings("lr=0.2", "accelerator=cpu", "logger=none"))])
    (tmp_path / job.name).mkdir()
    return job


def record(status: str, **fields) -> RunResult:
    return RunResult(status, ["lr=0.2"], {}, 0, **fields)


@pytest.mark.parametrize(("left", "status"), [("done", "done"), ("interrupted", "timeout"), ("running", "timeout")])
def test_a_job_that_ended_by_itself_at_the_last_moment_keeps_its_result(job, tmp_path, left, status):
    record(left, test={"accuracy": 0.9}).write(tmp_path / job.name)
    assert settle(tmp_path, job, exit_code=0, timed_out=True, stopped=False).status == status


def test_a_job_that_fell_before_its_record_says_why(job, tmp_path):
    (tmp_path / job.name / "job.log").write_text("Error: an old attempt\nmore\nError: device 1 is gone.\n")
    result = settle(tmp_path, job, exit_code=1, timed_out=False, stopped=False)
    assert (result.status, result.reason) == ("failed", "device 1 is gone.")


def test_a_job_that_vanished_does_not_take_the_sentence_of_an_old_attempt(job, tmp_path):
    (tmp_path / job.name / "job.log").write_text("Error: an old attempt\n")
    result = settle(tmp_path, job, exit_code=0, timed_out=False, stopped=False)
    assert (result.status, result.reason) == ("failed", "ended without a result (exit code 0)")


def test_what_a_job_reached_elsewhere_stays_where_its_device_is_missing(job, tmp_path):
    record("interrupted", attempts=2, epochs_done=7).write(tmp_path / job.name)
    mark_unavailable(tmp_path, job, "there is no GPU")
    left = RunResult.read(tmp_path / job.name)
    assert (left.status, left.reason, left.attempts, left.epochs_done) == ("unavailable", "there is no GPU", 2, 7)


def test_a_job_for_a_device_that_is_there_now_waits(job, tmp_path):
    job.status = "unavailable"
    assert not unavailable(tmp_path, job) and job.status == "waiting"
    gpu = replace(job, config=replace(job.config, accelerator="mps"))
    assert unavailable(tmp_path, gpu) and gpu.status == "unavailable"


def test_out_of_memory_beside_other_jobs_says_so(job, tmp_path):
    record("oom", reason="out of memory with batch=64").write(tmp_path / job.name)
    result = settle(tmp_path, job, exit_code=1, timed_out=False, stopped=False, neighbours=1)
    assert result.reason == "out of memory with batch=64; 1 other job shared the memory (launcher.jobs_per_device)"
    assert RunResult.read(tmp_path / job.name).reason == result.reason


def test_a_record_that_somebody_else_has_finished_meanwhile_stays(job, tmp_path):
    result = RunResult("done", [], {}, 0, test={"accuracy": 0.9})
    result.write(tmp_path)
    forget_old_record(tmp_path)
    assert RunResult.read(tmp_path) == result
    replace(result, status="failed").write(tmp_path)
    forget_old_record(tmp_path)
    assert RunResult.read(tmp_path).status == "running"


def test_the_record_of_a_run_that_somebody_else_has_under_way_is_theirs(job, tmp_path):
    place = tmp_path / job.name
    record("running", reason=None, epochs_done=3, startup_seconds=4.0).write(place)
    (place / "job.log").write_text("Error: it is being run by process 1 on a: wait for it.\n")
    before = RunResult.read(place)
    with hold(place, "wait"):
        forget_old_record(place)
        ends = [settle(tmp_path, job, exit_code=2, timed_out=False, stopped=False)]
        ends.append(not_started(tmp_path, job, OSError(24, "Too many open files")))
        mark_unavailable(tmp_path, job, "there is no GPU")
    assert [end.status for end in ends] == ["failed"] * 2
    assert ends[0].reason == "it is being run by process 1 on a: wait for it."
    assert RunResult.read(place) == before and not list(place.glob("events*"))


def test_a_record_that_cannot_be_read_is_not_replaced(job, tmp_path):
    place = tmp_path / job.name
    (place / "result.json").mkdir()  # stands for a disk that does not answer
    for ask in (forget_old_record, lambda _: settle(tmp_path, job, 1, timed_out=False, stopped=False)):
        with pytest.raises(IsADirectoryError):
            ask(place)
    with pytest.raises(IsADirectoryError):
        status_in(place, {})
    assert not_started(tmp_path, job, OSError(24, "Too many open files")).status == "failed"


def test_a_job_that_could_not_be_started_says_why(job, tmp_path):
    record("interrupted", epochs_done=3).write(tmp_path / job.name)
    not_started(tmp_path, job, OSError(24, "Too many open files"))
    left = RunResult.read(tmp_path / job.name)
    assert (left.status, left.epochs_done) == ("failed", 3) and left.reason.startswith("not started: ")
    assert "Too many open files" in left.reason


def test_a_record_that_says_all_is_not_written_again(job, tmp_path, monkeypatch):
    record("done", test={"accuracy": 0.9}).write(tmp_path / job.name)
    monkeypatch.setattr(RunResult, "write", lambda *_: pytest.fail("written"))
    assert settle(tmp_path, job, exit_code=0, timed_out=False, stopped=False).status == "done"


def test_any_signal_may_end_a_job(job, tmp_path):
    result = settle(tmp_path, job, exit_code=-40, timed_out=False, stopped=False)
    assert result.status == "killed" and result.reason == "ended by signal 40 (no name)"


def test_a_record_with_nonsense_in_it_ends_no_sweep(job, tmp_path):
    (tmp_path / job.name / "result.json").write_text(
        '{"status": "running", "overrides": [], "config": {}, "seed": 0, "attempts": "two"}'
    )
    assert settle(tmp_path, job, exit_code=1, timed_out=False, stopped=False).status == "failed"


def test_a_sweep_over_devices_runs_what_is_here(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "run_pools", lambda folder, shares, waiting, launcher: ran.extend(waiting))
    ran: list = []
    jobs = [([f"accelerator={kind}"], settings(f"accelerator={kind}", "logger=none")) for kind in ("cpu", "mps")]
    check_machine([config for _, config in jobs], elsewhere=False)
    with pytest.raises(ConfigError, match="mps"):
        check_machine([jobs[1][1]] * 2, elsewhere=False)
    monkeypatch.setattr(launch, "report", lambda folder: True)
    assert launch.run_sweep(tmp_path, jobs, "the command") == 1  # the job for the CPU has not been done
    assert [job.config.accelerator for job in ran] == ["cpu"]
    (record_there,) = tmp_path.glob("accelerator-mps_*/result.json")
    assert RunResult.read(record_there.parent).status == "unavailable"
    assert "1 for devices that this machine does not have, 1 to run" in capsys.readouterr().out
