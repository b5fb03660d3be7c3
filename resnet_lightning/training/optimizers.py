"""Optimizers and learning-rate schedules, both described by files of ``conf/``."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from resnet_lightning.checks import choose, nearest
from resnet_lightning.config import ConfigError

ALGORITHMS: dict[str, Callable[..., Optimizer]] = {
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
    "Adadelta": torch.optim.Adadelta,
    "ASGD": torch.optim.ASGD,
}
FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # these have such a kernel for every device of ours
NOT_OPTIONS = ("name", "algorithm", "lr", "weight_decay")  # keys of conf/optimizer/*.yaml that are settings of the run


def check_options(options: dict[str, Any]) -> None:
    """Compare the keys of ``optimizer`` with the arguments of its class.

    Raises:
        ConfigError: there is no such algorithm, or it does not have such an option.
    """
    choose("optimizer.algorithm", options["algorithm"], ALGORITHMS)
    known = set(inspect.signature(ALGORITHMS[options["algorithm"]]).parameters) - {"params"}
    for key in options.keys() - {"name", "algorithm"}:
        if key not in known:
            raise ConfigError(f"optimizer.{key} is not an option of {options['algorithm']}.{nearest(key, known)}")
    try:
        build_optimizer(nn.Linear(1, 1), options, 0.1, 0.0)
    except (ValueError, TypeError) as error:
        name = options.get("name", options["algorithm"])
        raise ConfigError(f"optimizer={name} is not possible with these options: {error}.") from error


def build_optimizer(
    network: nn.Module, options: dict[str, Any], lr: float, weight_decay: float, fused: bool = True
) -> Optimizer:
    """Make the optimizer; weight decay applies to weights only, not to biases and BatchNorm (vectors).

    Args:
        fused: update all parameters in one pass over memory, where torch can: for Adam half the time or less.
    """
    algorithm = ALGORITHMS[options["algorithm"]]
    extra = {key: value for key, value in options.items() if key not in NOT_OPTIONS}
    weights = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if algorithm is torch.optim.ASGD:
        return averaged_sgd(groups, lr, extra)
    if fused and algorithm in FUSED and not {"foreach", "differentiable", "dampening"} & extra.keys():
        extra = {"fused": True, **extra}
    optimizer = algorithm(groups, lr=lr, **extra)
    if extra.get("fused") and extra.get("momentum") and not extra.get("dampening"):  # it damps no first step
        optimizer.register_step_pre_hook(begin_at_rest)
    return optimizer


def begin_at_rest(optimizer: Optimizer, *_: Any) -> None:
    """Before its first step, give fused SGD a momentum of 0, which makes that step the gradient, as it should be.

    It would make one without values, and where ``GradScaler`` has the step skipped (in 16 bit the first ones often
    are), whatever was in that memory would be the momentum of the next.
    """
    if not optimizer.state:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for parameter in parameters:
            if parameter.grad is not None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter.grad)


def averaged_sgd(groups: list[dict[str, Any]], lr: float, extra: dict[str, Any]) -> Optimizer:
    """``ASGD`` that keeps its counters on a GPU: else it waits for each of them, a parameter and a step."""
    on_gpu = all(p.is_cuda for group in groups for p in group["params"])
    optimizer = torch.optim.ASGD(groups, lr=lr, **{"capturable": on_gpu, **extra})

    def of_this_device(_: Optimizer, state: dict[str, Any]) -> None:
        """A checkpoint may come from another one."""
        for group, own in zip(state["param_groups"], optimizer.param_groups, strict=True):
            group["capturable"] = own["capturable"]

    optimizer.register_load_state_dict_pre_hook(of_this_device)
    return optimizer


DIGITS = 9  # of an epoch: 33 steps of 1.1 an epoch are 30 epochs, not 29.999999999999996


def _constant(epoch: float, epochs: float, options: dict[str, Any]) -> float:
    return 1.0


def _step(epoch: float, epochs: float, options: dict[str, Any]) -> float:
    return float(options["gamma"] ** (round(epoch, DIGITS) // options["step_size"]))


def _multistep(epoch: float, epochs: float, options: dict[str, Any]) -> float:
    return float(options["gamma"] ** sum(round(epoch, DIGITS) >= milestone for milestone in options["milestones"]))


def _cosine(epoch: float, epochs: float, options: dict[str, Any]) -> float:
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def _onecycle(epoch: float, epochs: float, options: dict[str, Any]) -> float:
    """Half a cosine up from ``start`` to 1 in the first ``rise`` of the run, half a cosine down to 0 in the rest."""
    done, rise, start = epoch / epochs, options["rise"], options["start"]
    if done < rise:
        return float(start + (1 - start) * (1 - math.cos(math.pi * done / rise)) / 2)
    return (1 + math.cos(math.pi * (done - rise) / (1 - rise))) / 2


# (epoch, epochs, options) -> factor of the learning rate; epoch is a fraction within an epoch
SHAPES: dict[str, Callable[[float, float, dict[str, Any]], float]] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "cosine": _cosine,
    "onecycle": _onecycle,
}
OF_THE_REST = ("cosine", "onecycle")  # these begin when the warm-up ends; the others count epochs from the start


def check_schedule(options: dict[str, Any]) -> None:
    """
    Raises:
        ConfigError: nothing computes a schedule of this name.
    """
    choose("scheduler", options["name"], SHAPES)


def lr_factor(options: dict[str, Any], step: int, steps_per_epoch: float, epochs: float) -> float:
    """The learning rate of a step (from 0), as a factor of ``lr``: a linear warm-up to where the schedule begins, then
    the schedule."""
    warmup = options["warmup"] * steps_per_epoch
    begin = warmup if options["name"] in OF_THE_REST else 0
    left = epochs * steps_per_epoch - begin
    if step < warmup:
        top = SHAPES[options["name"]](0.0, left / steps_per_epoch, options) if options["name"] in OF_THE_REST else 1.0
        return float((step + 1) / (warmup + 1) * top)
    return SHAPES[options["name"]]((step - begin) / steps_per_epoch, left / steps_per_epoch, options)


def build_scheduler(optimizer: Optimizer, options: dict[str, Any], steps_per_epoch: float, epochs: float) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: lr_factor(options, step, steps_per_epoch, epochs))
