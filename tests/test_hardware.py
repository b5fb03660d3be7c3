"""What a machine without a GPU refuses, and what the record says of it."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from resnet_lightning import hardware, info
from resnet_lightning.config import ConfigError, DeviceLost
from resnet_lightning.sweep.slots import visible_gpus

no_gpu = pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")


@no_gpu
@pytest.mark.parametrize(
    ("accelerator", "devices", "precision", "sentence"),
    [
        ("gpu", 1, "32", "torch finds no GPU here"),
        ("cuda", 1, "32", "torch finds no GPU here"),
        ("mps", 1, "32", "no Apple GPU"),
        ("auto", [0, 1], "32", "a list names GPUs"),
        ("cpu", 1, "16", "use bf16, 32 or auto"),
    ],
)
def test_what_is_not_there_is_refused(accelerator, devices, precision, sentence):
    with pytest.raises(ConfigError, match=sentence):
        hardware.check_hardware(accelerator, devices, precision)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    hardware.check_hardware("gpu", [0, 1], "32")
    for devices in (3, [7], [0, 2]):
        with pytest.raises(ConfigError, match=r"this machine has 2 GPU\(s\)"):
            hardware.check_hardware("gpu", devices, "32")


def test_a_job_that_lost_some_of_its_gpus_says_so(monkeypatch):
    """No setting is wrong: the launcher tries it elsewhere."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv(hardware.SLOT, "device 0,1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(DeviceLost, match=r"device 0,1 has lost GPUs: torch finds 1 of 2"):
        hardware.check_hardware("gpu", 2, "32")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(ConfigError, match="this machine has 1 GPU"):  # it asks for more than it was given
        hardware.check_hardware("gpu", 2, "32")


def test_threads_are_fixed_and_shared_by_the_processes_of_a_run():
    assert hardware.set_threads(3, processes=1) == torch.get_num_threads() == 3
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert hardware.set_threads(None, processes=64) == 1


def test_further_processes_have_the_threads_of_the_first(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert hardware.set_threads(None, processes=2) == torch.get_num_threads() == 6  # divided by the first process
    assert hardware.set_threads(3, processes=2) == 3


@pytest.fixture
def gpus(monkeypatch):
    """``gpus((8, 0), (7, 5))``: torch finds GPUs of these capabilities."""

    def make(*capabilities: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number=0: capabilities[number])

    return make


def test_auto_devices_are_all_gpus(gpus):
    gpus((8, 0), (8, 0), (8, 0))
    assert [hardware.processes("auto", devices) for devices in ("auto", 2, [1])] == [3, 2, 1]
    assert hardware.processes("cpu", "auto") == 1
    gpus()
    assert hardware.processes("auto", "auto") == 1


def test_auto_precision_is_one_that_every_chosen_gpu_computes_in(gpus):
    gpus((8, 0), (7, 5))
    chosen = {"1": 1, "2": 2, "auto": "auto", "second": [1]}
    found = {name: hardware.pick_precision("auto", "cuda", devices) for name, devices in chosen.items()}
    assert found == {"1": "bf16", "2": "32", "auto": "32", "second": "32"}


def test_auto_precision_of_amd_is_that_of_its_architecture(gpus, monkeypatch):
    """The capability of gfx906 is (9, 0), that of gfx1030 is (10, 3); neither has units for bfloat16."""
    gpus((9, 0), (10, 3), (9, 4), (11, 0))
    names = ("gfx906:sramecc+:xnack-", "gfx1030", "gfx942:sramecc+:xnack-", "gfx1100")
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(gcnArchName=names[number]))
    found = [hardware.pick_precision("auto", "cuda", [number]) for number in range(4)]
    assert found == ["32", "32", "bf16", "bf16"]


def test_gpus_that_the_driver_counts_and_cuda_cannot_use_are_none(monkeypatch):
    """As torch does it: by the driver where Lightning, or the user, has set the variable."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "PYTORCH_NVML_BASED_CUDA_CHECK" in os.environ)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    assert hardware.pick_accelerator("auto") == "cpu" and visible_gpus() == []
    with pytest.raises(ConfigError, match="torch finds no GPU here"):
        hardware.check_hardware("gpu", 1, "32")
    assert any(line.startswith("2 GPU(s) that torch ") for line in info.devices())
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("CUDA's driver was started"))
    assert hardware.pick_accelerator("cpu") == "cpu"


def test_images_and_weights_are_channels_last_but_on_apples_gpus():
    assert hardware.memory_format(torch.device("cuda", 1)) is torch.channels_last
    assert hardware.memory_format(torch.device("mps")) is torch.contiguous_format


@pytest.mark.parametrize("chosen", ["ieee", "tf32"])
def test_products_are_float32_whatever_the_user_has_set(chosen):
    """With torch's newer switches, on which it may refuse to tell ``cudnn.allow_tf32``."""
    program = (
        "import torch; from resnet_lightning import hardware; conv = torch.backends.cudnn.conv\n"
        f"conv.fp32_precision = '{chosen}'\n"
        "with hardware.float32_throughout(): print(conv.fp32_precision)\n"
        "print(conv.fp32_precision)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    inside, after = done.stdout.split()
    assert inside in ("ieee", "none") and after == chosen


def test_a_container_does_not_set_the_precision():
    ask = "import os, resnet_lightning; print(os.environ.get('TORCH_ALLOW_TF32_CUBLAS_OVERRIDE'))"
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_info_names_the_precision_of_each_gpu(gpus, monkeypatch):
    gpus((8, 0), (7, 5))
    facts = SimpleNamespace(name="GPU", total_memory=2**34)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts)
    said = [line for line in info.devices() if line.startswith("cuda:")]
    assert said == [f"cuda:{number} GPU, 16 GiB, precision auto = {kind}" for number, kind in ((0, "bf16"), (1, "32"))]


@pytest.mark.parametrize(
    ("flags", "system", "precision"),
    [
        ("avx2 avx512f avx512_bf16", "linux", "bf16"),
        ("avx2 amx_bf16 amx_tile", "linux", "bf16"),
        ("avx2 fma", "linux", "32"),
        ("avx512_bf16", "darwin", "32"),  # has no such file
    ],
)
def test_auto_precision_of_a_cpu_is_what_it_has_units_for(monkeypatch, flags, system, precision):
    monkeypatch.setattr(hardware.Path, "read_text", lambda *_, **__: f"processor: 0\nflags: {flags}\n")
    monkeypatch.setattr(hardware.sys, "platform", system)
    assert hardware.pick_precision("auto", "cpu") == precision
    assert hardware.pick_precision("32", "cpu") == "32"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they may be unknown")
def test_memory_and_age_are_those_of_this_process():
    code = (
        "import time; start = time.time()\n"
        "import torch; from resnet_lightning import hardware\n"
        "cpu = torch.device('cpu'); before = hardware.peak_memory(cpu); torch.ones(2**26)\n"
        "print(hardware.peak_memory(cpu) - before, hardware.process_age() - (time.time() - start))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, older = map(float, done.stdout.split())
    assert grown == pytest.approx(256, rel=0.1) and older > -0.05  # MiB; the clock of the system has ticks


def test_memory_of_an_apple_gpu_is_that_of_its_driver(monkeypatch):
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 * 2**30)
    assert hardware.peak_memory(torch.device("mps")) == 3072


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_freed_memory_is_kept_for_the_next_step():
    """40 MB, freed and asked for again: the system hardly hands out a page anew. In a process of its own, for good."""
    program = (
        "import resource, sys, torch; from resnet_lightning import hardware\n"
        "if sys.argv[1] == 'keep': hardware.keep_freed_memory()\n"
        "def step(): return [torch.ones(10_000_000) for _ in range(3)]\n"
        "step(); step(); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): step()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = {
        way: int(subprocess.run([sys.executable, "-c", program, way], capture_output=True, check=True).stdout)
        for way in ("keep", "leave")
    }
    assert faults["keep"] < faults["leave"] / 5, faults


@pytest.mark.parametrize(("free", "there"), [(200, True), (199, False)])
def test_images_live_on_a_gpu_where_they_take_half_of_what_is_free(monkeypatch, free, there):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    assert hardware.fits(100, torch.device("cuda", 0)) is there
    assert hardware.fits(10**15, torch.device("cpu"))
