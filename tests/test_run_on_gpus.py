"""What a run does where there are GPUs, up to the first call of one."""

import json
import logging

import pytest
import torch

from resnet_lightning import build, hardware
from resnet_lightning.attempt import end_of
from resnet_lightning.config import ConfigError
from resnet_lightning.recording import bits_depend_on
from resnet_lightning.result import RunResult
from resnet_lightning.run import run
from resnet_lightning.training.checkpoint import Checkpoints
from tests.conftest import TINY


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


def test_batch_must_be_shared_evenly_by_all_of_them(three_gpus, settings, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hardware, "set_threads", lambda threads, processes: asked.append(processes) or 1)
    with pytest.raises(ConfigError, match="batch=64 cannot be divided evenly among 3 devices"):
        run(settings(*TINY, "devices=auto"), tmp_path / "run", [], {})
    assert asked == [3] and RunResult.read(tmp_path / "run").exit_code == 2


def test_resumed_run_says_that_it_had_other_devices(tmp_path, caplog):
    """The number of processes is written down where the settings leave it open, and there is more than one."""
    parts = dict.fromkeys(("torch", "lightning", "cuda", "resnet_lightning"), "x")

    def environment(devices, processes):
        return bits_depend_on(RunResult("running", [], {"devices": devices}, 0, versions=parts), processes)

    assert environment("auto", 3)["processes"] == 3
    assert all("processes" not in environment(*asked) for asked in (("auto", 1), (2, 2)))
    records = (RunResult("running", [], {}, 0, versions=parts, device=f"cuda:{number} A100") for number in (0, 1))
    assert len({str(bits_depend_on(record, 1)) for record in records}) == 1  # which of two equal GPUs does not matter
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.environment = environment("auto", 1)
    caplog.set_level(logging.INFO)
    checkpoints._say_where(tmp_path / "last.ckpt", {"epoch": 0, "environment": json.dumps(environment("auto", 3))})
    assert "the last bits may differ from those of an undisturbed run (processes: 3 / None;" in caplog.text
    older, code = environment("auto", 1) | {"code": "0.1 1a2b"}, environment("auto", 1)["code"]
    checkpoints._say_where(tmp_path / "last.ckpt", {"epoch": 0, "environment": json.dumps(older)})
    assert f"(code: 0.1 1a2b / {code}; before / now)" in caplog.text


@pytest.mark.parametrize(("precision", "tf32"), [("32", False), ("bf16", True)])
def test_32_bits_are_32_bits(three_gpus, settings, tmp_path, monkeypatch, precision, tf32):
    monkeypatch.setattr(build, "Trainer", lambda **options: options)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    build.build_trainer(settings(*TINY), tmp_path, precision, [])
    assert torch.backends.cudnn.allow_tf32 is tf32
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_a_cpu_is_left_as_it_is(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "Trainer", lambda **options: options)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    build.build_trainer(settings(*TINY, "accelerator=cpu"), tmp_path, "32", [])
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GiB, other allocations: 1.00 GiB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_no_memory_is_no_memory_whoever_says_it(error):
    """Such a job is not tried again, and its row says what to do."""
    result = RunResult("running", [], {"batch": 128, "eval_batch": 500}, 0)
    end = end_of(error, result)
    assert end.status == "oom" and "batch=128 (in validation and test eval_batch=500)" in end.reason
    assert end_of(RuntimeError("CUDA error: device-side assert triggered"), result) is None
