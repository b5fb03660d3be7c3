"""What a network is, in five lines: name, stem, stages, parameters, multiply-accumulates per image."""

import copy
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from resnet_lightning.config import Config
from resnet_lightning.models.resnet import ResNet, describe_stages


def parameter_count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_accumulates(network: torch.nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image (C, H, W), counted without computing any."""
    skeleton = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        skeleton(torch.empty(1, *image_shape, device="meta"))
    return int(counter.get_total_flops()) // 2


def model_facts(network: ResNet, config: Config, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """The facts of ``result.json`` on the network."""
    stem = config.stem
    pool = ", 3x3 max-pool stride 2" if stem.max_pool else ""
    kernel = f"{stem.kernel_size}x{stem.kernel_size}"
    return {
        "name": config.model.name,
        "stem": f"{kernel} stride {stem.stride} padding {stem.padding}, {stem.activation}{pool}",
        "stages": f"{config.model.block} blocks, {', '.join(describe_stages(config.model))}, {config.activation}",
        "parameters": parameter_count(network),
        "multiply_accumulates": multiply_accumulates(network, image_shape),
    }


def summary(facts: dict[str, Any], image_shape: tuple[int, int, int]) -> str:
    shape, work = "x".join(map(str, image_shape)), facts["multiply_accumulates"] / 1e6
    return "\n".join(
        [
            f"model       {facts['name']}",
            f"stem        {facts['stem']}",
            f"stages      {facts['stages']}",
            f"parameters  {facts['parameters']:,}",
            f"per image   {work:,.1f} million multiply-accumulates at {shape}",
        ]
    )
