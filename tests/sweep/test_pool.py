"""Which job goes where when starts fail; the processes are stand-ins, the real ones are in the other files."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from resnet_lightning.result import RunResult
from resnet_lightning.sweep import pool
from resnet_lightning.sweep.slots import Slot


class Watcher:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.started_on: list[tuple[str, str]] = []
        self.ended_jobs: list[str] = []
        self.shared: list[int] = []
        self.arguments: list[list[str]] = []

    def started(self, job, slot) -> None:
        self.started_on.append((job.name, slot.name))

    def ended(self, job, result, seconds) -> None:
        self.ended_jobs.append(job.name)

    def tick(self) -> None: ...

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``run(jobs, devices, broken)`` -> watcher, how each job ended; on a broken device jobs fail at their start."""

    def start(
        count: int,
        devices: list[str | None],
        broken: set[str | None],
        retries: int = 0,
        code: int = 1,
        reason: str | Exception = "RuntimeError: CUDA error: no CUDA-capable device is detected",
        status: str | Callable[[], str] = "failed",
        threads: int | None = None,
    ):
        slots = [Slot(f"device {device}", device, (), 1) for device in devices]
        launcher = SimpleNamespace(threads_per_job=None)
        jobs = [
            SimpleNamespace(
                name=f"job {n}", label=f"lr={n}", attempts=0, status="waiting", log="job.log", overrides=[],
                config=SimpleNamespace(seed=0, threads=threads, launcher=launcher), digest="",
            )
            for n in range(count)
        ]  # fmt: skip
        places: dict[str, Slot] = {}
        going: set[str] = set()
        crowded: set[str] = set()

        def process(context, arguments, slot, log, planned):
            places[log.parent.name] = slot
            watcher.arguments.append(arguments)
            crowded.discard(log.parent.name)
            if status == "oom" and None in broken and going:  # both have too little, whoever ends first
                crowded.update({log.parent.name, *going})
            going.add(log.parent.name)
            ended = SimpleNamespace(slot=slot, running=False, exit_code=code, asked_to_stop=None, started=0.0)
            ended.process, ended.close = SimpleNamespace(sentinel=None), lambda: None
            return ended

        def settle(folder, job, exit_code, timed_out, stopped, neighbours):
            shared.append(neighbours)
            going.discard(job.name)
            failed = places[job.name].visible_devices in broken or job.name in crowded
            if failed and isinstance(reason, Exception):
                raise reason
            begun = None if failed else 1.0
            how = status() if callable(status) else status
            return RunResult(how if failed else "done", [], {}, 0, startup_seconds=begun, reason=reason)

        monkeypatch.setattr(pool, "JobProcess", process)
        monkeypatch.setattr(pool, "settle", settle)
        monkeypatch.setattr(pool, "wait", lambda *_: None)
        monkeypatch.setattr(pool, "single_run", lambda *_: [])
        monkeypatch.setattr(pool, "LONGEST_PAUSE", 0.0)
        watcher = Watcher()
        shared = watcher.shared
        pool.Pool(tmp_path, slots, None, retries, watcher).run(jobs)
        return watcher, [job.status for job in jobs]

    return start


def test_broken_device_gets_no_more_jobs_and_its_jobs_run_elsewhere(run):
    watcher, ends = run(8, ["0", "1"], broken={"1"})
    assert ends == ["done"] * 8
    assert sum(slot == "device 1" for _, slot in watcher.started_on) == 3
    assert watcher.lines == ["device 1: 3 jobs in a row failed at their start: it gets no more jobs."]


def test_no_device_left_ends_the_sweep_with_a_sentence(run):
    watcher, ends = run(5, ["1"], broken={"1"})
    assert ends == ["failed"] * 3 + ["waiting"] * 2
    assert watcher.lines[-1].startswith("No device is left")


def test_jobs_on_a_cpu_each_have_their_try(run):
    watcher, ends = run(5, [None], broken={None})
    assert ends == ["failed"] * 5 and watcher.lines == [] and len(watcher.started_on) == 5


def test_retries_are_those_of_the_user(run):
    watcher, _ = run(1, [None], broken={None}, retries=2)
    assert len(watcher.started_on) == 3


def test_a_job_without_room_on_a_full_gpu_runs_on_another(run):
    watcher, ends = run(6, ["0", "1"], broken={"1"}, status="oom")
    assert ends == ["done"] * 6 and watcher.lines == []
    names = [name for name, _ in watcher.started_on]
    assert max(names.count(name) for name in names) == 2


def test_a_job_that_needs_too_much_has_two_attempts(run):
    watcher, ends = run(2, ["0", "1"], broken={"0", "1"}, status="oom")
    assert ends == ["oom"] * 2 and len(watcher.started_on) == 4 and watcher.lines == []
    watcher, ends = run(2, ["0"], broken={"0"}, status="oom")
    assert ends == ["oom"] * 2 and len(watcher.started_on) == 2


def test_jobs_without_room_beside_each_other_run_alone(run):
    watcher, ends = run(4, ["0", "0"], broken={None}, status="oom")
    assert ends == ["done"] * 4 and [name for name, _ in watcher.started_on].count("job 1") == 2


def test_a_job_without_room_is_no_failure_of_the_device(run):
    """Nor do failures on both sides of it count as those in a row."""
    watcher, ends = run(4, ["1"], broken={"1"}, status=iter(["failed", "failed", "oom", "failed"]).__next__)
    assert ends == ["failed", "failed", "oom", "failed"] and watcher.lines == []


def test_threads_of_an_experiment_are_those_of_its_jobs(run):
    assert run(1, ["0"], broken=set())[0].arguments == [["threads=1"]]
    assert run(1, ["0"], broken=set(), threads=2)[0].arguments == [[]]


def test_refused_job_is_no_failure_of_the_device(run):
    watcher, ends = run(4, ["0", "1"], broken={"0", "1"}, code=2)
    assert ends == ["failed"] * 4 and watcher.lines == [] and len(watcher.started_on) == 4


@pytest.mark.parametrize(
    "reason",
    [
        "CommError: the server of wandb does not answer",
        "disk full writing multirun/gpus/lr-0.1_12345678/result.json (No space left on device)",
        OSError(28, "No space left on device", "multirun/gpus/lr-0.1_12345678/result.json"),
    ],
)
def test_what_is_no_fault_of_a_gpu_does_not_take_it_away(run, reason):
    watcher, ends = run(5, ["0"], broken={"0"}, reason=reason)
    assert ends == ["failed"] * 5 and watcher.lines == [] and len(watcher.started_on) == 5


def test_a_job_whose_folder_cannot_be_written_does_not_end_the_others(run, monkeypatch):
    def forget(place):
        if place.name == "job 1":
            raise OSError(28, "No space left on device", str(place / "result.json"))

    monkeypatch.setattr(pool, "forget_old_record", forget)
    monkeypatch.setattr(pool, "not_started", lambda folder, job, error: RunResult("failed", [], {}, 0))
    watcher, ends = run(4, ["0", "1"], broken=set())
    assert ends == ["done", "failed", "done", "done"]
    assert [name for name, _ in watcher.started_on].count("job 1") == 1 and len(watcher.ended_jobs) == 4
    watcher, ends = run(4, ["0", "1"], broken=set(), retries=2)
    assert ends == ["done", "failed", "done", "done"]
    assert [name for name, _ in watcher.started_on].count("job 1") == 3


def test_neighbours_are_those_that_run_on_the_same_device(run):
    watcher, _ = run(3, ["0", "0", "1"], broken=set())  # all three end at once, and are looked at one by one
    assert watcher.shared == [1, 0, 0]
