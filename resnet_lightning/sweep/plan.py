"""Which jobs a sweep has, where each lands, and which are done already.

The folder of a job is named by what it is: the overrides in which it differs from the others, shortened, and the hash
of all its settings. The same command again finds its folders by their hashes; a grown grid adds some.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_lightning.config import PUBLISHED, Config, config_hash, images_of, is_place, key_of, plain_settings
from resnet_lightning.files import atomic_write, put_aside, write_json
from resnet_lightning.report.frame import PLAN_FILE, read_plan
from resnet_lightning.report.reference import add_reference, find_reference
from resnet_lightning.result import FILE_NAME, FINISHED, RunResult, status_in
from resnet_lightning.resume import alone
from resnet_lightning.text import count, tell

SLUG_LENGTH = 80  # characters: with the hash well below the 255 bytes that file systems allow
SWEEP_KEYS = ("name", "launcher", "dry_run", "hydra")  # these belong to the sweep, not to its jobs
COMMANDS_FILE = "commands.sh"
JOB_LOG = "job.log"  # in the folder of a job: what it printed


@dataclass
class Job:
    """One point of the grid.

    Attributes:
        overrides: what the user set for it, without the keys that name the sweep.
        label: those in which it differs from other jobs.
        name: of its folder below the sweep.
        status: of its record, ``waiting`` where there is none yet.
    """

    overrides: list[str]
    label: str
    config: Config
    name: str
    status: str
    attempts: int = 0

    @property
    def digest(self) -> str:
        return config_hash(plain_settings(self.config))

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


def job_overrides(overrides: Sequence[str]) -> list[str]:
    """Without the keys of the sweep itself: its name, its launcher."""
    return [item for item in overrides if re.split(r"[./]", key_of(item))[0] not in SWEEP_KEYS]


def slug(overrides: Sequence[str], data: str) -> str:
    """``["model=resnet18", "lr=0.1"]`` -> ``model-resnet18_lr-0.1``: letters, digits and ``.+_-`` only."""
    parts = (item for item in overrides if not is_place(key_of(item), data))
    text = "_".join(re.sub(r"[^A-Za-z0-9.+_]+", "-", item).strip("-") for item in parts)
    return text[:SLUG_LENGTH].strip("._-") or "defaults"


def digest_of(name: str) -> str:
    """The hash at the end of a folder's name: the same job, whatever else the name says."""
    return name.rpartition("_")[2]


def plan_jobs(folder: Path, jobs: Sequence[tuple[Sequence[str], Config]]) -> list[Job]:
    """Find the folder and the state of every job; a point of the grid that stands in it twice is one job.

    Raises:
        ConfigError: a folder holds a run with other settings.
    """
    planned_before = [job["folder"] for job in read_plan(folder).jobs]
    on_disk = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    own = [name for name in planned_before if name in on_disk]  # rather than a copy that somebody has put beside it
    existing = {digest_of(name): name for name in (*planned_before, *on_disk, *own)}
    planned: dict[str, Job] = {}
    common = set.intersection(*(set(overrides) for overrides, _ in jobs)) if len(jobs) > 1 else set()
    for overrides, config in jobs:
        settings, kept = plain_settings(config), job_overrides(overrides)
        digest = config_hash(settings)
        if digest not in planned:
            varied = [item for item in kept if item not in common]
            name = existing.get(digest, f"{slug(varied, config.data.name)}_{digest}")
            planned[digest] = Job(
                kept, " ".join(varied) or "(defaults)", config, name, status_in(folder / name, settings)
            )
    return list(planned.values())


def refuse_other_images(folder: Path, jobs: Sequence[Job]) -> None:
    """What a sweep has already, also of an earlier grid, would stand in one table with what sees the images of today.

    Raises:
        ConfigError: the images of a folder have changed since a run on them.
    """
    from resnet_lightning.data import cache  # imports torch

    own = {images_of(vars(job.config.data)): job.config.data for job in jobs if job.config.data.name not in PUBLISHED}
    seen = set()
    for path in sorted(folder.glob(f"*/{FILE_NAME}")) if own else ():
        try:
            record = RunResult.read(path.parent)
            images, digest = images_of(record.config["data"]), record.data.get("digest")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged: the report says so
            continue
        counts = record.status in FINISHED or (path.parent / "last.ckpt").exists()
        if counts and images in own and (images, digest) not in seen:
            seen.add((images, digest))
            cache.refuse_other_images(own[images], digest, path.parent)


def sweep_command(overrides: Mapping[str, Sequence[str]]) -> str:
    """The command line of a sweep, from what Hydra keeps of it (``hydra.overrides``)."""
    own = [item for item in overrides["hydra"] if not item.startswith("hydra.mode=")]
    return shlex.join(["python", "-m", "resnet_lightning", "--multirun", *overrides["task"], *own])


def write_plan(folder: Path, command: str, jobs: Sequence[Job]) -> None:
    """Write ``sweep.json`` and ``commands.sh``, where jobs of an earlier, smaller grid stay, and copy the reference.

    Args:
        command: that of the sweep; those that it was given before are kept.
    """
    if jobs[0].config.reference is not None:
        add_reference(folder, find_reference(jobs[0].config.reference))
    before = read_plan(folder)
    if not before.jobs and (folder / PLAN_FILE).exists():
        tell(f"{folder / PLAN_FILE} cannot be read: put aside as {PLAN_FILE}.bad")
        put_aside(folder / PLAN_FILE)
    rows = [*before.jobs, *(describe(folder, job) for job in jobs)]
    merged = {digest_of(row["folder"]): row for row in rows}
    commands = list(dict.fromkeys([*before.commands, command]))
    write_json(folder / PLAN_FILE, {"commands": commands, "jobs": list(merged.values())})
    lines = ["#!/bin/sh", "# Every job of this sweep as a command of its own, in any order, on any queue.", ""]
    with atomic_write(folder / COMMANDS_FILE, "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, *(str(row["command"]) for row in merged.values()), ""]))


def describe(folder: Path, job: Job) -> dict[str, Any]:
    command = shlex.join(["python", "-m", "resnet_lightning", *single_run(folder, job)])
    return {"folder": job.name, "overrides": job.overrides, "command": command}


def single_run(folder: Path, job: Job) -> list[str]:
    """The arguments with which this job runs alone, into the same folder, on ``launcher.threads_per_job`` threads."""
    threads = job.config.launcher.threads_per_job if job.config.threads is None else None
    return [*alone(job.overrides, folder / job.name), *([] if threads is None else [f"threads={threads}"])]


def listing(folder: Path, jobs: Sequence[Job]) -> str:
    """What ``dry_run=true`` prints: every job, its state, its folder."""
    width = max(len(job.status) for job in jobs)
    lines = [f"{job.status:<{width}}  {folder / job.name}" for job in jobs]
    left = sum(not job.finished for job in jobs)
    return "\n".join([*lines, f"{count(len(jobs), 'job')}, {len(jobs) - left} finished, {left} to run."])
