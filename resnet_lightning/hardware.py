"""What this machine has: devices, precision, threads, memory."""

import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from resnet_lightning.config import SLOT, ConfigError, DeviceLost, DeviceMissing, device_count

BF16_OF_AMD = ("gfx908", "gfx90a", "gfx94", "gfx95", "gfx11", "gfx12")  # MI100, MI200, MI300, MI350, RDNA 3 and 4
LIGHTNING_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@contextmanager
def float32_throughout() -> Iterator[None]:
    """Convolutions on GPUs multiply as a run of ``precision=32`` does, not with 10 bits of the mantissa (TF32)."""
    part: Any = torch.backends.cudnn
    name: str = "allow_tf32"
    exact: bool | str = False
    try:
        before = part.allow_tf32
    except RuntimeError:  # somebody has set convolutions on their own: torch then refuses to tell the whole
        part, name, exact = part.conv, "fp32_precision", "ieee"
        before = part.fp32_precision
    setattr(part, name, exact)
    try:
        yield
    finally:
        setattr(part, name, before)


def is_first_process() -> bool:
    """True but in the further processes of a run on several devices; only the first one writes files and speaks."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


def is_out_of_memory(error: BaseException) -> bool:
    """Lightning knows most of the sentences that say so; not those of Apple's GPUs and of cuBLAS."""
    from lightning.pytorch.utilities.memory import is_oom_error

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = isinstance(error, RuntimeError) and ("out of memory" in str(error) or "ALLOC_FAILED" in str(error))
    return said or (isinstance(error, Exception) and is_oom_error(error))


def cuda_is_available() -> bool:
    """Whether CUDA can be used. Where Lightning has been imported torch asks the driver only, which also counts GPUs
    that this torch cannot use: the driver is too old for it, or a part of it is not loaded."""
    asked = os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    try:
        return torch.cuda.is_available()
    finally:
        if asked is not None:
            os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = asked


def pick_accelerator(accelerator: str) -> str:
    """``cuda``, ``mps`` or ``cpu`` for what the user asked.

    Raises:
        ConfigError: the machine has no such device.
        DeviceLost: the GPU that a launcher gave this job is gone.
    """
    has_cuda = accelerator in ("auto", "gpu", "cuda") and cuda_is_available()  # it starts the driver
    if SLOT in os.environ and accelerator in ("auto", "gpu", "cuda") and not has_cuda:
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise DeviceLost(f"{os.environ[SLOT]} is gone: torch finds no GPU with CUDA_VISIBLE_DEVICES={gpu}.")
    found = "cuda" if has_cuda else "mps" if torch.backends.mps.is_available() else "cpu"
    if accelerator == "auto":
        return found
    if accelerator == "gpu":
        accelerator = found if found != "cpu" else "gpu"
    if accelerator in ("gpu", "cuda") and not has_cuda:
        raise DeviceMissing(
            f"accelerator={accelerator} is not possible: torch finds no GPU here. Use accelerator=cpu or auto."
        )
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise DeviceMissing(
            "accelerator=mps is not possible: torch finds no Apple GPU here. Use accelerator=cpu or auto."
        )
    return accelerator


def check_hardware(accelerator: str, devices: Any, precision: str) -> None:
    """Refuse devices that do not exist, and precisions that they do not compute in.

    Raises:
        ConfigError: with what the machine has.
        DeviceLost: GPUs that a launcher gave this job are gone.
    """
    kind = pick_accelerator(accelerator)
    if kind == "cuda":
        count, wanted = torch.cuda.device_count(), device_count(devices) or 1
        largest = max(devices) if isinstance(devices, list) else wanted - 1
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        given = [name for name in visible if name.strip() and not name.startswith("MIG-")]  # of those torch counts one
        if largest >= count and count < len(given) and SLOT in os.environ:
            raise DeviceLost(f"{os.environ[SLOT]} has lost GPUs: torch finds {count} of {len(given)}.")
        if largest >= count:
            raise ConfigError(f"devices={devices} is not possible: this machine has {count} GPU(s), numbered from 0.")
    elif isinstance(devices, list):
        raise ConfigError(
            f"devices={devices} is not possible on {kind}: a list names GPUs. Use a count, as in devices=1."
        )
    elif kind == "mps" and (device_count(devices) or 1) > 1:
        raise ConfigError(f"devices={devices} is not possible on mps: there is only one device.")
    if precision == "16" and kind == "cpu":
        raise ConfigError("precision=16 is not possible on a CPU: use bf16, 32 or auto.")


def processes(accelerator: str, devices: Any) -> int:
    """Of a run: one for each of its devices; ``devices=auto`` is every GPU of CUDA, else one device."""
    count = device_count(devices)
    if count is None:
        count = torch.cuda.device_count() if pick_accelerator(accelerator) == "cuda" else 1
    return count


def computes_in_bf16(kind: str, devices: Any = 1) -> bool:
    """True where bfloat16 products run on units of their own: GPUs from Ampere, CDNA and RDNA 3 on, CPUs with AMX or
    AVX512-BF16.

    Args:
        devices: as in the settings; every one of them has to.
    """
    if kind == "cuda":
        numbers = devices if isinstance(devices, list) else range(processes(kind, devices))
        return all(map(gpu_computes_in_bf16, numbers))
    if kind == "cpu" and sys.platform == "linux":
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        return "amx_bf16" in flags or "avx512_bf16" in flags
    return False


def gpu_computes_in_bf16(number: int) -> bool:
    if torch.version.hip:  # its capability is the number of the architecture, which says something else
        return torch.cuda.get_device_properties(number).gcnArchName.startswith(BF16_OF_AMD)
    return torch.cuda.get_device_capability(number)[0] >= 8


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last; not on Apple's GPUs, where some versions of torch and macOS then compute wrong gradients of
    BatchNorm (pytorch #175189)."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def pick_precision(precision: str, kind: str, devices: Any = 1) -> str:
    """``32``, ``bf16`` or ``16`` for what the user asked."""
    if precision != "auto":
        return precision
    return "bf16" if computes_in_bf16(kind, devices) else "32"


def set_threads(threads: int | None, processes: int) -> int:
    """Fix the number of CPU threads of torch in each process of a run and return it; None shares the cores evenly.

    The number is part of a result: sums are split among the threads, so another number gives other last bits.
    """
    if threads is None and not is_first_process() and "OMP_NUM_THREADS" in os.environ:
        threads = int(os.environ["OMP_NUM_THREADS"])  # the first process has divided the cores
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = threads or max(1, min(usable, torch.get_num_threads()) // processes)
    torch.set_num_threads(count)
    os.environ["OMP_NUM_THREADS"] = str(count)  # else Lightning sets another number in runs of several processes
    return count


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed, for the next step, instead of giving it back to the system.

    Every step frees its activations and asks for as much again; by default the system takes those megabytes back and
    hands them out anew, page by page and zeroed. No result changes. Other systems are left as they are.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # numbers of mallopt(3)
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in ((trim_threshold, 2**31 - 1), (top_pad, 2**26), (mmap_max, 0)):
        mallopt(parameter, value)


def device_name(device: torch.device) -> str:
    """``cuda:0 NVIDIA A100-SXM4-40GB``, ``cpu AMD EPYC (AVX2)``."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"{device.type} {cpu_name()}"


def cpu_name() -> str:
    """Model and the widest vector instructions that torch uses on it: clouds sell unlike CPUs under one name."""
    return f"{cpu_model()} ({torch.backends.cpu.get_cpu_capability()})"


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> float | None:
    """Largest memory so far in MiB: of the allocator on a GPU, else of this process; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    if device.type == "mps":  # keeps no record, but all that it has had
        return torch.mps.driver_allocated_memory() / 2**20
    return peak_resident()


def peak_resident() -> float | None:
    """Of this process, in MiB; None on Windows."""
    if sys.platform == "linux":  # where getrusage counts that of the process that started this one, too
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
            return int(found[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def process_age() -> float | None:
    """Seconds since this process started, to a hundredth; None where nobody tells (only Linux does)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


def fits(size: int, device: torch.device) -> bool:
    """True if ``size`` bytes of data may live on ``device``: half of what a CUDA device has free, a quarter of what
    is recommended of Apple's."""
    if device.type == "cuda":
        return size <= torch.cuda.mem_get_info(device)[0] / 2
    if device.type == "mps":
        return size <= torch.mps.recommended_max_memory() / 4
    return True  # the cache is memory-mapped: on a CPU it is where it has to be


def versions() -> dict[str, str]:
    import lightning
    import numpy
    import torchvision

    from resnet_lightning import __version__

    return {
        "resnet_lightning": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "lightning": lightning.__version__,
        "numpy": numpy.__version__,
        "cuda": torch.version.cuda or "",
        "system": platform.platform(),
    }
