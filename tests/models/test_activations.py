"""Activations and the gains that belong to them."""

import math

import pytest
import torch

from resnet_lightning.checks import ACTIVATIONS as NAMES
from resnet_lightning.models.activations import ACTIVATIONS, GAINS
from resnet_lightning.models.resnet import ResNet


def test_every_allowed_name_has_an_activation_and_a_gain():
    assert set(NAMES) == set(ACTIVATIONS) == set(GAINS)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "gelu", "silu", "mish"])
def test_gain_keeps_the_second_moment(name):
    z = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    moment = torch.trapezoid(ACTIVATIONS[name]()(z.clone()) ** 2 * density, z)
    assert GAINS[name] == pytest.approx(1 / math.sqrt(moment), rel=1e-3)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_gain_is_torchs_where_torch_has_one(name):
    assert GAINS[name] == pytest.approx(torch.nn.init.calculate_gain(name))


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_have_the_gain_of_the_activation(settings, name):
    config = settings(f"activation={name}", "stem.activation=tanh")
    network = ResNet(config.model, config.stem, 3, 10, config.activation)
    convolution = network.layer4[1].conv2
    assert float(convolution.weight.detach().std()) == pytest.approx(GAINS[name] / math.sqrt(512 * 9), rel=0.01)
    assert float(network.conv1.weight.detach().std()) == pytest.approx(GAINS["tanh"] / math.sqrt(64 * 9), rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_trains_a_step(settings, name):
    config = settings("model=resnet10", f"activation={name}")
    network = ResNet(config.model, config.stem, 1, 10, config.activation)
    network(torch.randn(2, 1, 28, 28)).sum().backward()
    assert torch.isfinite(network.conv1.weight.grad).all()
