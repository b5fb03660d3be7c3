"""What replaces a convolution of oneDNN gives the same."""

import math

import pytest
import torch

from resnet_lightning.models.convolutions import Conv1x1, Conv3x3
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.models.winograd import Winograd


@pytest.fixture(autouse=True)
def ways(monkeypatch) -> list[str]:
    """The ways taken, in order; on every CPU those of one with AVX2."""
    taken: list[str] = []
    product, winograd = Conv3x3.as_product, Winograd.apply
    monkeypatch.setattr(Conv3x3, "faster", True)
    monkeypatch.setattr(Conv3x3, "as_product", lambda self, x: taken.append("product") or product(self, x))
    monkeypatch.setattr(Winograd, "apply", lambda *tensors: taken.append("winograd") or winograd(*tensors))
    return taken


def compare_with_torch(channels: int, width: int, stride: int, size: tuple[int, int], number: int, precision: float):
    """Outputs and both gradients beside those of torch in float64, as shares of the largest value."""
    ours = Conv3x3(channels, width, stride).to(memory_format=torch.channels_last)
    exact = torch.nn.Conv2d(channels, width, 3, stride, padding=1, bias=False).double()
    exact.load_state_dict(ours.state_dict())
    images, found = torch.randn(number, channels, *size), []
    for layer in (ours, exact):
        x = images.clone().to(layer.weight.dtype).requires_grad_()
        out = layer(x)
        out.square().sum().backward()
        found.append((out.detach(), x.grad, layer.weight.grad))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other.float(), rtol=0, atol=precision * float(other.abs().max()))


@pytest.mark.parametrize(("channels", "width"), [(4, 4), (4, 6), (4, 512)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 3), (2, 4), (3, 1), (4, 4), (7, 5)])
def test_small_maps_are_products(ways, channels, width, stride, size):
    compare_with_torch(channels, width, stride, size, number=5, precision=1e-5)
    pixels = math.prod(len(range(0, pixels, stride)) for pixels in size)
    assert ways == ["product"] * (pixels <= 4 or (pixels <= 16 and width == 512))


@pytest.mark.parametrize(("channels", "width"), [(64, 64), (64, 96), (128, 64)])
@pytest.mark.parametrize("number", [1, 3, 70])
@pytest.mark.parametrize("size", [(8, 8), (4, 4), (16, 12), (13, 15), (7, 7), (21, 2)])
def test_many_channels_are_filtered(ways, channels, width, number, size):
    compare_with_torch(channels, width, 1, size, number, precision=3e-5)
    tiles = math.prod(math.ceil(pixels / 4) for pixels in size)
    saves = min(channels, width) * math.prod(size) / (16 * tiles) >= 64 and number * tiles >= 32
    assert ways == ["winograd"] * saves


def test_odd_maps_are_filtered_to_their_edge(ways):
    compare_with_torch(128, 128, 1, (7, 6), 20, precision=3e-5)
    compare_with_torch(256, 256, 1, (5, 3), 20, precision=3e-5)
    compare_with_torch(256, 256, 2, (16, 16), 8, precision=3e-5)
    assert ways == ["winograd", "winograd"]


def test_only_the_gradients_that_are_needed(ways):
    layer = Conv3x3(64, 64)
    images = torch.randn(8, 64, 8, 8)
    layer(images).sum().backward()
    weight_gradient = layer.weight.grad.clone()
    layer.weight.requires_grad_(False)
    images.requires_grad_()
    layer(images).sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(layer.weight.grad, weight_gradient)
    assert ways == ["winograd"] * 2


def test_second_derivatives(ways):
    layer, images, found = Conv3x3(64, 64), torch.randn(2, 64, 16, 16), []
    for faster in (True, False):
        Conv3x3.faster = faster
        x = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), (x, layer.weight)))
    assert ways == ["winograd"]
    for mine, other in zip(*found, strict=True):
        assert (mine - other).norm() < 1e-4 * other.norm()


def test_gradients_of_single_images(ways):
    layer, images, found = Conv3x3(64, 64), torch.randn(3, 2, 64, 16, 16), []

    def loss(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, x).square().sum()

    for faster in (True, False):
        Conv3x3.faster = faster
        found.append(torch.func.vmap(torch.func.grad(loss), (None, 0))(layer.weight.detach(), images))
    assert ways
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3 * float(found[1].abs().max()))


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


@pytest.mark.parametrize(("channels", "size", "way"), [(4, 2, "product"), (64, 16, "winograd")])
def test_only_float32_takes_them(ways, channels, size, way):
    layer, images = Conv3x3(channels, channels).double(), torch.randn(2, channels, size, size)
    layer(images.double())
    with torch.autocast("cpu", torch.bfloat16):
        layer.float()(images)
    layer.to("meta")(images.to("meta"))
    assert not ways
    Conv3x3(channels, channels)(images)
    assert ways == [way]


def test_evaluation_is_filtered_but_takes_no_products(ways):
    many, few = Conv3x3(64, 64).eval(), Conv3x3(4, 4).eval()
    images = torch.randn(2, 64, 16, 16)
    with torch.inference_mode():
        few(torch.randn(2, 4, 2, 2))
        out = many(images)
        assert ways == ["winograd"]
        Conv3x3.faster = False
        torch.testing.assert_close(many(images), out, rtol=0, atol=1e-4)


def test_a_trace_has_torchs_convolution(ways):
    layer, images = Conv3x3(64, 64).eval(), torch.randn(2, 64, 16, 16)
    traced = torch.jit.trace(layer, images, check_trace=False)
    assert not ways
    torch.testing.assert_close(traced(images), layer(images), rtol=0, atol=1e-4)


def test_a_network_learns_the_same(ways):
    gradients = []
    for faster in (True, False):
        Conv3x3.faster = faster
        torch.manual_seed(0)
        network = ResNet.from_name("resnet18", 10, in_channels=1, image_size=28, stem="imagenet", widths=[64, 4, 8, 8])
        network(torch.randn(16, 1, 32, 32)).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert set(ways) == {"product", "winograd"}
    for mine, other in zip(*gradients, strict=True):
        assert (mine - other).norm() < 1e-3 * other.norm()
