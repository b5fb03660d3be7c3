"""``ema``: a second network whose weights follow those of the trained one; it is the one that is evaluated and kept.

Training ends at a point that the last few batches chose; the average over the last ``1 / (1 - decay)`` steps is less
noisy (Polyak and Juditsky 1992). The running statistics of BatchNorm are averaged as well: they belong to the weights.
"""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def follower_of(network: nn.Module) -> nn.Module:
    """A copy that no optimizer and no gradient reaches."""
    return copy.deepcopy(network).requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """The decay of a step (from 1): at first smaller, else the start would weigh as much as a whole short run."""
    return min(decay, (1 + step) / (10 + step))


class Following:
    """Moves ``average`` towards ``network``, all tensors in one call.

    Not ``AveragedModel``: it asks its step counter, a tensor, whether this is the first step, and a GPU would have to
    finish all queued work to answer. Made when the networks are where they are trained: a move changes the buffers.
    """

    def __init__(self, average: nn.Module, network: nn.Module, decay: float) -> None:
        self.average, self.network, self.decay = floats(average), floats(network), decay

    def step(self, number: int) -> None:
        """Follow the optimizer's step of this number, from 1."""
        get_ema_multi_avg_fn(decay_at(number, self.decay))(tuple(self.average), tuple(self.network), number)


def floats(network: nn.Module) -> list[Tensor]:
    """Parameters, running means and running variances; not the counters of batches."""
    return [tensor for tensor in network.state_dict().values() if torch.is_floating_point(tensor)]
