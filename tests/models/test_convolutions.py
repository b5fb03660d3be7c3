"""What replaces a convolution of oneDNN gives the same."""

import pytest
import torch

from resnet_lightning.models.convolutions import Conv1x1, Conv3x3
from resnet_lightning.models.resnet import ResNet


@pytest.fixture(autouse=True)
def products(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of what went through the product; on every CPU what one with AVX2 does."""
    shapes: list[tuple[int, ...]] = []
    product = Conv3x3.as_product
    monkeypatch.setattr(Conv3x3, "products", True)
    monkeypatch.setattr(Conv3x3, "as_product", lambda self, x: shapes.append(tuple(x.shape)) or product(self, x))
    return shapes


@pytest.mark.parametrize(("channels", "width"), [(4, 4), (4, 6), (4, 512)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 3), (2, 4), (3, 1), (4, 4), (7, 5)])
def test_values_and_gradients_are_those_of_torch(products, channels, width, stride, size):
    ours = Conv3x3(channels, width, stride).to(memory_format=torch.channels_last)
    theirs = torch.nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(5, channels, *size)
    found = []
    for layer in (ours, theirs):
        x = images.clone().requires_grad_()
        out = layer(x)
        out.square().sum().backward()
        found.append((out.detach(), x.grad, layer.weight.grad))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))
    pixels = out.shape[2] * out.shape[3]
    assert len(products) == (pixels <= 4 or (pixels <= 16 and width == 512))


@pytest.mark.parametrize("channels", [3, 4, 8, 16])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradient_of_a_strided_projection(channels, stride):
    layer = Conv1x1(channels, 8, stride).to(memory_format=torch.channels_last)
    images = torch.randn(64, channels, 27, 28).to(memory_format=torch.channels_last)
    out = layer(images)
    out.square().sum().backward()
    weight = layer.weight.detach().double().requires_grad_()
    exact = torch.nn.functional.conv2d(images.double(), weight, stride=stride)
    exact.square().sum().backward()
    torch.testing.assert_close(out.detach(), exact.detach().float())
    torch.testing.assert_close(layer.weight.grad, weight.grad.float(), rtol=1e-4, atol=1e-3)


def test_only_training_in_float32_takes_it(products):
    layer, images = Conv3x3(4, 4), torch.randn(2, 4, 2, 2)
    layer.eval()(images)
    layer.train().to(torch.float64)(images.double())
    with torch.autocast("cpu", torch.bfloat16):
        layer.float()(images)
    layer.to("meta")(images.to("meta"))
    assert not products
    Conv3x3(4, 4)(images)
    assert products == [(2, 4, 2, 2)]


def test_a_network_learns_the_same(products):
    gradients = []
    for slow in (True, False):
        Conv3x3.products = slow
        torch.manual_seed(0)
        network = ResNet.from_name("resnet18", 10, in_channels=1, image_size=28, stem="imagenet", widths=[4, 4, 8, 8])
        network(torch.randn(16, 1, 28, 28)).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert products
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
