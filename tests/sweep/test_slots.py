"""How GPUs become slots, on machines that torch is made to see."""

from types import SimpleNamespace

import pytest
import torch

from resnet_lightning.config import ConfigError, LauncherConfig
from resnet_lightning.sweep import slots
from resnet_lightning.sweep.launch import share_devices
from resnet_lightning.sweep.slots import Slot, make_slots

PARTS = ["MIG-a", "MIG-b", "MIG-c"]


@pytest.fixture
def machine(monkeypatch):
    """``machine(8, "4,5")``: 8 GPUs, and what the user has set CUDA_VISIBLE_DEVICES to."""

    def make(gpus: int, visible: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(slots, "usable_cores", lambda: list(range(64)))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


@pytest.fixture
def slots_of(settings):
    def make(*arguments: str, devices: list[int | str] | str = "auto"):
        return make_slots(LauncherConfig(devices, 1, None, None, 0), [settings(*arguments)])

    return make


def test_jobs_get_gpus_that_the_launcher_has_found(machine, slots_of):
    machine(2)
    assert [(slot.visible_devices, slot.needs_gpu) for slot in slots_of()] == [("0", True), ("1", True)]
    machine(0)
    assert [(slot.visible_devices, slot.needs_gpu) for slot in slots_of()] == [(None, False)]
    with pytest.raises(ConfigError, match=r"launcher\.devices=\[3\] is not possible: torch finds no GPU here"):
        slots_of(devices=[3])
    pretended = slots_of("accelerator=cpu", devices=[3])
    assert [(slot.visible_devices, slot.needs_gpu) for slot in pretended] == [("3", False)]


def test_numbers_count_the_visible_gpus(machine, slots_of):
    machine(2, "4,5")
    assert [slot.visible_devices for slot in slots_of()] == ["4", "5"]
    assert [slot.visible_devices for slot in slots_of(devices=[1])] == ["5"]
    assert [slot.visible_devices for slot in slots_of(devices=["GPU-1a"])] == ["GPU-1a"]
    with pytest.raises(ConfigError, match=r"launcher\.devices=\[0, '4'\] names a device twice"):
        slots_of(devices=[0, "4"])
    with pytest.raises(ConfigError, match=r"launcher\.devices=\[4\].*CUDA_VISIBLE_DEVICES=4,5 leaves 2 GPU"):
        slots_of(devices=[4])
    machine(2)
    with pytest.raises(ConfigError, match=r"launcher\.devices=\[1, 8\].*there are 2 GPU\(s\), numbered from 0"):
        slots_of(devices=[1, 8])


def test_the_variable_of_amd_prevails(machine, slots_of, monkeypatch):
    machine(2)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2,3")
    assert [slot.visible_devices for slot in slots_of()] == ["0", "1"]
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert [slot.visible_devices for slot in slots_of()] == ["2", "3"]
    assert slots.visible("2") == {"CUDA_VISIBLE_DEVICES": "2", "HIP_VISIBLE_DEVICES": "2"}
    monkeypatch.delenv("HIP_VISIBLE_DEVICES")
    assert slots.visible("2") == {"CUDA_VISIBLE_DEVICES": "2"}


def test_every_mig_device_is_a_slot(machine, slots_of):
    machine(1, ",".join(PARTS))  # torch counts the one that a process would use
    assert [slot.visible_devices for slot in slots_of()] == PARTS
    assert [slot.visible_devices for slot in slots_of(devices=[2])] == ["MIG-c"]
    with pytest.raises(ConfigError, match="it can use only one MIG device"):
        slots_of("devices=2")
    machine(0, ",".join(PARTS))
    assert [slot.visible_devices for slot in slots_of()] == [None]


def test_a_list_of_devices_is_no_setting_of_a_sweep_on_gpus(machine, slots_of):
    machine(2)
    with pytest.raises(ConfigError, match=r"devices=\[1\].*launcher\.devices chooses the GPUs"):
        slots_of("devices=[1]")


def test_cores_are_shared_by_all_processes(machine, slots_of):
    machine(8)
    assert {slot.threads for slot in slots_of()} == {8}
    assert {slot.threads for slot in slots_of("devices=4")} == {8}  # of each of the four processes
    assert len(slots_of("devices=4")) == 2


def test_jobs_for_the_cpu_come_after_those_of_gpus_one_at_a_time_on_all_cores(machine, settings):
    """Else the speed-up of a comparison of devices is one over a share of the cores, busy with feeding GPUs."""
    jobs = [SimpleNamespace(config=settings(f"accelerator={kind}")) for kind in ("cpu", "gpu", "cpu")]
    launcher = LauncherConfig("auto", 2, None, None, 0)
    machine(4)
    gpus, cpu = share_devices(launcher, jobs)
    assert gpus.jobs == [jobs[1]] and len(gpus.slots) == 8 and all(slot.needs_gpu for slot in gpus.slots)
    assert cpu.jobs == [jobs[0], jobs[2]] and cpu.slots == [Slot("cpu", None, (), None)]
    assert [len(share.jobs) for share in share_devices(launcher, [jobs[1]])] == [1]


@pytest.mark.parametrize(("jobs", "threads", "size"), [(2, 1, 2), (1, 3, 1), (1, 1, 3), (3, 1, 1)])
def test_no_more_threads_than_cores(monkeypatch, settings, jobs, threads, size):
    monkeypatch.setattr(slots, "usable_cores", lambda: [0, 1])
    configs = [settings("accelerator=cpu", f"devices={size}", "batch=12")]
    with pytest.raises(ConfigError, match=f"ask for {jobs * threads * size} cores; this machine has 2"):
        make_slots(LauncherConfig("auto", jobs, threads, None, 0), configs)


def test_processes_of_a_job_have_cores_each(monkeypatch, settings):
    monkeypatch.setattr(slots, "usable_cores", lambda: [0, 1, 2, 3])
    configs = [settings("accelerator=cpu", "devices=2")]
    found = make_slots(LauncherConfig("auto", 2, 1, None, 0), configs)
    assert [(slot.cores, slot.threads) for slot in found] == [((0, 1), 1), ((2, 3), 1)]
