"""What of an experiment has not been run at full scale, and how long it would take."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from resnet_lightning.checks import CHANNELS, TRAIN_IMAGES
from resnet_lightning.compose import compose_all
from resnet_lightning.config import Config, identity, plain_settings
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.models.summary import multiply_accumulates
from resnet_lightning.report.frame import epochs_of, read_comparison, scale_of
from resnet_lightning.report.labels import threads_text
from resnet_lightning.result import RunResult
from resnet_lightning.text import duration

SCALED_BY = ("scale", "epochs_scale", "data.test_limit")
# a run with others of these is still the run of the report
OF_THE_MACHINE = ("devices", "precision", "compile", "eval_batch", "eval_train", "traced")


def remaining(experiment: str, sweeps: Sequence[Path], others: Sequence[RunResult] = ()) -> list[str]:
    """A line of a table: the command, how many settings are left, and what they would take; none where all are done.

    Args:
        sweeps: of the experiment, full and scaled down.
        others: finished runs of any experiment; what has no run of its own is estimated from their speed; not
            in a comparison of devices, whose speeds differ.
    """
    wanted, over_devices = wanted_of(experiment)
    runs = [result for path in sweeps for result in finished(path)]
    full = {key_of(result.config, over_devices) for result in runs if is_full(result)}
    work = {key: size for key, size in wanted.items() if key not in full}
    if not work:
        return []
    own, on = by_machine(runs), by_machine([*others, *runs])
    scaled = {machine: {key_of(one.config, over_devices): one for one in own.get(machine, [])} for machine in own or on}
    if over_devices:  # another device has another speed
        shares = {machine: {key: work[key] for key in work.keys() & known.keys()} for machine, known in scaled.items()}
        times = {machine: seconds_left(share, scaled[machine], []) for machine, share in shares.items() if share}
    else:
        times = {machine: seconds_left(work, known, on[machine]) for machine, known in scaled.items()}
    texts = [f"{text} on {machine}" for machine, text in times.items() if text]
    if over_devices and work.keys() - {key for known in scaled.values() for key in known}:
        texts.append("not known on the others" if texts else "not known")
    time = "; ".join(texts) or "not known"
    command = f"`python -m resnet_lightning --multirun experiment={experiment}`"
    return [f"| {command} | {len(work)} of {len(wanted)} | {sum(work.values()):,.1f} | {time} |"]


def by_machine(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """By device, threads and precision, as a page names them."""
    found: dict[str, list[RunResult]] = {}
    for one in results:
        machine = f"{one.device_kind or 'unknown device'}, {threads_text(one.threads)}, {one.precision} precision"
        found.setdefault(machine, []).append(one)
    return dict(sorted(found.items()))


def finished(sweep: Path) -> list[RunResult]:
    return [run.result for run in read_comparison(sweep).done if run.result]


@cache
def wanted_of(experiment: str) -> tuple[dict[str, float], bool]:
    """PFLOP of all settings of an experiment by their keys, and whether it compares devices."""
    configs = [config for _, config in compose_all([f"experiment={experiment}"], multirun=True).jobs]
    over_devices = len({config.accelerator for config in configs}) > 1
    counted: dict[str, int] = {}  # most settings of an experiment have the same network
    wanted = {}
    for config in configs:
        network = repr((config.model, config.stem, config.activation, config.data.name, config.data.image_size))
        if network not in counted:
            counted[network] = work_of_an_image(config)
        images = TRAIN_IMAGES[config.data.name] * config.epochs
        wanted[key_of(plain_settings(config), over_devices)] = petaflop(counted[network], images)
    return wanted, over_devices


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


def petaflop(macs: int, images: int) -> float:
    """Operations of training steps: multiplies and adds, the backward pass as twice the forward.

    Args:
        macs: multiply-accumulates of an image.
        images: of all epochs together.
    """
    return 6 * macs * images / 1e15


def work_of_an_image(config: Config) -> int:
    """Multiply-accumulates of the network of a run, forward."""
    channels = CHANNELS[config.data.name]
    with torch.device("meta"):
        network = ResNet.from_config(config, channels, num_classes=10)
    return multiply_accumulates(network, (channels, config.data.image_size, config.data.image_size))


def full_seconds(result: RunResult) -> float:
    """Of a run, were it not scaled down: training grows with images and epochs, the rest with the epochs."""
    trained = float(result.train_seconds or 0.0)
    epochs = int(result.config["epochs"]) / (epochs_of(result) or 1)
    return trained * epochs / scale_of(result)[0] + (float(result.seconds or trained) - trained) * epochs


def speed(result: RunResult) -> float:
    """PFLOP a second of the whole run, evaluation included in the time."""
    images = int(result.data["images"]["train"]) * (epochs_of(result) or 1)
    return petaflop(int(result.model["multiply_accumulates"]), images) / float(result.seconds or math.inf)


def seconds_left(work: Mapping[str, float], scaled: Mapping[str, RunResult], others: Sequence[RunResult]) -> str:
    """``2 h 10 min``; ``about 2 h 10 min`` where the speed of other runs was needed; empty where that is not known.

    Args:
        work: PFLOP of each setting that is left, by its key.
        scaled: scaled-down runs of some of them on a machine.
        others: all runs on that machine.
    """
    timed = {key: one for key, one in scaled.items() if one.train_seconds is not None}
    known = [timed[key] for key in work if key in timed]
    guessed = sum(size for key, size in work.items() if key not in timed)
    speeds = [one for one in map(speed, others) if one > 0]
    if guessed and not speeds:
        return ""
    seconds = sum(map(full_seconds, known)) + (guessed / statistics.median(speeds) if guessed else 0.0)
    return f"{'about ' if guessed else ''}{duration(seconds)}"
