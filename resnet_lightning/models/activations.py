"""Activations by name, each with the gain that keeps the variance of the signal through a layer."""

import math
from collections.abc import Callable
from functools import partial

from torch import nn

# None of the networks here reads an activation's input again, so where torch can, it overwrites it.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, 0.01, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}

# Standard deviation of a weight = gain / sqrt(fan) (He et al. 2015, arXiv:1502.01852). The first four are those of
# torch.nn.init.calculate_gain; the others, which it lacks, are 1 / sqrt(E[f(z)^2]) for a standard normal z, the
# condition that gives sqrt(2) for relu.
GAINS: dict[str, float] = {
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "tanh": 5 / 3,
    "sigmoid": 1.0,
    "elu": 1.2452,
    "gelu": 1.5335,
    "silu": 1.6765,
    "mish": 1.4868,
}
