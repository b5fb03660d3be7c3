"""Winograd's minimal filtering F(4x4, 3x3): 3x3 convolutions with 36 products where the definition takes 144.

A tile of 4x4 outputs comes from 6x6 inputs d and a kernel g as A^T [(G g G^T) * (B^T d B)] A, which sums over channels
between the brackets: 36 matrix products of (tiles x channels) by (channels x channels). Lavin & Gray 2016, Fast
Algorithms for Convolutional Neural Networks (arXiv:1509.09308), where the three matrices are from. Both gradients have
the same form and are as cheap. Beside torch's convolution of normal random numbers in float32, outputs and gradients
differ by up to 4e-6, the gradient of the weights by up to 7e-6 (norm of the difference by norm, 64 to 512 channels).
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lightning.models.threads import have_cores, in_threads

Result = TypeVar("Result")

INPUT = torch.tensor(  # B^T
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float32,
    device="cpu",
)
KERNEL = torch.tensor(  # G
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float32, device="cpu"
).div(24)
OUTPUT = torch.tensor(  # A^T
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float32,
    device="cpu",
)
TILES = 128  # per thread and turn: enough rows for a matrix product at full speed, few enough for the cache


class Winograd(torch.autograd.Function):
    """3x3 convolution, stride 1, padding 1: images (N, C, H, W), weight (K, C, 3, 3) -> (N, K, H, W), float32.

    The output lies in memory channels last. Second derivatives are those of torch's convolution; forward-mode ones
    (dual tensors) are not there.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return convolve(images, kernels(KERNEL, weight).transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        if torch.is_grad_enabled() or torch._C._functorch.is_legacy_batchedtensor(grad):  # a graph, or many at once
            return torch_gradients(grad, images, weight, ctx.needs_input_grad)
        for_images = for_weight = None
        if ctx.needs_input_grad[0]:  # a convolution with the kernels turned by half a turn
            for_images = convolve(grad, kernels(KERNEL.flip(1), weight))
        if ctx.needs_input_grad[1]:
            for_weight = weight_gradient(images, grad)
        return for_images, for_weight


def torch_gradients(
    grad: Tensor, images: Tensor, weight: Tensor, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    one = [1, 1]
    for_images, for_weight, _ = torch.ops.aten.convolution_backward(
        grad, images, weight, None, one, one, one, False, [0, 0], 1, [*needed, False]
    )
    return for_images, for_weight


def tile_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the tiles of 4x4 pixels that cover a map."""
    return -(-height // 4), -(-width // 4)


def sandwich(matrix: Tensor, tiles: Tensor) -> Tensor:
    """matrix @ tile @ matrix^T for every tile: matrix (a, i), tiles (i, i, ...) -> (a, a, ...)."""
    size, flat = len(matrix), tiles.flatten(2)
    rows = torch.mm(matrix, flat.flatten(1)).view(size, *flat.shape[1:])
    return torch.bmm(matrix.expand(size, -1, -1), rows).view(size, size, *tiles.shape[2:])


def kernels(matrix: Tensor, weight: Tensor) -> Tensor:
    """Weights (K, C, 3, 3) in Winograd's form: (36, K, C)."""
    return sandwich(matrix, weight.permute(2, 3, 0, 1)).flatten(0, 1)


def input_tiles(images: Tensor) -> Tensor:
    """Overlapping tiles of 6x6 pixels, 4 apart, in Winograd's form: (n, H, W, C) -> (36, tiles, C)."""
    number, height, width, channels = images.shape
    down, right = tile_grid(height, width)
    padded = F.pad(images, (0, 0, 1, 4 * right + 1 - width, 1, 4 * down + 1 - height))
    image, row, pixel, channel = padded.stride()
    strides = (row, pixel, image, 4 * row, 4 * pixel, channel)
    tiles = padded.as_strided((6, 6, number, down, right, channels), strides)
    return sandwich(INPUT, tiles.reshape(6, 6, -1)).view(36, -1, channels)


def output_tiles(images: Tensor) -> Tensor:
    """Tiles of 4x4 pixels side by side: (n, H, W, K) -> (4, 4, tiles, K)."""
    number, height, width, channels = images.shape
    down, right = tile_grid(height, width)
    padded = F.pad(images, (0, 0, 0, 4 * right - width, 0, 4 * down - height))
    tiles = padded.reshape(number, down, 4, right, 4, channels).permute(2, 4, 0, 1, 3, 5)
    return tiles.reshape(4, 4, -1, channels)


def from_output_tiles(tiles: Tensor, shape: torch.Size) -> Tensor:
    """(4, 4, tiles, K) -> (n, H, W, K)."""
    number, height, width, channels = shape
    down, right = tile_grid(height, width)
    images = tiles.view(4, 4, number, down, right, channels).permute(2, 3, 0, 4, 1, 5)
    return images.reshape(number, 4 * down, 4 * right, channels)[:, :height, :width]


def by_threads(
    work: Callable[[Tensor, Tensor, int], Result], images: Tensor, others: Tensor, least: int
) -> list[Result]:
    """``work(images, others, images per turn)`` for the share of each thread, or on all threads at once.

    The latter where a thread would get fewer than ``least`` tiles, shares of unlike size, or no core of its own.
    """
    threads, number, tiles = torch.get_num_threads(), len(images), math.prod(tile_grid(*images.shape[1:3]))
    worth = threads > 1 and number >= 4 * threads and number * tiles >= least * threads
    if not (worth and have_cores(threads)):
        return [work(images, others, max(1, TILES * threads // tiles))]
    shares = list(zip(images.tensor_split(threads), others.tensor_split(threads), strict=True))
    return in_threads(lambda share: work(*share, max(1, TILES // tiles)), shares)


def convolve(images: Tensor, weights: Tensor) -> Tensor:
    """Images (N, C, H, W) with weights in Winograd's form (36, C, K) -> (N, K, H, W)."""
    images = images.permute(0, 2, 3, 1)
    out = images.new_empty(*images.shape[:3], weights.shape[2])

    def fill(images: Tensor, out: Tensor, step: int) -> None:
        for source, target in zip(images.split(step), out.split(step), strict=True):
            products = torch.bmm(input_tiles(source), weights)
            target.copy_(from_output_tiles(sandwich(OUTPUT, products.unflatten(0, (6, 6))), target.shape))

    by_threads(fill, images, out, least=TILES // 2)
    return out.permute(0, 3, 1, 2)


def weight_gradient(images: Tensor, grad: Tensor) -> Tensor:
    """Images (N, C, H, W) and the gradient of the outputs (N, K, H, W) -> (K, C, 3, 3)."""
    transform = OUTPUT.t().contiguous()

    def products(images: Tensor, grad: Tensor, step: int) -> Tensor:
        total = None
        for source, target in zip(images.split(step), grad.split(step), strict=True):
            outer = sandwich(transform, output_tiles(target)).flatten(0, 1).transpose(1, 2)
            inner = input_tiles(source)
            total = torch.bmm(outer, inner) if total is None else total.baddbmm_(outer, inner)
        assert total is not None  # a batch is not empty
        return total

    # a sum of each thread, four times as large as the weights: not for a few tiles
    sums = by_threads(products, images.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1), least=2 * TILES)
    total = reduce(Tensor.add_, sums)
    return sandwich(KERNEL.t().contiguous(), total.unflatten(0, (6, 6))).permute(2, 3, 0, 1)
