"""Device slots: where a job can run, and never two jobs where there is room for one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_lightning.config import Config, ConfigError, LauncherConfig, device_count


@dataclass(frozen=True)
class Slot:
    """Room for one job.

    Attributes:
        name: how the table calls it.
        devices: value of CUDA_VISIBLE_DEVICES; None leaves it as it is.
        cores: CPU cores of its own; empty = all.
        threads: CPU threads of the job; None = its own ``threads=`` decides.
    """

    name: str
    devices: str | None
    cores: tuple[int, ...]
    threads: int | None


def usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_gpus() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES: what the user's variable lists, else numbers."""
    import torch

    count = torch.cuda.device_count()  # makes no CUDA context
    listed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return listed[:count] if listed else [str(number) for number in range(count)]


def make_slots(launcher: LauncherConfig, configs: Sequence[Config]) -> list[Slot]:
    """Divide the machine.

    Raises:
        ConfigError: jobs that ask for more than there is.
    """
    wanted = max(device_count(config.devices) or 1 for config in configs)
    names = [str(device) for device in launcher.devices] if launcher.devices != "auto" else []
    if not names and any(config.accelerator not in ("cpu", "mps") for config in configs):
        names = visible_gpus()
    return gpu_slots(launcher, names, wanted) if names else cpu_slots(launcher)


def gpu_slots(launcher: LauncherConfig, names: list[str], wanted: int) -> list[Slot]:
    size = max(launcher.devices_per_job, wanted)
    if size > len(names):
        raise ConfigError(f"A job asks for {size} devices, the sweep has {len(names)}: {', '.join(names)}.")
    shares = [",".join(names[start : start + size]) for start in range(0, len(names) - size + 1, size)]
    count = len(shares) * launcher.jobs_per_device
    threads = launcher.threads_per_job or max(1, len(usable_cores()) // count)
    return [
        Slot(f"device {share}", share, (), threads) for _ in range(launcher.jobs_per_device) for share in shares
    ]  # first one job on every device, then the second ones


def cpu_slots(launcher: LauncherConfig) -> list[Slot]:
    cores, count = usable_cores(), launcher.jobs_per_device
    if count == 1:
        return [Slot("cpu", None, (), launcher.threads_per_job)]
    threads = launcher.threads_per_job
    if threads is None:
        raise ConfigError(
            f"launcher.jobs_per_device={count} on a CPU needs launcher.threads_per_job: threads are part of a result."
        )
    if count * threads > len(cores):
        raise ConfigError(
            f"launcher.jobs_per_device={count} and launcher.threads_per_job={threads} ask for {count * threads} cores; "
            f"this machine has {len(cores)}."
        )
    shares = [tuple(cores[number * threads : (number + 1) * threads]) for number in range(count)]
    return [Slot(f"cpu {number}", None, share, threads) for number, share in enumerate(shares)]
