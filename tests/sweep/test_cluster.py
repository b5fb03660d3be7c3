"""Sweeps in the queues of SLURM and Ray: really run where they are installed, and their losses pretended everywhere."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_lightning.config import ConfigError
from resnet_lightning.sweep.cluster import Loss, run_on_cluster
from resnet_lightning.sweep.slurm import loss
from tests.sweep.conftest import SMALL, Sweep, alive, interrupt
from tests.sweep.test_sweep import timeless

SLURM = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10"]
ONE_MACHINE = Path(__file__).parents[1] / "slurm" / "one_machine.sh"


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """SLURM on this machine; commands find it through SLURM_CONF."""
    places = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if not all(shutil.which(program, path=places) for program in ("sbatch", "slurmctld", "slurmd", "munged")):
        pytest.skip("SLURM is not installed")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # short: paths of sockets have 107 characters
    subprocess.run([ONE_MACHINE, "start", folder], check=True, timeout=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield
        subprocess.run([ONE_MACHINE, "stop", folder], check=True, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ray_address(sweep, tmp_path) -> Iterator[str]:
    """A Ray cluster of one node with two pretended GPUs, on which lr=0.2 fails once."""
    pytest.importorskip("ray")
    folder, address = tempfile.mkdtemp(prefix="ray"), f"127.0.0.1:{free_port()}"
    options = [
        "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}", "--num-cpus=2",
        "--num-gpus=2", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}",
    ]  # fmt: skip
    environment = sweep.environment({"0.2": f"once:{tmp_path / 'marker'}"})
    command = [Path(sys.executable).with_name("ray"), "start", *options]
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert any("Ray runtime started" in line for line in process.stdout)
        yield address
        process.terminate()
    shutil.rmtree(folder, ignore_errors=True)


def one_fails_and_is_run_again(sweep: Sweep, arguments: list[str], faults: dict[str, str]) -> None:
    rates = "lr=0.1,0.2,0.3"
    first = sweep.run(rates, *arguments, faults=faults)
    assert first.returncode == 1, first.stdout + first.stderr
    results = sweep.results()
    assert {lr: result.status for lr, result in results.items()} == {0.1: "done", 0.2: "failed", 0.3: "done"}
    assert "RuntimeError: injected" in results[0.2].reason
    assert "RuntimeError: injected" in (sweep.job(0.2) / "job.log").read_text()
    assert [(row["lr"], row["status"]) for row in timeless(sweep)] == [
        ("0.1", "done"),
        ("0.2", "failed"),
        ("0.3", "done"),
    ]

    stamps = {lr: (sweep.job(lr) / "result.json").stat().st_mtime_ns for lr in results}
    again = sweep.run(rates, *arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "3 jobs, 2 already finished, 1 to run" in again.stdout
    assert [lr for lr in stamps if (sweep.job(lr) / "result.json").stat().st_mtime_ns != stamps[lr]] == [0.2]
    assert {result.visible_devices for result in results.values()} == {"0", "1"}


def same_as_on_one_machine(sweep: Sweep, place: Path) -> None:
    place.mkdir()
    local = Sweep(place, sweep.data_root)
    assert local.run("lr=0.1,0.2,0.3").returncode == 0
    assert timeless(local) == timeless(sweep)
    names = [sorted(path.name for path in s.folder.iterdir() if path.is_dir()) for s in (local, sweep)]
    assert names[0] == [name for name in names[1] if name != ".submitit"]
    files = [sorted(path.name for path in s.job(0.1).iterdir() if "events" not in path.name) for s in (local, sweep)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_ray(sweep, ray_address, tmp_path):
    arguments = [
        "hydra/launcher=ray",
        f"hydra.launcher.ray.init.address={ray_address}",
        "hydra.launcher.ray.remote.num_gpus=1",
    ]
    one_fails_and_is_run_again(sweep, arguments, faults={})
    same_as_on_one_machine(sweep, tmp_path / "local")


@pytest.mark.slow
def test_slurm(sweep, slurm, tmp_path):
    one_fails_and_is_run_again(sweep, [*SLURM, "hydra.launcher.gpus_per_node=1"], faults={"0.2": "raise"})
    same_as_on_one_machine(sweep, tmp_path / "local")


@pytest.mark.slow
def test_launcher_that_was_killed_finds_its_jobs_in_the_queue(sweep, slurm):
    process = sweep.start("lr=0.1,0.2,0.3", *SLURM, faults=dict.fromkeys(("0.1", "0.2", "0.3"), "slow:5"))
    sweep.wait_for_start(0.1)
    process.kill()
    process.communicate()
    again = sweep.run("lr=0.1,0.2,0.3", *SLURM)
    assert again.returncode == 0 and "3 of them are in the queue already" in again.stdout, again.stdout
    starts = sorted(lr for _, event, lr, _, _ in sweep.events() if event == "start")
    assert starts == [0.1, 0.2, 0.3]


@pytest.mark.slow
def test_ctrl_c_cancels_what_runs_and_what_waits(sweep, slurm):
    process = sweep.start("lr=0.1,0.2,0.3", *SLURM, faults=dict.fromkeys(("0.1", "0.2", "0.3"), "slow:5"))
    job = sweep.wait_for_start(0.1)
    interrupt(process)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    results = sweep.results()
    assert results[0.1].status == "interrupted" and 0.3 not in results
    assert not alive(job)
    assert not subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout
    assert (sweep.folder / "comparison.csv").exists()


@pytest.mark.slow
def test_jobs_that_slurm_ends_say_so(sweep, slurm):
    limit = ["hydra.launcher.timeout_min=1", "+hydra.launcher.signal_delay_s=30"]
    process = sweep.start("lr=0.1,0.2", *SLURM[:2], *limit, faults={"0.1": "hang deaf", "0.2": "hang deaf"})
    sweep.wait_for_start(0.2)
    (first,) = sweep.folder.glob(".submitit/*_1_submitted.pkl")
    subprocess.run(["scancel", "--signal=KILL", first.name.removesuffix("_submitted.pkl")], check=True)
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 1, output
    results = sweep.results()
    assert (results[0.1].status, results[0.1].reason) == ("timeout", "stopped at the time limit of the queue")
    assert results[0.2].status == "killed" and "ended by SLURM" in results[0.2].reason


@pytest.mark.slow
def test_two_processes_in_a_job_of_slurm(sweep, slurm):
    """Lightning would take the one process that SLURM started for all of them."""
    done = sweep.run("lr=0.1", *SLURM, "devices=2", "hydra.launcher.gpus_per_node=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [lr for _, event, lr, _, _ in sweep.events() if event == "start"] == [0.1, 0.1]
    assert sweep.results()[0.1].test["images"] == 10_000


@pytest.mark.slow
def test_what_slurm_refuses_is_one_sentence(sweep, slurm):
    done = sweep.run("lr=0.1", *SLURM, "hydra.launcher.partition=none")
    assert done.returncode == 2 and "Error: SLURM rejected the jobs:" in done.stderr
    assert "Traceback" not in done.stderr and not sweep.results()


@pytest.mark.parametrize(("extra", "module"), [("slurm", "submitit"), ("ray", "ray")])
def test_missing_extra_is_one_sentence(sweep, tmp_path, monkeypatch, extra, module):
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / f"{module}.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    done = sweep.run(f"hydra/launcher={extra}", "accelerator=gpu", "lr=0.1")  # nobody asks for a GPU on this machine
    assert done.returncode == 2 and f'pip install -e ".[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr and not list(sweep.folder.glob("lr-*"))


class PretendedTicket:
    """Ends with ``loss``; without one when it is cancelled."""

    def __init__(self, end: Loss | None, on_poll=lambda: None) -> None:
        self.end, self.on_poll, self.cancelled = end, on_poll, False

    def poll(self) -> Loss | None:
        self.on_poll()
        return Loss("killed", "cancelled") if self.cancelled else self.end

    def cancel(self) -> None:
        self.cancelled = True


class PretendedQueue:
    """A queue that runs nothing."""

    name, threads = "Pretence", None

    def __init__(self, *tickets: PretendedTicket) -> None:
        self.tickets, self.tasks = tickets, []

    def connect(self) -> None:
        pass

    def submit(self, folder, tasks):
        self.tasks = tasks
        return self.tickets


@pytest.fixture
def jobs(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return [([*SMALL, f"lr={lr}"], settings(*SMALL, f"lr={lr}")) for lr in (0.1, 0.2)]


def test_job_that_the_queue_lost_is_a_row_with_the_reason(jobs, tmp_path):
    lost = Loss("oom", "ended by SLURM: oom-kill"), Loss("killed", "ended by SLURM: node failure")
    queue = PretendedQueue(*map(PretendedTicket, lost))
    sweep = Sweep(tmp_path, tmp_path)
    assert run_on_cluster(Path("multirun/s"), jobs, "command", queue) == 1
    assert [Loss(result.status, result.reason) for _, result in sorted(sweep.results().items())] == list(lost)
    assert [Loss(row["status"], row["reason"]) for row in timeless(sweep)] == list(lost)
    assert all(task.folder.is_absolute() and task.directory == tmp_path for task in queue.tasks)


def test_stopped_sweep_cancels_and_leaves_no_record_of_jobs_that_never_began(jobs, tmp_path):
    calls = [lambda: os.kill(os.getpid(), signal.SIGINT)]
    tickets = PretendedTicket(None, lambda: calls and calls.pop()()), PretendedTicket(None)
    assert run_on_cluster(Path("multirun/s"), jobs, "command", PretendedQueue(*tickets)) == 130
    assert all(ticket.cancelled for ticket in tickets)
    assert not Sweep(tmp_path, tmp_path).results()


@pytest.mark.parametrize("key", ["launcher.retries=1", "++launcher.retries=1", "launcher={retries: 1}"])
def test_keys_of_one_machine_are_refused(jobs, key):
    with pytest.raises(ConfigError, match=r"launcher(\.retries)? is for sweeps on one machine"):
        run_on_cluster(Path("multirun/s"), [([*SMALL, key], jobs[0][1])], "command", PretendedQueue())


@pytest.mark.parametrize(
    ("log", "status", "reason"),
    [
        (
            "slurmstepd-n1: error: *** JOB 30 ON n1 CANCELLED AT 2026-11-22T01:26:01 DUE TO TIME LIMIT ***",
            "timeout",
            "JOB 30 ON n1 CANCELLED AT 2026-11-22T01:26:01 DUE TO TIME LIMIT",
        ),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=9.0.", "oom", "Detected 1 oom_kill event"),
        ("srun: error: vm: task 0: Killed\nsrun: Force Terminated StepId=28.0", "killed", "task 0: Killed"),
        ("srun: error: bloom04: task 0: Killed", "killed", "task 0: Killed"),
        ("Traceback: something of ours", "killed", "it left the queue without a result"),
    ],
)
def test_last_words_of_slurm(log, status, reason):
    found = loss(log)
    assert found.status == status and reason in found.reason
