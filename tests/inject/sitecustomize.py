"""Faults for tests. Python imports this module at its start when this folder is on PYTHONPATH; nothing else does.

RNL_FAULTS is JSON, ``{"0.03": "signal9"}``: the run with lr=0.03 gets SIGKILL at its second step. RNL_JOURNAL names a
file to which every run appends a line at its start and its end: time, event, lr, CUDA_VISIBLE_DEVICES, process.
"""

import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time
from multiprocessing.util import Finalize
from pathlib import Path

TARGET = "resnet_lightning.training.classifier"
FAULTS = json.loads(os.environ.get("RNL_FAULTS", "{}"))


def strike(kind: str) -> None:
    if kind == "raise":
        raise RuntimeError("injected")
    if kind == "oom":
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if kind == "exit":
        sys.exit(0)
    if kind == "vanish":
        os._exit(0)
    if kind.startswith("signal"):
        os.kill(os.getpid(), int(kind.removeprefix("signal")))
    if kind.startswith("once:"):  # fails until the file is there
        marker = Path(kind.removeprefix("once:"))
        if not marker.exists():
            marker.touch()
            raise RuntimeError("injected once")
    if kind.startswith("hang"):
        if kind == "hang deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.1)
    if kind.startswith("slow:"):
        time.sleep(float(kind.removeprefix("slow:")))


def note(event: str, lr: float) -> None:
    path = os.environ.get("RNL_JOURNAL")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps([time.time(), event, lr, os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()]) + "\n")


def patch(module) -> None:
    classifier = module.ImageClassifier
    training_step, start = classifier.training_step, classifier.__init__

    def faulty_step(self, batch, batch_idx):
        if batch_idx == 1 and f"{self.lr:g}" in FAULTS:
            strike(FAULTS[f"{self.lr:g}"])
        return training_step(self, batch, batch_idx)

    def noted_start(self, *arguments, **options):
        start(self, *arguments, **options)
        note("start", self.lr)
        Finalize(None, note, ("end", self.lr), exitpriority=0)  # unlike atexit in forked processes too

    classifier.training_step, classifier.__init__ = faulty_step, noted_start


class Finder(importlib.abc.MetaPathFinder):
    """Patches the classifier as soon as somebody imports it."""

    def find_spec(self, name, path, target=None):
        if name != TARGET:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = execute_and_patch
        return spec


if FAULTS or os.environ.get("RNL_JOURNAL"):
    sys.meta_path.insert(0, Finder())
