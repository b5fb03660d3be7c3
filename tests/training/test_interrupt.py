"""Signals that come late, and processes that wait for one that has ended."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from torch.utils.data import DataLoader, TensorDataset

from resnet_lightning.sweep.process import process_context
from resnet_lightning.training.classifier import ImageClassifier
from resnet_lightning.training.interrupt import Interrupted, StopOnSignal


class Late(Callback):
    """The signal comes after the last step and the last validation."""

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_signal_after_the_last_step_is_obeyed(tmp_path):
    loader = DataLoader(TensorDataset(torch.randn(8, 3, 2, 2), torch.arange(8) % 2), batch_size=4)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    classifier = ImageClassifier(network, 2)
    with StopOnSignal() as stop, pytest.raises(Interrupted, match="stopped by SIGINT") as caught:
        trainer = Trainer(
            accelerator="cpu", devices=1, max_epochs=1, callbacks=[stop, Late()], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(classifier, loader, loader)
    assert caught.value.exit_code == 130 and len(classifier.history) == 1


def test_the_other_processes_of_a_run_that_ends_early_are_ended():
    """With NCCL they would wait for half an hour where nobody comes."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    processes, stop = [other], StopOnSignal()
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=processes)))
    stop.setup(trainer, None, "fit")
    stop.end_others()
    assert other.wait(timeout=20) != 0
    assert processes == []  # Lightning ends the first process where one of these has failed


FURTHER = """
import os, threading, time
from resnet_lightning import attempt
attempt.FIRST_ENDS = 0.1
threading.Thread(target=attempt.end_after_first, daemon=True).start()
print("of the first" if attempt.PARENT == os.getppid() else "alone", flush=True)
time.sleep(100)
"""


def test_a_process_whose_first_one_was_killed_ends():
    first = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]])\n"
         "time.sleep(100)", FURTHER], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first.stdout.readline() == "of the first\n"
    first.kill()
    first.communicate(timeout=60)  # until the further process has closed its output too


ENDS_ALONE = """
import atexit, sys, time
import torch
from resnet_lightning.text import exit_with
torch.distributed.init_process_group("gloo", init_method=sys.argv[1], rank=0, world_size=1)
atexit.register(time.sleep, 100)  # as NCCL, whose connection is closed by all processes together
exit_with(int(sys.argv[2]))
"""


def test_one_of_several_processes_ends_alone_where_it_has_failed(tmp_path):
    """Python's end would close the connection to processes that wait for this one."""
    command = [sys.executable, "-c", ENDS_ALONE, f"file://{tmp_path}/store"]
    assert subprocess.run([*command, "3"], timeout=60, check=False).returncode == 3


def test_lightnings_exchange_of_signals_in_every_step_is_none():
    """It waits for the GPU; ours is once a second."""
    loop = SimpleNamespace(_broadcast_sigterm_tensor=lambda: pytest.fail("exchanged"))
    with StopOnSignal() as stop:
        stop.on_train_start(SimpleNamespace(fit_loop=SimpleNamespace(epoch_loop=loop)), None)
        loop._broadcast_sigterm_tensor()
    assert hasattr(_TrainingEpochLoop, "_broadcast_sigterm_tensor")  # else the name is another one by now


def test_the_end_of_a_terminal_stops_a_run_in_order_but_not_under_nohup():
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with StopOnSignal(), pytest.raises(Interrupted) as caught:
            signal.raise_signal(signal.SIGHUP)
        assert caught.value.exit_code == 129 and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with StopOnSignal() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def stopped_twice() -> None:
    with StopOnSignal() as stop:
        stop.received = signal.SIGINT
        signal.raise_signal(signal.SIGTERM)
        time.sleep(100)


def test_a_second_signal_ends_at_once():
    process = process_context().Process(target=stopped_twice)
    process.start()
    process.join(100)
    assert process.exitcode == 143
