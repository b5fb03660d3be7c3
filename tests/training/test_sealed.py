"""What a checkpoint of a GPU is, told by tensors that only say they are on one."""

import signal

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from resnet_lightning.training.interrupt import Interrupted
from resnet_lightning.training.sealed import canonical, read_sealed, write_sealed


def test_tensors_of_a_gpu_are_written_as_those_of_the_cpu():
    with FakeTensorMode():
        weight = torch.nn.Parameter(torch.empty(2, 3, 4, 4, device="cuda:1").to(memory_format=torch.channels_last))
        (written,) = canonical({"state": [weight]})["state"]
    assert written.device == torch.device("cpu") and not written.requires_grad
    assert written.stride() == weight.stride()


def test_a_file_that_finds_no_memory_is_not_damaged(tmp_path, monkeypatch):
    write_sealed({"weight": torch.ones(2)}, tmp_path / "a.ckpt")
    sentence = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."

    def load(*_, **__):
        raise RuntimeError(sentence)

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(RuntimeError, match="allocate"):
        read_sealed(tmp_path / "a.ckpt")


def test_tensors_of_the_cpu_are_written_as_they_are():
    weight = torch.nn.Parameter(torch.ones(2))
    assert canonical([weight])[0] is weight


def test_a_file_that_a_signal_comes_upon_is_not_damaged(tmp_path, monkeypatch):
    write_sealed({"epoch": 1}, tmp_path / "last.ckpt")

    def interrupted(*_, **__):
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(torch, "load", interrupted)
    with pytest.raises(Interrupted):
        read_sealed(tmp_path / "last.ckpt")
