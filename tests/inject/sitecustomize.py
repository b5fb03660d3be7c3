"""Faults for tests. Python imports this module at its start when this folder is on PYTHONPATH; nothing else does.

RNL_FAULTS is JSON, ``{"0.03": "signal9"}``: the run with lr=0.03 gets SIGKILL at the second step of every epoch. With a
place it happens there, and once, if ``"once"`` names a folder for a mark of each fault that has struck:

    "signal9@step 13"            before the 14th step of the run, counted over all epochs
    "signal9@half last.ckpt 2"   when half of the second last.ckpt of this attempt is written, under its temporary name
    "signal9@before last.ckpt 2" before it is renamed
    "signal9@after last.ckpt 2"  after that
    "signal9@start"              before the first step

Runs with a learning rate in the list ``"forgetful"`` go on wrongly: their dropout counts epochs from the restart.
``"figures": false`` leaves the figures of a run empty; drawing them takes longer than a tiny run.

RNL_JOURNAL names a file to which every run appends a line at its start and its end: time, event, lr,
CUDA_VISIBLE_DEVICES, process.
"""

import collections
import importlib.abc
import importlib.machinery
import json
import os
import resource
import signal
import sys
import time
from multiprocessing.util import Finalize
from pathlib import Path

FAULTS = json.loads(os.environ.get("RNL_FAULTS", "{}"))
ONCE = FAULTS.pop("once", None)
FIGURES = FAULTS.pop("figures", True)
FORGETFUL = FAULTS.pop("forgetful", [])
replace, fsync = os.replace, os.fsync
visits: collections.Counter[str] = collections.Counter()
job = {}  # the learning rate of this run, once it is known


def strike(kind: str) -> None:
    name, _, detail = kind.partition(":")
    if name.startswith("signal"):
        os.kill(os.getpid(), int(name.removeprefix("signal")))
    else:
        KINDS[name](detail)


def fail(detail: str) -> None:
    raise RuntimeError("injected")


def fail_once(marker: str) -> None:
    if not Path(marker).exists():
        Path(marker).touch()
        raise RuntimeError("injected once")


def run_out_of_gpu_memory(detail: str) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def run_out_of_memory(detail: str) -> None:
    import torch

    torch.empty(2**50)  # the real error of torch's allocator


def fill_disk(detail: str) -> None:
    """From now on the system refuses to make files larger, as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def fail_on_rank(rank: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == rank:
        raise RuntimeError("injected")


def lose_device(number: str) -> None:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == number:
        raise RuntimeError("CUDA error: no CUDA-capable device is detected")


def hang(detail: str) -> None:
    while True:
        time.sleep(0.1)


def hang_deaf(detail: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(detail)


KINDS = {
    "raise": fail,
    "once": fail_once,
    "oom": run_out_of_gpu_memory,
    "memory": run_out_of_memory,
    "full": fill_disk,
    "device": lose_device,
    "rank": fail_on_rank,
    "exit": lambda detail: sys.exit(0),
    "vanish": lambda detail: os._exit(0),
    "hang": hang,
    "hang deaf": hang_deaf,
    "slow": lambda seconds: time.sleep(float(seconds)),
}


def struck_before(fault: str) -> bool:
    """Whether a fault with a place has struck; notes that it does now."""
    if ONCE is None:
        return False
    try:
        (Path(ONCE) / f"{job['lr']:g} {fault}").touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


def arrive(place: str) -> None:
    """Strike if a fault waits for this job at this place."""
    fault = FAULTS.get(f"{job['lr']:g}", "") if job else ""
    kind, _, where = fault.partition("@")
    if where and where == place and not struck_before(fault):
        strike(kind)


def faulty_replace(source, target, **options):
    if not job:  # the record that the run writes before it knows itself
        return replace(source, target, **options)
    name = Path(target).name
    visits[f"replace {name}"] += 1
    arrive(f"before {name} {visits[f'replace {name}']}")
    replace(source, target, **options)
    return arrive(f"after {name} {visits[f'replace {name}']}")


def faulty_fsync(descriptor):
    """Where a file is whole; a fault at its half cuts it there first."""
    name = Path(f"/proc/self/fd/{descriptor}").readlink().name
    if name.endswith(".tmp") and job:
        name = ".".join(name.split(".")[1:-2])
        visits[f"sync {name}"] += 1
        place = f"half {name} {visits[f'sync {name}']}"
        fault = FAULTS.get(f"{job['lr']:g}", "")
        if fault.endswith(f"@{place}") and not struck_before(fault):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            strike(fault.partition("@")[0])
    fsync(descriptor)


def note(event: str, lr: float) -> None:
    path = os.environ.get("RNL_JOURNAL")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps([time.time(), event, lr, os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()]) + "\n")


def patch_classifier(module) -> None:
    classifier = module.ImageClassifier
    training_step, start = classifier.training_step, classifier.__init__

    def faulty_step(self, batch, batch_idx):
        fault = FAULTS.get(f"{self.lr:g}", "")
        if batch_idx == 1 and fault and "@" not in fault:
            strike(fault)
        arrive(f"step {self.global_step}")
        return training_step(self, batch, batch_idx)

    def noted_start(self, *arguments, **options):
        start(self, *arguments, **options)
        job["lr"] = self.lr
        arrive("start")
        note("start", self.lr)
        Finalize(None, note, ("end", self.lr), exitpriority=0)  # unlike atexit in forked processes too

    load, stream_seed = classifier.on_load_checkpoint, module.stream_seed

    def noted_load(self, checkpoint):
        load(self, checkpoint)
        job["forgotten"] = len(self.history) if f"{self.lr:g}" in FORGETFUL else 0

    classifier.training_step, classifier.__init__ = faulty_step, noted_start
    classifier.on_load_checkpoint = noted_load
    module.stream_seed = lambda seed, epoch, purpose: stream_seed(seed, epoch - job.get("forgotten", 0), purpose)


def patch_figures(module) -> None:
    if not FIGURES:
        for name in ("draw_curves", "draw_confusion", "draw_predictions"):
            setattr(module, name, lambda *arguments: arguments[-1].touch())


PATCHES = {
    "resnet_lightning.training.classifier": patch_classifier,
    "resnet_lightning.training.figures": patch_figures,
}


class Finder(importlib.abc.MetaPathFinder):
    """Patches a module as soon as somebody imports it."""

    def find_spec(self, name, path, target=None):
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            PATCHES[name](module)

        spec.loader.exec_module = execute_and_patch
        return spec


if FAULTS:
    os.replace, os.fsync = faulty_replace, faulty_fsync
if FAULTS or not FIGURES or os.environ.get("RNL_JOURNAL"):
    sys.meta_path.insert(0, Finder())
