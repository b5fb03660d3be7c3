"""What replaces a convolution of oneDNN gives the same."""

import math
import runpy

import pytest
import torch
from torch.nn import functional as F

from resnet_lightning.config import ModelConfig, StemConfig
from resnet_lightning.models import winograd
from resnet_lightning.models.convolutions import Conv1x1, Conv3x3
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.models.threads import in_threads
from resnet_lightning.models.winograd import Winograd
from resnet_lightning.presets import preset
from resnet_lightning.training.traced import save_traced


@pytest.fixture(autouse=True)
def ways(monkeypatch) -> list[str]:
    """The ways taken, in order; on every CPU those of one with AVX2."""
    taken: list[str] = []
    product, winograd = Conv3x3.as_product, Winograd.apply
    monkeypatch.setattr(Conv3x3, "vectors", "AVX2")
    monkeypatch.setattr(Conv3x3, "faster", True)
    monkeypatch.setattr(Conv3x3, "as_product", lambda self, x: taken.append("product") or product(self, x))
    monkeypatch.setattr(Winograd, "apply", lambda *tensors: taken.append("winograd") or winograd(*tensors))
    return taken


def images_like(number: int, channels: int, *size: int) -> torch.Tensor:
    return torch.randn(number, channels, *size).to(memory_format=torch.channels_last)


def layer_like(channels: int, width: int, stride: int = 1) -> Conv3x3:
    return Conv3x3(channels, width, stride).to(memory_format=torch.channels_last)


def compare_with_torch(convolution, images: torch.Tensor, weight: torch.Tensor, stride: int, precision: float) -> None:
    """Output and both gradients beside those of torch in float64, as shares of the largest value."""
    found = []
    for dtype in (torch.float32, torch.float64):
        x = images.detach().clone().to(dtype).requires_grad_()
        w = weight.detach().clone().to(dtype).requires_grad_()
        out = convolution(x, w) if dtype == torch.float32 else F.conv2d(x, w, stride=stride, padding=1)
        (0.5 * out.square().sum() + out.sum()).backward()
        found.append((out.detach(), x.grad, w.grad))
    for mine, exact in zip(*found, strict=True):
        torch.testing.assert_close(mine, exact.float(), rtol=0, atol=precision * float(exact.abs().max()))


@pytest.mark.parametrize(("channels", "width"), [(4, 4), (4, 6), (4, 512)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 3), (2, 4), (3, 1), (4, 4), (7, 5)])
def test_small_maps_are_products(ways, channels, width, stride, size):
    layer = layer_like(channels, width, stride)

    def convolution(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, x)

    compare_with_torch(convolution, torch.randn(5, channels, *size), layer.weight, stride, precision=1e-5)
    pixels = math.prod(len(range(0, pixels, stride)) for pixels in size)
    assert ways == ["product"] * (pixels <= 4 or (pixels <= 16 and width == 512))


@pytest.mark.parametrize(("channels", "width"), [(1, 1), (3, 64), (96, 64)])
@pytest.mark.parametrize("number", [1, 3, 70])
@pytest.mark.parametrize("size", [(8, 8), (4, 4), (16, 12), (13, 15), (7, 7), (21, 2), (1, 1), (3, 5)])
def test_filtering_is_convolution(channels, width, number, size):
    weight = torch.randn(width, channels, 3, 3)
    compare_with_torch(Winograd.apply, images_like(number, channels, *size), weight, 1, precision=3e-5)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 2, 3, 1), (3, 2, 1, 0), (0, 1, 2, 3)])
def test_filtering_of_images_in_any_order_of_memory(order):
    images = torch.randn(8, 8, 64, 12).permute(order)
    compare_with_torch(Winograd.apply, images, torch.randn(16, images.shape[1], 3, 3), 1, precision=3e-5)


@pytest.mark.parametrize("grad", [torch.ones(()).expand(2, 64, 8, 8), torch.randn(64, 2, 8, 8).transpose(0, 1)])
def test_filtering_of_gradients_in_any_order_of_memory(grad):
    x, weight = images_like(2, 64, 8, 8).requires_grad_(), torch.randn(64, 64, 3, 3, requires_grad=True)
    mine = torch.autograd.grad(Winograd.apply(x, weight), (x, weight), grad)
    exact = torch.autograd.grad(F.conv2d(x, weight, padding=1), (x, weight), grad)
    torch.testing.assert_close(mine, exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("way", "channels", "width", "stride", "number", "size"),
    [
        ("winograd", 64, 64, 1, 8, (8, 8)),
        ("winograd", 64, 96, 1, 70, (4, 4)),
        ("winograd", 128, 128, 1, 20, (7, 6)),
        ("winograd", 256, 256, 1, 20, (5, 3)),
        (None, 64, 64, 1, 20, (7, 7)),  # a quarter of the tiles is over the edge
        (None, 63, 64, 1, 8, (8, 8)),
        (None, 64, 64, 1, 7, (8, 8)),  # 28 tiles
        (None, 256, 256, 2, 8, (16, 16)),
        ("product", 256, 256, 1, 40, (2, 2)),
    ],
)
def test_what_is_worth_filtering(ways, way, channels, width, stride, number, size):
    layer_like(channels, width, stride)(images_like(number, channels, *size))
    assert ways == ([way] if way else [])


@pytest.mark.parametrize(
    ("way", "channels", "stride", "number", "size"),
    [
        ("winograd", 128, 1, 8, (8, 8)),
        (None, 127, 1, 8, (8, 8)),
        ("winograd", 512, 1, 40, (4, 4)),
        (None, 512, 2, 40, (7, 7)),  # for AVX2 a product
        ("product", 512, 2, 40, (4, 4)),
    ],
)
def test_what_is_worth_it_with_wider_vectors(ways, monkeypatch, way, channels, stride, number, size):
    monkeypatch.setattr(Conv3x3, "vectors", "AVX512")
    layer_like(channels, channels, stride)(images_like(number, channels, *size))
    assert ways == ([way] if way else [])


@pytest.mark.parametrize(("vectors", "taken"), [("AVX512", ["product"]), ("AVX2", [])])
def test_small_maps_are_products_in_bfloat16(ways, monkeypatch, vectors, taken):
    monkeypatch.setattr(Conv3x3, "vectors", vectors)
    layer = layer_like(64, 64)

    def convolution(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return torch.func.functional_call(layer, {"weight": weight}, x).float()

    compare_with_torch(convolution, images_like(5, 64, 2, 2), layer.weight, 1, precision=0.02)
    assert ways == taken


@pytest.mark.parametrize("number", [8, 11, 64])
@pytest.mark.parametrize("size", [(16, 16), (13, 15), (32, 32)])
def test_filtering_in_several_threads(monkeypatch, number, size):
    shares = []
    monkeypatch.setattr(
        winograd, "in_threads", lambda work, given: shares.append(len(given)) or in_threads(work, given)
    )
    torch.set_num_threads(2)
    weight = torch.randn(48, 32, 3, 3)
    compare_with_torch(Winograd.apply, images_like(number, 32, *size), weight, 1, precision=3e-5)
    tiles = number * math.prod(winograd.tile_grid(*size))
    assert shares == [2] * (2 * (tiles >= 128) + (tiles >= 512))  # of the output, of the two gradients


def test_threads_have_the_mode_of_their_caller(monkeypatch):
    layer, images, shares = layer_like(64, 64).eval(), images_like(16, 64, 16, 16), []
    monkeypatch.setattr(winograd, "in_threads", lambda work, given: shares.append(1) or in_threads(work, given))
    torch.set_num_threads(2)
    with torch.inference_mode():
        alone = layer(images)
    assert alone.is_inference()
    torch.testing.assert_close(layer(images).detach(), alone.clone(), rtol=0, atol=0)
    assert shares == [1, 1]
    monkeypatch.setattr(winograd, "have_cores", lambda threads: False)
    layer(images)
    assert shares == [1, 1]


def test_only_the_gradients_that_are_needed(monkeypatch):
    calls = []
    for name in ("convolve", "weight_gradient"):
        function = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *x, f=function, name=name: calls.append(name) or f(*x))
    images, weight = images_like(8, 64, 8, 8), torch.randn(64, 64, 3, 3)
    Winograd.apply(images, weight.requires_grad_()).sum().backward()
    assert calls == ["convolve", "weight_gradient"]
    Winograd.apply(images.requires_grad_(), weight.detach()).sum().backward()
    assert calls == ["convolve", "weight_gradient", "convolve", "convolve"]


def test_second_derivatives(ways):
    layer, images, found = layer_like(64, 64), images_like(2, 64, 16, 16), []
    for faster in (True, False):
        Conv3x3.faster = faster
        x = images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), (x, layer.weight)))
    assert ways == ["winograd"]
    for mine, other in zip(*found, strict=True):
        assert (mine - other).norm() < 1e-4 * other.norm()


def test_many_gradients_at_once(ways):
    layer, x = layer_like(64, 64), images_like(2, 64, 16, 16).requires_grad_()
    out = layer(x)
    grads = torch.randn(3, *out.shape)
    (together,) = torch.autograd.grad(out, x, grads, is_grads_batched=True, retain_graph=True)
    one = [torch.autograd.grad(out, x, grad, retain_graph=True)[0] for grad in grads]
    assert ways == ["winograd"]
    torch.testing.assert_close(together, torch.stack(one), rtol=0, atol=1e-4)


def test_torchs_transforms_have_its_convolution(ways):
    layer, images = layer_like(64, 64), images_like(2, 64, 16, 16)
    weights, several = layer.weight.detach(), torch.stack([images, images + 1])

    def loss(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, x).square().sum()

    torch.func.grad(loss)(weights, images)
    torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, several)
    torch.func.vmap(loss, (0, 0))(torch.stack([weights, weights]), several)
    torch.func.jvp(lambda x: loss(weights, x), (images,), (images,))
    assert not ways


def test_an_export_has_torchs_convolution_for_any_batch(ways):
    layer, images = layer_like(256, 256).eval(), images_like(2, 256, 8, 8)
    exported = torch.export.export(layer, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert not ways
    many = images_like(50, 256, 8, 8)
    torch.testing.assert_close(exported.module()(many), layer(many), rtol=0, atol=1e-4)
    assert ways == ["winograd"]


def test_contiguous_images_stay_so(ways):
    assert Conv3x3(64, 64)(torch.randn(2, 64, 16, 16)).is_contiguous()
    assert not ways


def test_an_import_in_another_default_type():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            loaded = runpy.run_path(winograd.__file__)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {(loaded[n].dtype, loaded[n].device.type) for n in ("INPUT", "KERNEL", "OUTPUT")} == {(torch.float32, "cpu")}


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


@pytest.mark.parametrize("channels", [1, 3])
def test_a_stem_of_single_pixels_with_a_stride(channels):
    """It would be one more strided convolution of few channels."""
    stem = {"kernel_size": 1, "stride": 2, "padding": 0, "max_pool": False, "activation": "relu"}
    network = ResNet(ModelConfig(**preset("model", "resnet10")), StemConfig(**stem), channels, 10, "relu")
    assert isinstance(network.conv1, Conv1x1) and network.conv1.stride == (2, 2)
    assert network.conv1(torch.randn(2, channels, 9, 8)).shape == (2, 64, 5, 4)


def test_a_layer_that_was_fused_with_its_batchnorm_adds_what_that_adds(ways):
    norm = torch.nn.BatchNorm2d(64).eval()
    torch.nn.init.normal_(norm.bias)
    for layer, images in ((Conv3x3(64, 64), images_like(2, 64, 16, 16)), (Conv1x1(4, 64, 2), images_like(2, 4, 8, 8))):
        apart = norm(layer.eval()(images))
        fused = torch.nn.utils.fusion.fuse_conv_bn_eval(layer, norm).to(memory_format=torch.channels_last)
        torch.testing.assert_close(fused(images), apart, rtol=0, atol=1e-4)


def test_a_layer_with_a_dilation_has_it(ways):
    layer, images = layer_like(64, 64), images_like(2, 64, 16, 16)
    layer.dilation = layer.padding = (2, 2)
    torch.testing.assert_close(layer(images), F.conv2d(images, layer.weight, padding=2, dilation=2))
    assert not ways


def test_a_network_is_written_down_by_torch_fx():
    network, images = ResNet.from_name("resnet50", 10).eval(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(images), network(images), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("channels", "size", "way"), [(4, 2, "product"), (64, 16, "winograd")])
def test_only_float32_takes_them(ways, channels, size, way):
    layer, images = layer_like(channels, channels).double(), images_like(2, channels, size, size)
    layer(images.double())
    with torch.autocast("cpu", torch.bfloat16):
        layer.float()(images)
    layer.to("meta")(images.to("meta"))
    assert not ways
    layer_like(channels, channels)(images)
    assert ways == [way]


def test_evaluation_is_filtered_but_takes_no_products(ways):
    many, few = layer_like(64, 64).eval(), layer_like(4, 4).eval()
    images = images_like(2, 64, 16, 16)
    with torch.inference_mode():
        few(images_like(2, 4, 2, 2))
        out = many(images)
        assert ways == ["winograd"]
        Conv3x3.faster = False
        torch.testing.assert_close(many(images), out, rtol=0, atol=1e-4)


def test_a_trace_has_torchs_convolution(tmp_path, recwarn):
    network = ResNet.from_name("resnet34", 10)
    save_traced(network, (3, 32, 32), tmp_path / "traced.pt")
    images = images_like(2, 3, 32, 32)
    assert not recwarn.list
    traced = torch.jit.load(tmp_path / "traced.pt")
    torch.testing.assert_close(traced(images), network.eval()(images), rtol=0, atol=1e-4)


def test_a_network_learns_the_same(ways):
    gradients = []
    for faster in (True, False):
        Conv3x3.faster = faster
        torch.manual_seed(0)
        network = ResNet.from_name("resnet18", 10, in_channels=1, image_size=28, stem="imagenet", widths=[64, 4, 8, 8])
        network.to(memory_format=torch.channels_last)
        network(torch.randn(16, 1, 32, 32)).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    assert set(ways) == {"product", "winograd"}
    for mine, other in zip(*gradients, strict=True):
        assert (mine - other).norm() < 1e-3 * other.norm()
