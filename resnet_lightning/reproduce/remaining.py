"""What of an experiment has not been run at full scale, and how long it would take."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from resnet_lightning.checks import TRAIN_IMAGES
from resnet_lightning.cli import compose_all
from resnet_lightning.config import Config, identity, plain_settings
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.models.summary import multiply_accumulates
from resnet_lightning.report.frame import epochs_of, read_comparison, scale_of
from resnet_lightning.report.labels import threads_text
from resnet_lightning.result import RunResult
from resnet_lightning.text import duration

SCALED_BY = ("scale", "epochs_scale", "data.test_limit")
OF_THE_MACHINE = ("devices", "precision", "compile")  # a run with others of these is still the run of the report


def remaining(experiment: str, sweeps: Sequence[Path], others: Sequence[RunResult] = ()) -> list[str]:
    """A line of a table: the command, how many settings are left, and what they would take; none where all are done.

    Args:
        sweeps: of the experiment, full and scaled down.
        others: finished runs of any experiment; what has no run of its own is estimated from their speed.
    """
    wanted, over_devices = wanted_of(experiment)
    runs = [result for path in sweeps for result in finished(path)]
    done = {key_of(result.config, over_devices): result for result in runs}
    full = {key_of(result.config, over_devices) for result in runs if is_full(result)}
    left = [key for key in wanted if key not in full]
    if not left:
        return []
    known = [done[key] for key in left if key in done]
    work = {key: petaflop(wanted[key]) for key in left}
    guessed = sum(work[key] for key in left if key not in done)
    command = f"`python -m resnet_lightning --multirun experiment={experiment}`"
    time = time_text(known, guessed, [*runs, *others])
    return [f"| {command} | {len(left)} of {len(wanted)} | {sum(work.values()):,.1f} | {time} |"]


def finished(sweep: Path) -> list[RunResult]:
    return [run.result for run in read_comparison(sweep).done if run.result]


@cache
def wanted_of(experiment: str) -> tuple[dict[str, Config], bool]:
    """All settings of an experiment by their keys, and whether it compares devices."""
    configs = [config for _, config in compose_all([f"experiment={experiment}"], multirun=True).jobs]
    over_devices = len({config.accelerator for config in configs}) > 1
    return {key_of(plain_settings(config), over_devices): config for config in configs}, over_devices


def is_full(result: RunResult) -> bool:
    return scale_of(result) == (1.0, 1.0) and result.config.get("data", {}).get("test_limit") is None


def key_of(settings: Mapping[str, Any], over_devices: bool) -> str:
    """The same for a run, its scaled-down version, and both on another machine.

    Args:
        over_devices: the experiment compares devices, so that the device is a setting like another.
    """
    left_out = {*SCALED_BY, *OF_THE_MACHINE, *(() if over_devices else ("accelerator",))}
    flat = identity(dict(settings))
    return json.dumps({key: flat[key] for key in sorted(flat) if key not in left_out})


def petaflop(config: Config) -> float:
    """Operations of all training steps of a full run: multiplies and adds, the backward pass as twice the forward."""
    channels = 1 if "mnist" in config.data.name else 3
    with torch.device("meta"):
        network = ResNet.from_config(config, channels, num_classes=10)
    macs = multiply_accumulates(network, (channels, config.data.image_size, config.data.image_size))
    return 6 * macs * TRAIN_IMAGES[config.data.name] * config.epochs / 1e15


def full_seconds(result: RunResult) -> float:
    """Of a run, were it not scaled down: training grows with images and epochs, the rest with the epochs."""
    trained = float(result.train_seconds or 0.0)
    epochs = int(result.config["epochs"]) / (epochs_of(result) or 1)
    return trained * epochs / scale_of(result)[0] + (float(result.seconds or trained) - trained) * epochs


def speed(result: RunResult) -> float:
    """PFLOP a second of the whole run, evaluation included in the time."""
    images = int(result.data["images"]["train"]) * (epochs_of(result) or 1)
    return 6 * int(result.model["multiply_accumulates"]) * images / 1e15 / float(result.seconds or math.inf)


def time_text(known: Sequence[RunResult], guessed: float, runs: Sequence[RunResult]) -> str:
    """``2 h 10 min on cpu ..., 1 CPU thread, bf16 precision``.

    Args:
        known: scaled-down runs of what is left.
        guessed: PFLOP of what is left without one.
        runs: what its speed is taken from.
    """
    speeds = [one for one in map(speed, runs) if one > 0]
    if guessed and not speeds:
        return "not known"
    seconds = sum(map(full_seconds, known)) + (guessed / statistics.median(speeds) if guessed else 0.0)
    machines = {f"{one.device}, {threads_text(one.threads)}, {one.precision} precision" for one in known or runs}
    roughly = ", roughly: partly from the speed of other networks" if guessed else ""
    return f"{duration(seconds)} on {' and '.join(sorted(machines))}{roughly}"
