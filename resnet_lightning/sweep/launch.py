"""From the jobs of a grid to their comparison: lock, plan, data, pool, report."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resnet_lightning.checks import check_batch, check_channels
from resnet_lightning.config import Config, ConfigError, DeviceMissing, LauncherConfig, images_of
from resnet_lightning.lock import ANOTHER_NAME, hold
from resnet_lightning.sweep.monitor import Monitor
from resnet_lightning.sweep.outcome import mark_unavailable
from resnet_lightning.sweep.plan import Job, plan_jobs, refuse_other_images, write_plan
from resnet_lightning.sweep.pool import Pool
from resnet_lightning.sweep.slots import Slot, make_slots
from resnet_lightning.text import count, tell


def run_sweep(folder: Path, jobs: Sequence[tuple[Sequence[str], Config]], command: str) -> int:
    """Run what is missing, then write the comparison of all.

    Args:
        command: of the sweep, for its record.

    Returns:
        the exit code: 0 if every job is done that this machine has a device for, 1 if not, 130, 143 or 129 if the user
        stopped the sweep.

    Raises:
        ConfigError: another launcher holds the sweep, a folder holds other settings, a device does not exist.
        DataError: data are missing or damaged; nothing has been started.
    """
    launcher = jobs[0][1].launcher
    with hold(folder, ANOTHER_NAME):
        planned = plan_jobs(folder, jobs)
        refuse_other_images(folder, planned)
        shares = share_devices(launcher, planned)
        write_plan(folder, command, planned)
        waiting = [job for job in planned if not job.finished and not unavailable(folder, job)]
        say_plan(folder, planned, waiting, len(shares[0].slots), len(jobs))
        stop_signal = None
        if waiting:
            prepare_data([job.config for job in waiting])
            stop_signal = run_pools(folder, shares, waiting, launcher)
        compared = report(folder)
    if stop_signal is not None:
        return 128 + stop_signal
    return 0 if compared and all(job.status in ("done", "unavailable") for job in planned) else 1


class Share(NamedTuple):
    """Jobs, and the slots that they run on."""

    jobs: list[Job]
    slots: list[Slot]


def share_devices(launcher: LauncherConfig, jobs: Sequence[Job]) -> list[Share]:
    """All jobs on all slots; jobs that ask for the CPU after those of GPUs, one at a time on all cores.

    A comparison of devices would else be one with a CPU that also feeds the GPUs.

    Raises:
        ConfigError: as ``make_slots``.
    """
    on_cpu = [job for job in jobs if job.config.accelerator == "cpu"]
    others = [job for job in jobs if job.config.accelerator != "cpu"]
    slots = make_slots(launcher, [job.config for job in others or on_cpu])
    if on_cpu and any(slot.needs_gpu for slot in slots):
        return [Share(others, slots), Share(on_cpu, [Slot("cpu", None, (), launcher.threads_per_job)])]
    return [Share(list(jobs), slots)]


def run_pools(folder: Path, shares: Sequence[Share], waiting: Sequence[Job], launcher: LauncherConfig) -> int | None:
    """Run what waits, one share after the other; returns the signal with which the user stopped it."""
    with Monitor(folder, len(waiting)) as monitor:
        for share in shares:
            monitor.slots = len(share.slots)
            pool = Pool(folder, share.slots, launcher.job_timeout, launcher.retries, monitor)
            pool.run([job for job in share.jobs if job in waiting])
            if pool.stop_signal is not None:
                return pool.stop_signal
    return None


def unavailable(folder: Path, job: Job) -> bool:
    """Whether this machine lacks the device of a job of a sweep over devices; its record then says so."""
    from resnet_lightning.hardware import check_hardware

    try:
        check_hardware(job.config.accelerator, job.config.devices, job.config.precision)
    except DeviceMissing as error:
        mark_unavailable(folder, job, str(error))
        return True
    if job.status == "unavailable":  # on the machine where the sweep was before
        job.status = "waiting"
    return False


def say_plan(folder: Path, planned: Sequence[Job], waiting: Sequence[Job], slots: int, points: int) -> None:
    lacking = sum(job.status == "unavailable" for job in planned)
    done = len(planned) - len(waiting) - lacking
    text = f"{folder}: {count(len(planned), 'job')}"
    text += f" ({points} points of the grid, some of which compute the same)" if points > len(planned) else ""
    text += f", {done} already finished" if done else ""
    text += f", {lacking} for devices that this machine does not have" if lacking else ""
    tell(f"{text}, {len(waiting)} to run, {slots} at a time")


def prepare_data(configs: Sequence[Config]) -> None:
    """Find, fetch and check every data set once, so that jobs only open it.

    Raises:
        ConfigError: a batch, a limit, a split or the statistics do not fit the images; of a folder nobody knew them.
    """
    from resnet_lightning.data import cache

    images: dict[object, int] = {}
    for config in configs:
        data = config.data
        key = images_of(vars(data))
        if key not in images:
            loaded = cache.load(data)
            images[key] = len(loaded.train.labels)
            check_channels(data, loaded.train.images.shape[1])
        check_batch(config, images[key])


def report(folder: Path) -> bool:
    """Write the comparison; False where the runs do not compare, which a line says."""
    from resnet_lightning.report import write_report

    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs have ended: Ctrl-C ends the program
    try:
        tell(write_report(folder).console)
    except ConfigError as error:
        tell(f"There is no comparison: {error}")
        return False
    return True
