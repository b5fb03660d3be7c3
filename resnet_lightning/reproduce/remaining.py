"""What of an experiment has not been run at full scale, and how long it would take."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from resnet_lightning.cli import compose_all
from resnet_lightning.config import identity, plain_settings
from resnet_lightning.report.frame import epochs_of, read_comparison, scale_of
from resnet_lightning.report.labels import threads_text
from resnet_lightning.result import RunResult
from resnet_lightning.text import duration

SCALED_BY = ("scale", "epochs_scale", "data.test_limit")
OF_THE_MACHINE = ("devices", "precision", "compile")  # a run with others of these is still the run of the report


def remaining(experiment: str, sweeps: Sequence[Path]) -> list[str]:
    """A line of a table: the command, how many settings are left, and what they would take; none where all are done.

    Args:
        sweeps: of the experiment, full and scaled down.
    """
    wanted, over_devices = wanted_of(experiment)
    runs = [run.result for path in sweeps for run in read_comparison(path).runs if run.result and run.status == "done"]
    done = {key_of(result.config, over_devices): result for result in runs}
    left = wanted - {key_of(result.config, over_devices) for result in runs if is_full(result)}
    if not left:
        return []
    known = [done[key] for key in left if key in done]
    lacking = f"; {len(left) - len(known)} of them without a run to estimate from" if 0 < len(known) < len(left) else ""
    command = f"`python -m resnet_lightning --multirun experiment={experiment}`"
    work = f"{sum(map(petaflop, known)):,.1f}" if known else "-"
    return [f"| {command} | {len(left)} of {len(wanted)} | {work} | {time_text(known)}{lacking} |"]


@cache
def wanted_of(experiment: str) -> tuple[frozenset[str], bool]:
    """Keys of all settings of an experiment, and whether it compares devices."""
    configs = [config for _, config in compose_all([f"experiment={experiment}"], multirun=True).jobs]
    over_devices = len({config.accelerator for config in configs}) > 1
    return frozenset(key_of(plain_settings(config), over_devices) for config in configs), over_devices


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


def petaflop(result: RunResult) -> float:
    """Operations of all training steps at full scale: multiplies and adds, the backward pass as twice the forward."""
    images = full_images(result) * int(result.config["epochs"])
    return 3 * 2 * float(result.model["multiply_accumulates"]) * images / 1e15


def full_images(result: RunResult) -> float:
    return float(result.data["images"]["train"]) / scale_of(result)[0]


def full_seconds(result: RunResult) -> float:
    """Training grows with images and epochs, the rest (evaluation, start) with the epochs."""
    trained = float(result.train_seconds or 0.0)
    epochs = int(result.config["epochs"]) / (epochs_of(result) or 1)
    return trained * epochs / scale_of(result)[0] + (float(result.seconds or trained) - trained) * epochs


def time_text(results: Sequence[RunResult]) -> str:
    """``2 h 10 min on cpu ..., 1 CPU thread, bf16 precision``: at the speed of the runs there are."""
    if not results:
        return "not known"
    machines = {f"{one.device}, {threads_text(one.threads)}, {one.precision} precision" for one in results}
    return f"{duration(sum(map(full_seconds, results)))} on {' and '.join(sorted(machines))}"
