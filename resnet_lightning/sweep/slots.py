"""Device slots: where a job can run, and never two jobs where there is room for one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_lightning.checks import check_different
from resnet_lightning.config import Config, ConfigError, LauncherConfig, device_count

VISIBLE, HIP_VISIBLE = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"


def visible(devices: str) -> dict[str, str]:
    """The environment of a process that shall see these GPUs. AMD's variable, where it is set, would prevail."""
    return {VISIBLE: devices} | ({HIP_VISIBLE: devices} if HIP_VISIBLE in os.environ else {})


@dataclass(frozen=True)
class Slot:
    """Room for one job.

    Attributes:
        name: how the table calls it.
        visible_devices: value of CUDA_VISIBLE_DEVICES; None leaves it as it is.
        cores: CPU cores of its own; empty = all.
        threads: CPU threads of each process of the job; None = its own ``threads=`` decides.
        needs_gpu: the launcher has found these GPUs; a job that does not must not train on the CPU instead.
    """

    name: str
    visible_devices: str | None
    cores: tuple[int, ...]
    threads: int | None
    needs_gpu: bool = False


def usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_gpus() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES: what the user's variable lists, else numbers; none where torch finds no GPU."""
    import torch

    from resnet_lightning.hardware import cuda_is_available

    count = torch.cuda.device_count() if cuda_is_available() else 0  # makes no CUDA context
    of_amd = os.environ.get(HIP_VISIBLE) if torch.version.hip else None  # goes before the other
    listed = [name.strip() for name in (of_amd or os.environ.get(VISIBLE, "")).split(",") if name.strip()]
    if count and listed and all(map(is_mig, listed)):
        return listed  # a process sees one of them, and counts one
    return listed[:count] if listed else [str(number) for number in range(count)]


def is_mig(name: str) -> bool:
    """Whether it is a part of a GPU."""
    return name.startswith("MIG-")


def make_slots(launcher: LauncherConfig, configs: Sequence[Config]) -> list[Slot]:
    """Divide the machine.

    Raises:
        ConfigError: jobs that ask for more than there is, or for GPUs of another number, or GPUs where there is none.
    """
    visible = visible_gpus() if any(config.accelerator not in ("cpu", "mps") for config in configs) else []
    if launcher.devices != "auto" and not visible and any(config.accelerator == "auto" for config in configs):
        raise ConfigError(f"launcher.devices={launcher.devices} is not possible: torch finds no GPU here.")
    names = visible if launcher.devices == "auto" else chosen_gpus(launcher.devices, visible)
    if not names:
        return cpu_slots(launcher, size_of(configs))
    for devices in (config.devices for config in configs if isinstance(config.devices, list)):
        raise ConfigError(
            f"devices={devices} is not possible in a sweep: it must be a count; launcher.devices chooses the GPUs."
        )
    return gpu_slots(launcher, names, size_of(configs), found=bool(visible))


def size_of(configs: Sequence[Config]) -> int:
    """How many devices, on a CPU processes, the largest job asks for."""
    return max(device_count(config.devices) or 1 for config in configs)


def chosen_gpus(devices: list[int | str], visible: list[str]) -> list[str]:
    """Names of ``launcher.devices``: a number counts the visible GPUs, where there are any; a text is the driver's own.

    Raises:
        ConfigError: there is no GPU of this number.
    """
    numbers = [device for device in devices if isinstance(device, int)]
    if visible and not all(0 <= number < len(visible) for number in numbers):
        of = f"CUDA_VISIBLE_DEVICES={','.join(visible)} leaves" if "CUDA_VISIBLE_DEVICES" in os.environ else "there are"
        raise ConfigError(f"launcher.devices={devices} is not possible: {of} {len(visible)} GPU(s), numbered from 0.")
    names = [visible[device] if visible and isinstance(device, int) else str(device) for device in devices]
    check_different(devices, names)
    return names


def gpu_slots(launcher: LauncherConfig, names: list[str], size: int, found: bool) -> list[Slot]:
    if size > len(names):
        raise ConfigError(f"A job asks for {size} devices, but the sweep has {len(names)}: {', '.join(names)}.")
    if size > 1 and any(map(is_mig, names)):
        raise ConfigError(f"A job asks for {size} devices, but it can use only one MIG device ({', '.join(names)}).")
    shares = [",".join(names[start : start + size]) for start in range(0, len(names) - size + 1, size)]
    processes = len(shares) * launcher.jobs_per_device * size
    threads = launcher.threads_per_job or max(1, len(usable_cores()) // processes)
    return [
        Slot(f"device {share}", share, (), threads, found) for _ in range(launcher.jobs_per_device) for share in shares
    ]  # first one job on every device, then the second ones


def cpu_slots(launcher: LauncherConfig, size: int) -> list[Slot]:
    """
    Args:
        size: processes of a job, each of which has ``launcher.threads_per_job`` threads.
    """
    cores, count, threads = usable_cores(), launcher.jobs_per_device, launcher.threads_per_job
    if count == 1 and (threads is None or size * threads <= len(cores)):
        return [Slot("cpu", None, (), threads)]
    if threads is None:
        raise ConfigError(
            f"launcher.jobs_per_device={count} on a CPU needs launcher.threads_per_job: threads affect the result."
        )
    if count * size * threads > len(cores):
        processes = f", {size} processes a job," if size > 1 else ""
        raise ConfigError(
            f"launcher.jobs_per_device={count} and launcher.threads_per_job={threads}{processes} ask for "
            f"{count * size * threads} cores; this machine has {len(cores)}."
        )
    shares = own_cores(count, size * threads)
    return [Slot(f"cpu {number}", None, share, threads) for number, share in enumerate(shares)]


def own_cores(jobs: int, threads: int) -> list[tuple[int, ...]]:
    """Those of each of ``jobs`` at the same time."""
    cores = usable_cores()
    return [tuple(cores[number * threads : (number + 1) * threads]) for number in range(jobs)]
