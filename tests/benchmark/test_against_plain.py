"""The plain loops learn, and are measured as somebody would run them."""

import pytest
import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark import against_plain, plain
from resnet_lightning.benchmark.ours import WARM_UP, compose
from resnet_lightning.benchmark.rounds import Effort
from resnet_lightning.benchmark.training import build_network
from resnet_lightning.models.convolutions import Conv3x3
from tests.benchmark.conftest import cases

OURS, AUTO = "ours, precision=32", "ours, precision=auto"
PLAIN = ["plain loop, 0 workers", "plain loop, 2 workers"]


def test_plain_compares_with_ours_and_says_what_it_skipped(benchmark, capsys, data_root):
    assert cases(benchmark("only=plain", "accelerator=cpu")) == [*PLAIN, *against_plain.our_cases("cpu", False)]
    assert f"CIFAR-10 is missing or damaged in {data_root}" in capsys.readouterr().out


def test_the_plain_loop_has_torchs_convolutions(monkeypatch):
    monkeypatch.setattr(Conv3x3, "faster", True)
    config = compose(["model=resnet10", "data=mnist"])
    network = against_plain.plain_network(config)
    assert not any(module.faster for module in network.modules() if isinstance(module, Conv3x3))
    images, ours = torch.randn(2, 1, 28, 28), build_network(config)
    torch.testing.assert_close(network.eval()(images), ours.eval()(images))


@pytest.mark.parametrize(("bf16", "auto"), [(True, [f"{AUTO} (bf16)"]), (False, [])])
def test_auto_is_measured_where_it_is_something_else(bf16, auto, monkeypatch):
    monkeypatch.setattr(hardware, "computes_in_bf16", lambda *_: bf16)
    assert list(against_plain.our_cases("cpu", False)) == [OURS, *auto]
    fastest = f"{AUTO} compile=true (bf16)" if bf16 else f"{OURS} compile=true"
    assert list(against_plain.our_cases("cpu", True)) == [OURS, *auto, fastest]


def test_plain_loop_learns_and_goes_on_after_an_epoch(settings):
    config = settings("model=resnet10", "model.widths=[4,8,8]", "data.image_size=32", "batch=16")
    data = torch.utils.data.Subset(plain.mnist(), range(128))
    image, label = data[0]
    assert image.shape == (1, 32, 32) and label == 5
    steps = plain.training_steps(build_network(config), data, config.batch, 0, torch.device("cpu"), lr=0.3)
    epochs = [[next(steps) for _ in range(8)][-1] for _ in range(8)]
    assert epochs[-1] < 0.9 * epochs[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_turn_of_the_plain_loop_has_workers_of_its_own(workers, settings, monkeypatch):
    turns = []

    def training_steps(*_):
        turns.append([])
        try:
            while True:
                turns[-1].append("step")
                yield 0.0
        finally:
            turns[-1].append("closed")

    monkeypatch.setattr(plain, "training_steps", training_steps)
    way = against_plain.plain_way(settings("model=resnet10"), workers, Effort(1, 1e-9))
    assert way() > 0 and way() > 0
    untimed = WARM_UP + 2 * workers
    assert turns == [["step"] * (untimed + count) + ["closed"] for count in (3, 4, 4)]
