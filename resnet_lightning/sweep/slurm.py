"""Jobs as an array in the queue of SLURM, through submitit.

They outlive the launcher: started again, it finds them in the queue.
"""

import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_lightning.config import ConfigError
from resnet_lightning.files import write_json
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.cluster import Loss, Ticket, extra_package, first_line
from resnet_lightning.sweep.node import Task, run_task
from resnet_lightning.text import tell

ASK_EVERY = 10.0  # seconds between two calls of squeue, which is shared by all users
FILES_LAG = 20.0  # seconds until a shared file system shows the result of a job that has left the queue
LARGEST_ARRAY = 1000  # jobs; SLURM's default limit is 1001
FOLDER, TICKETS = ".submitit", "tickets.json"
COMMON = (
    "name",
    "timeout_min",
    "mem_gb",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "stderr_to_stdout",
)  # of all queues


class SlurmQueue:
    """SLURM, as this machine sees it.

    Args:
        options: of ``hydra.launcher``: parameters of submitit's executor; null leaves one to the cluster.
        gpus: of a job, for ``gpus_per_node=auto`` where the partition has GPUs.
    """

    name = "SLURM"

    def __init__(self, options: dict[str, Any], gpus: int) -> None:
        self.submitit = extra_package("submitit", "slurm")
        self.options = {key: value for key, value in options.items() if value is not None}
        self.gpus = gpus
        self.threads: int | None = self.options.get("cpus_per_task")
        self.known: set[str] | None = None  # ids in the queue; None = SLURM did not answer
        self.asked = float("-inf")

    def connect(self) -> None:
        if self.in_queue(refresh=True) is None:
            raise ConfigError("hydra/launcher=slurm needs a machine that can reach SLURM: squeue fails here.")

    def submit(self, folder: Path, tasks: Sequence[Task]) -> list[Ticket]:
        self.connect()  # else a job that is in the queue would be submitted again
        place = folder.resolve() / FOLDER
        before = read_tickets(place / TICKETS)
        alive = self.known or set()
        ids = {task.job.name: before[task.job.name] for task in tasks if before.get(task.job.name) in alive}
        if ids:
            tell(f"{len(ids)} of them are in the queue already")
        new = [task for task in tasks if task.job.name not in ids]
        for first in range(0, len(new), LARGEST_ARRAY):
            part = new[first : first + LARGEST_ARRAY]
            jobs = self.send(place, part)
            ids |= {task.job.name: job.job_id for task, job in zip(part, jobs, strict=True)}
            write_json(place / TICKETS, before | ids)
            tell(f"{len(part)} submitted as SLURM job {jobs[0].job_id.partition('_')[0]}")
        self.in_queue(refresh=True)
        return [SlurmTicket(self, self.submitit.SlurmJob(place, ids[task.job.name])) for task in tasks]

    def send(self, place: Path, tasks: Sequence[Task]) -> Sequence[Any]:
        options = dict(self.options)
        if "cpus_per_task" in options:  # since 22.05 srun does not take it over from sbatch
            options["srun_args"] = [*options.get("srun_args", []), f"--cpus-per-task={options['cpus_per_task']}"]
        try:
            if options.get("gpus_per_node") == "auto":
                options["gpus_per_node"] = self.gpus if self.gpus and has_gpus(options.get("partition")) else 0
            if options.get("gpus_per_node") == 0:
                del options["gpus_per_node"]
            executor = self.submitit.AutoExecutor(folder=place, cluster="slurm", slurm_max_num_timeout=0)
            executor.update_parameters(**{key if key in COMMON else f"slurm_{key}": options[key] for key in options})
            gets_gpus = True if options.get("gpus_per_node") else None  # there are other options that ask for GPUs
            jobs: Sequence[Any] = executor.map_array(run_task, [replace(task, gets_gpus=gets_gpus) for task in tasks])
        except (RuntimeError, ValueError, NameError, AssertionError, subprocess.SubprocessError) as error:
            raise ConfigError(f"SLURM rejected the jobs: {first_line(error)}") from error
        return jobs

    def in_queue(self, refresh: bool = False) -> set[str] | None:
        """Ids of the user's jobs that wait or run; None if SLURM does not answer."""
        if refresh or time.monotonic() - self.asked > ASK_EVERY:
            self.asked = time.monotonic()
            try:
                self.known = set(ask(["squeue", "--noheader", "--array", "--me", "--format=%i"]))
            except (OSError, subprocess.SubprocessError):
                self.known = None
        return self.known


class SlurmTicket:
    """A job of SLURM."""

    def __init__(self, queue: SlurmQueue, job: Any) -> None:
        self.queue, self.job = queue, job
        self.left: float | None = None  # when it was first missed in the queue
        self.lag = FILES_LAG

    def poll(self) -> RunResult | Loss | None:
        if self.job.paths.result_pickle.exists():
            return self.read()
        alive = self.queue.in_queue()
        if alive is None or self.job.job_id in alive:
            self.left = None
            return None
        self.left = self.left or time.monotonic()
        look_again(self.job.paths.folder)
        if time.monotonic() - self.left < self.lag:
            return None
        return loss(self.job.stderr() or "")

    def read(self) -> RunResult | Loss:
        try:
            result: RunResult = self.job.result()
            return result
        except self.queue.submitit.core.utils.FailedJobError as error:
            if "timed-out" in str(error):
                return Loss("timeout", "stopped at the time limit of the queue")
            return Loss("failed", f"the node could not run it; see {self.job.paths.stderr}")

    def cancel(self) -> None:
        self.job.cancel(check=False)
        self.lag = 0.0  # no result is expected


def read_tickets(path: Path) -> dict[str, str]:
    """Ids of jobs by the names of their folders, as the last launcher left them."""
    try:
        ids: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return ids
    except (OSError, ValueError):
        return {}


def ask(command: list[str]) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def has_gpus(partition: str | None) -> bool:
    """True if the partition, by default the cluster's default one (``main*``), has nodes with GPUs."""
    rows = [row.split("|") for row in ask(["sinfo", "--noheader", "--format=%P|%G"])]
    wanted = partition.split(",") if partition else [name.strip("*") for name, _ in rows if name.endswith("*")]
    return any("gpu" in gres for name, gres in rows if name.strip("*") in wanted)


def loss(log: str) -> Loss:
    """How SLURM ended a job, from its log: ``slurmstepd: error: *** JOB 7 ON n1 CANCELLED DUE TO TIME LIMIT ***``."""
    words = re.findall(r"\*\*\* (.*) \*\*\*", log) or re.findall(r"^(?:slurmstepd|srun)\S* (.*)", log, re.MULTILINE)
    reason = f"ended by SLURM: {words[0]}" if words else "it left the queue without a result"
    if "TIME LIMIT" in reason:
        return Loss("timeout", reason)
    return Loss("oom" if re.search(r"\boom\b|\boom[-_]|out of memory", log, re.IGNORECASE) else "killed", reason)


def look_again(folder: Path) -> None:
    """Make a network file system forget what it remembers of a folder."""
    try:
        folder.chmod(folder.stat().st_mode)
    except OSError:
        return
