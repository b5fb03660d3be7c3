"""The networks against torchvision's and the published sizes."""

import pytest
import torch
import torchvision

from resnet_lightning.config import ConfigError
from resnet_lightning.help import options
from resnet_lightning.models.blocks import BasicBlock, Bottleneck
from resnet_lightning.models.resnet import BLOCKS, ResNet
from resnet_lightning.models.summary import multiply_accumulates, parameter_count


@pytest.fixture
def build(settings):
    def make(*arguments: str, channels: int = 3, classes: int = 10) -> ResNet:
        config = settings(*arguments)
        return ResNet(config.model, config.stem, channels, classes, config.activation, config.dropout)

    return make


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_loads_torchvision_weights_and_gives_the_same_output(build, name):
    theirs = torchvision.models.get_model(name).eval()
    for module in theirs.modules():  # statistics that differ from the initial ones, as in a trained network
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    ours = build(f"model={name}", "stem=imagenet", classes=1000).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected, logits = theirs(images), ours(images)
    assert ((logits - expected).abs() / expected.abs().max()).max() < 1e-5


# He et al. 2015, tables 1 and 6; with projection shortcuts, as here
PUBLISHED = {
    "resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85, "resnet110": 1.7,
}  # fmt: skip


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_cifar_family_has_the_published_size(build, name, millions):
    assert parameter_count(build(f"model={name}", "data=cifar10")) / 1e6 == pytest.approx(millions, rel=0.03)


def test_resnet18_with_cifar_stem_has_11_173_962_parameters(build):
    assert parameter_count(build("model=resnet18", "data=cifar10")) == 11_173_962


@pytest.mark.parametrize(("name", "billions"), [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089)])
def test_multiply_accumulates_are_the_published_ones(build, name, billions):
    network = build(f"model={name}", "stem=imagenet", classes=1000)
    assert multiply_accumulates(network, (3, 224, 224)) / 1e9 == pytest.approx(billions, rel=0.002)


@pytest.mark.parametrize("name", options("model"))
def test_every_model_trains_a_step(build, name):
    network = build(f"model={name}", channels=1)
    logits = network(torch.randn(2, 1, 28, 28))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("block", "kind"), [("basic", BasicBlock), ("bottleneck", Bottleneck)])
def test_free_depths_and_widths(build, block, kind):
    network = build(f"model.block={block}", "model.depths=[1,3]", "model.widths=[8,24]")
    assert [len(network.get_submodule(stage)) for stage in network.stages] == [1, 3]
    assert all(isinstance(module, kind) for module in network.layer2)
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_stem_keys(build):
    network = build("stem.kernel_size=5", "stem.stride=3", "stem.max_pool=true", "stem.activation=leaky_relu")
    assert network.conv1.kernel_size == (5, 5) and network.conv1.stride == (3, 3) and network.conv1.padding == (2, 2)
    assert isinstance(network.maxpool, torch.nn.MaxPool2d)
    assert isinstance(network.relu, torch.nn.LeakyReLU)
    assert isinstance(network.layer1[0].relu, torch.nn.ReLU)


@pytest.mark.parametrize(("size", "kernel"), [(32, 3), (64, 3), (96, 7), (224, 7)])
def test_stem_follows_the_size_of_the_images(settings, size, kernel):
    assert settings(f"data.image_size={size}").stem.kernel_size == kernel


def test_norm_after_block_adds_one_batchnorm_per_block(build):
    def count(network):
        return sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())

    assert count(build("model=resnet34", "model.norm_after_block=true")) == count(build("model=resnet34")) + 16


def test_zero_init_residual_makes_every_block_the_identity(build):
    network = build("model.zero_init_residual=true").eval()
    features = torch.randn(2, 64, 8, 8).relu()
    assert torch.equal(network.layer1(features), features)


class GatedBlock(BasicBlock):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.bn2 = torch.nn.Sequential(self.bn2, torch.nn.Sigmoid())


class BareBlock(torch.nn.Conv2d):
    expansion = 1

    def __init__(self, channels_in, width, stride, activation):
        super().__init__(channels_in, width, 3, stride, padding=1)


def test_zero_init_residual_finds_the_last_norm_of_a_block_of_ones_own(monkeypatch):
    monkeypatch.setitem(BLOCKS, "own", GatedBlock)
    changes = {"block": "own", "zero_init_residual": True, "norm_after_block": True}
    network = ResNet.from_name("resnet10", num_classes=10, **changes)
    started = [
        name for name, parameter in network.named_parameters() if not parameter.any() and name.endswith("weight")
    ]
    assert started == [f"layer{stage}.0.bn2.0.weight" for stage in (1, 2, 3)]
    monkeypatch.setitem(BLOCKS, "own", BareBlock)
    with pytest.raises(ConfigError, match="BareBlock has no BatchNorm"):
        ResNet.from_name("resnet10", num_classes=10, **changes)


def test_dropout_drops_features_in_training_only(build):
    network = build("model=resnet20", "dropout=0.5")
    images = torch.randn(4, 3, 32, 32)
    network.eval()
    assert torch.equal(network(images), network(images))
    network.train()
    assert not torch.equal(network(images), network(images))


def test_torchs_initialisation_is_that_of_its_layers(build):
    network = build("model=resnet18", "model.init=torch")
    weights = network.layer2[0].conv2.weight  # fan_in = 128 x 9
    assert float(weights.abs().max()) <= (1 / (128 * 9)) ** 0.5
    assert float(weights.std()) == pytest.approx((1 / (3 * 128 * 9)) ** 0.5, rel=0.02)
    he = build("model=resnet18").layer2[0].conv2.weight
    assert float(he.std()) == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
