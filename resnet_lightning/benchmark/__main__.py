"""``python -m resnet_lightning.benchmark``: how fast this machine trains, beside what people would use instead."""

import datetime
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from resnet_lightning.benchmark.rounds import Effort, Row, noted
from resnet_lightning.checks import choose, nearest
from resnet_lightning.command import run_command
from resnet_lightning.config import Config, ConfigError
from resnet_lightning.text import count, exit_with, tell

SECTIONS = ("training", "plain", "input", "overhead", "launcher", "scaling")
HELP = """\
usage: python -m resnet_lightning.benchmark [only=training,plain] [rounds=5] [key=value ...]
       python -m resnet_lightning.benchmark recommend=true model=resnet18 data=cifar10 [batch=128] [key=value ...]

Measures the alternatives on this machine in turn, in several rounds, and writes benchmark.md and benchmark.csv: medians
with minimum and maximum, ratios within a round. Nothing else should run meanwhile.

  only       sections, of: training   images/s for precision x memory format x compile, and the share of the peak
                           plain      against plain loops: torchvision data set, PIL transforms, DataLoader, float32
                           input      loader and augmentation against torchvision (PIL and v2) and kornia
                           overhead   our Trainer set-up in a step, the start of a run, loading the data sets
                           launcher   what a sweep costs besides training, against Hydra's basic launcher
                           scaling    as batch, data set, image size and depth grow
             (default: all of them)
  rounds     how often each alternative has its turn (default: 5)
  seconds    roughly how long a turn of training takes (default: 3); other turns are shorter
  folder     where to write the two files (default: outputs/benchmark, with recommend=true outputs/recommend)
  quick      true makes everything tiny except a model or experiment that you name, to see that it works; the figures
             mean nothing
  recommend  true prints the settings that train this network fastest here, with the commands
  other keys are settings of a run, as in model=resnet10 data=mnist batch=64 threads=2; for the sections training and
             input and for recommend (without a model or an experiment: ResNet-18 on CIFAR-10, crop and flip); the other
             sections take only data.root, accelerator and threads

A training step is forward, loss, backward and optimizer: scheduler, ema, label_smoothing and gradient_clip are not
part of it. training and recommend compare precision and compile themselves, so setting these has no effect there.
What does not work on this machine is left out, with a message that says so.
Exit codes: 0 done, 1 data missing or damaged or no room for the files, 2 bad setting, 130 interrupted (the sections
that are done by then are written).
"""
OWN = {"only": "", "rounds": "5", "seconds": "3", "folder": "", "quick": "false", "recommend": "false"}
MACHINE = ("data.root", "accelerator", "threads")  # settings that every section takes
TINY = ["model=resnet10", "model.widths=[4,8,8]"]
STANDARD = ["model=resnet18", "data=cifar10", "augment=crop_flip"]  # where the user names no model and no experiment


@dataclass(frozen=True)
class Asked:
    """What a command line asks for.

    Attributes:
        settings: of the run that is measured.
        machine: those of them that say where the data are and what trains.
    """

    sections: list[str]
    effort: Effort
    folder: Path
    recommend: bool
    settings: list[str]
    machine: list[str]


def parse(arguments: Sequence[str]) -> Asked:
    """
    Raises:
        ConfigError: an argument that cannot be.
    """
    pairs = [argument.partition("=") for argument in arguments]
    own = OWN | {key: value for key, _, value in pairs if key in OWN}
    rest = [argument for argument, pair in zip(arguments, pairs, strict=True) if pair[0] not in OWN]
    check_keys(rest)
    for key in ("quick", "recommend"):
        choose(key, own[key], ("true", "false"))
    sections = [name for name in own["only"].split(",") if name] or list(SECTIONS)
    for name in sections:
        choose("only", name, SECTIONS)
    quick = own["quick"] == "true"
    rounds = 1 if quick else positive("rounds", own["rounds"])
    effort = Effort(int(rounds), 0.02 if quick else positive("seconds", own["seconds"]), quick)
    settings = rest
    if not any(argument.startswith(("model=", "experiment=")) for argument in rest):
        settings = [*(TINY if quick else STANDARD), *rest]
    machine = [argument for argument in rest if argument.partition("=")[0] in MACHINE]
    recommend = own["recommend"] == "true"
    folder = Path(own["folder"] or ("outputs/recommend" if recommend else "outputs/benchmark"))
    return Asked(sections, effort, folder, recommend, settings, machine)


def check_keys(rest: Sequence[str]) -> None:
    """A key of this command that is mistyped; the settings of a run have their own check."""
    for argument in rest:
        key = argument.partition("=")[0]
        meant = nearest(key, OWN)
        if meant and not nearest(key, Config.__annotations__) and "." not in key:
            raise ConfigError(
                f"There is no setting {key}.{meant} All of them: python -m resnet_lightning.benchmark --help"
            )


def make_folder(folder: Path) -> None:
    """
    Raises:
        ConfigError: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"folder={folder} is not possible: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"folder={folder} is not possible: nothing can be written there.")


def positive(key: str, text: str) -> float:
    try:
        value = float(text) if key == "seconds" else int(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        kind = "a number above 0" if key == "seconds" else "a whole number from 1"
        raise ConfigError(f"{key}={text} is not possible: it must be {kind}.")
    return value


def machine_line(arguments: Sequence[str], asked: Asked) -> str:
    """What the figures belong to."""
    import torch

    from resnet_lightning import hardware
    from resnet_lightning.benchmark.ours import compose
    from resnet_lightning.benchmark.training import device_of

    versions = hardware.versions()
    device = device_of(compose(asked.settings))
    names = [hardware.device_name(device), *([hardware.cpu_name()] if device.type == "cuda" else [])]
    libraries = [f"{name} {versions[name]}" for name in ("torch", "torchvision", "lightning")]
    if find_spec("kornia"):
        libraries.append(f"kornia {version('kornia')}")
    warning = "\n\n**quick=true: these figures mean nothing.**" if asked.effort.quick else ""
    return (
        f"`python -m resnet_lightning.benchmark {shlex.join(arguments)}`\n\n"
        f"{' and '.join(names)}, {count(torch.get_num_threads(), 'thread')}; "
        f"{', '.join(libraries)}, {versions['system']}; {datetime.date.today().isoformat()}. "
        "Medians over rounds in which the ways have their turns; "
        f"ratios are medians of the ratios within a round, with the smallest and the largest.{warning}"
    )


def measures(asked: Asked) -> dict[str, Callable[[], tuple[list[Row], list[str]]]]:
    """What each section calls; imports torch."""
    from resnet_lightning.benchmark.against_plain import measure_plain
    from resnet_lightning.benchmark.inputs import measure_input
    from resnet_lightning.benchmark.launcher import measure_launcher
    from resnet_lightning.benchmark.ours import compose
    from resnet_lightning.benchmark.overhead import measure_overhead
    from resnet_lightning.benchmark.scaling import measure_scaling
    from resnet_lightning.benchmark.training import measure_training

    config = compose(asked.settings)
    return {
        "training": lambda: measure_training(config, asked.effort),
        "plain": lambda: measure_plain(asked.machine, asked.effort),
        "input": lambda: measure_input(config, asked.machine, asked.effort),
        "overhead": lambda: measure_overhead(config, asked.machine, asked.effort),
        "launcher": lambda: measure_launcher(config, asked.machine, asked.effort),
        "scaling": lambda: measure_scaling(asked.machine, asked.effort),
    }


def tables(rows: Sequence[Row]) -> list[str]:
    from resnet_lightning.benchmark.write import group_table

    groups = dict.fromkeys(row.group for row in rows)
    return [group_table([row for row in rows if row.group == group]) + "\n" for group in groups]


@contextmanager
def said_at_any_rate(parts: Sequence[str]) -> Iterator[None]:
    """Print ``parts`` after the block that writes them to a file, also where that fails: minutes went into them."""
    try:
        yield
    finally:
        if parts:
            tell("\n".join(parts))


def measure(arguments: Sequence[str], asked: Asked) -> None:
    from resnet_lightning.benchmark.write import write

    head = machine_line(arguments, asked)
    found: list[Row] = []
    missing: list[str] = []
    of_section = measures(asked)
    for section in asked.sections:
        tell(f"{section} ...")
        rows: list[Row] = []
        skipped: list[str] = []
        with noted(f"Section {section}", skipped):
            rows, skipped = of_section[section]()
        found, missing = found + rows, missing + skipped
        with said_at_any_rate([*tables(rows), *skipped]):
            write(asked.folder, head, found, missing)
    tell(str(asked.folder / "benchmark.md"))


def advise(arguments: Sequence[str], asked: Asked) -> None:
    from resnet_lightning.benchmark.recommend import recommend
    from resnet_lightning.benchmark.write import write

    said: list[str] = []
    with said_at_any_rate(said):
        for advice in recommend(asked.settings, asked.effort):
            sentences = "\n".join(f"- {line}" for line in advice.lines)
            commands = "\n".join(advice.commands)
            head = f"{machine_line(arguments, asked)}\n\n## Recommended\n\n{sentences}\n\n```\n{commands}\n```"
            said[:] = [*tables(advice.rows), *advice.lines, commands]
            write(asked.folder, head, advice.rows, [])
    tell(str(asked.folder / "benchmark.md"))


def main(arguments: list[str]) -> int:
    return run_command(work, arguments, lambda: HELP)


def work(arguments: list[str]) -> int:
    asked = parse(arguments)
    from resnet_lightning import hardware
    from resnet_lightning.benchmark.ours import compose
    from resnet_lightning.benchmark.timing import torch_flags
    from resnet_lightning.cli import check_machine

    hardware.keep_freed_memory()
    config = compose(asked.settings)
    if config.devices != 1:
        raise ConfigError(f"devices={config.devices} is not possible: only one device is measured, the first one.")
    check_machine([config], elsewhere=False)
    make_folder(asked.folder)
    hardware.set_threads(config.threads, 1)
    with torch_flags(of_a_run=hardware.pick_accelerator(config.accelerator) == "cuda"):
        (advise if asked.recommend else measure)(arguments, asked)
    return 0


if __name__ == "__main__":
    exit_with(main(sys.argv[1:]))
