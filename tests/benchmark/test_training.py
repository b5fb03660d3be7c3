"""Training: every variant is measured in steps that are those of a run."""

import signal

import pytest
import torch

from resnet_lightning.benchmark import ours, training
from resnet_lightning.benchmark.ours import OurTraining
from resnet_lightning.benchmark.training import build_network, image_shape, training_flops, variants
from resnet_lightning.build import build_trainer
from resnet_lightning.models.summary import multiply_accumulates
from resnet_lightning.training.console import Console
from resnet_lightning.training.interrupt import StopOnSignal
from tests.benchmark.conftest import cases


def test_training_names_every_variant_and_its_share_of_the_peak(benchmark):
    rows = benchmark("only=training", "data=mnist", "accelerator=cpu", "batch=16")
    throughput = [row for row in rows if row["unit"] == "images/s"]
    assert [row["case"] for row in throughput] == [str(variant) for variant in variants("cpu", (False,))]
    shares = [row for row in rows if row["unit"] == "%"]
    assert [row["case"] for row in shares] == [row["case"] for row in throughput]
    assert all(row["group"].endswith("share of the peak in that precision") for row in shares)
    assert any(case.startswith("3x3 convolution") for case in cases(rows))


def test_the_format_of_a_run_is_that_of_its_device():
    formats = [training.format_of_a_run(torch.device(kind)) for kind in ("cpu", "cuda", "mps")]
    assert formats == ["channels_last", "channels_last", "contiguous"]


def test_training_counts_three_times_the_operations_of_the_forward_pass(settings):
    config = settings("model=resnet18", "data=cifar10")
    forward = 2 * multiply_accumulates(build_network(config), image_shape(config))
    first = 2 * 3 * 64 * 9 * 32 * 32  # the images need no gradient
    assert training_flops(build_network(config), image_shape(config)) == 3 * forward - first


def test_a_step_has_the_optimizer_of_the_settings(settings, monkeypatch):
    made = []
    build = training.build_optimizer
    monkeypatch.setattr(training, "build_optimizer", lambda *options: made.append(build(*options)) or made[-1])
    config = settings("model=resnet10", "model.widths=[4,8,8]", "optimizer=adam", "weight_decay=0.1", "batch=4")
    training.variant_step(config, training.Variant("32", "contiguous", False), torch.device("cpu"))()
    assert isinstance(made[0], torch.optim.Adam) and made[0].param_groups[0]["weight_decay"] == 0.1
    assert len(made[0].state) > 0


def test_compiled_ways_keep_their_shapes(settings):
    from torch._dynamo import config as dynamo

    config = settings("model=resnet10", "model.widths=[4,8,8]", "batch=4")
    with dynamo.patch(automatic_dynamic_shapes=True, recompile_limit=8):  # monkeypatch would leave it without them
        training.variant_step(config, training.Variant("32", "contiguous", True), torch.device("cpu"))  # only prepares
        assert not dynamo.automatic_dynamic_shapes and dynamo.recompile_limit == 64


@pytest.fixture
def our_training(monkeypatch, data_root):
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))
    return OurTraining(["model=resnet10", "model.widths=[4,8,8]", "batch=16", "accelerator=cpu"])


def test_our_steps_are_those_of_the_run(our_training, monkeypatch):
    trainers = []
    monkeypatch.setattr(ours, "build_trainer", lambda *parts: trainers.append(build_trainer(*parts)) or trainers[-1])
    before = [parameter.clone() for parameter in our_training.classifier.network.parameters()]
    assert our_training.step_seconds(2) > 0
    assert not all(map(torch.equal, before, our_training.classifier.network.parameters()))
    assert len(our_training.data.train_index) == 5 * 16
    assert all(any(isinstance(c, kind) for c in trainers[0].callbacks) for kind in (StopOnSignal, Console))


def test_an_interrupt_during_our_steps_interrupts_the_benchmark(our_training, monkeypatch):
    monkeypatch.setattr(ours.StepClock, "on_train_batch_end", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        our_training.step_seconds(2)
