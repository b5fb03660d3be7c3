"""From the command line to the checked settings of every job that it asks for."""

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict

from resnet_lightning.checks import choose
from resnet_lightning.config import CHOICES, Config, ConfigError, conf_folder, value_of
from resnet_lightning.help import options, type_names
from resnet_lightning.hydra_errors import in_words, unknown_key
from resnet_lightning.overrides import parse, plain
from resnet_lightning.presets import preset
from resnet_lightning.settings import read_config
from resnet_lightning.sweep.grid import expand, swept_keys

ELSEWHERE = ("slurm", "ray")  # launchers that run jobs on other machines


@cache
def free_folder(path: str) -> str:
    """``path``, or where that exists ``path_2``, ``path_3`` ...: two runs of the same second get a folder each."""
    folder, number = Path(path), 1
    while True:
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            if not os.path.lexists(folder):  # it is the folder above: a link that leads nowhere
                return str(folder)
            number += 1
            folder = Path(f"{path}_{number}")
        except OSError:  # Hydra will say so: an error of a resolver is wrapped beyond recognition
            return str(folder)


def run_name(name: str | None, model: str, data: str) -> str:
    return name or f"{model}_{data}"


def sweep_name(name: str | None, now: str, scale: float, epochs_scale: float, test_limit: int | None) -> str:
    """``lr_batch``, scaled down ``lr_batch_scale-0.1``: full and scaled-down runs never share a folder."""
    parts = [name or now]
    parts += [f"{key}-{value:g}" for key, value in (("scale", scale), ("epochs", epochs_scale)) if value < 1]
    parts += [f"test-{test_limit}"] if test_limit else []
    return "_".join(parts)


OmegaConf.register_new_resolver("sweep_name", sweep_name)
OmegaConf.register_new_resolver("free_folder", free_folder)
OmegaConf.register_new_resolver("run_name", run_name)


@dataclass(frozen=True)
class Command:
    """What a command line asks for.

    Attributes:
        jobs: overrides and settings of the single run, or of every point of the grid.
        folder: of the sweep.
        launcher: of the sweep, as ``hydra/launcher`` names it; empty for a single run.
    """

    jobs: list[tuple[list[str], Config]]
    folder: Path
    launcher: str

    @property
    def elsewhere(self) -> bool:
        """Whether the jobs run on other machines than this one."""
        return self.launcher in ELSEWHERE


def compose_all(arguments: Sequence[str], multirun: bool) -> Command:
    """Compose and check every job that the arguments describe: one, or with ``multirun`` all of the grid.

    Raises:
        ConfigError: on the first argument or job that cannot be.
    """
    overrides = parse(arguments)
    for override in overrides:
        check_choice(override)
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        composer = Composer()
        whole = composer.compose([str(item.input_line) for item in overrides if not item.is_sweep_override()])
        params, rows = plain(whole.own.sweeper.params), plain(whole.own.sweeper.rows)
        if multirun:
            jobs = expand(overrides, params, rows)
        else:
            check_single_run(overrides, swept_keys(params, rows))
            jobs = [list(arguments)]
        if multirun or any(item.is_sweep_override() for item in overrides):  # of a single run Hydra says what is wrong
            whole = composer.compose(jobs[0])
        composed = composer.jobs(jobs)
    folder = Path(whole.own.sweep.dir) if multirun else Path()
    check_sweep([config for _, config in composed], folder, multirun)
    return Command(composed, folder, whole.own.runtime.choices["hydra/launcher"] if multirun else "")


def check_single_run(overrides: Sequence[Override], keys: Sequence[str]) -> None:
    """An experiment that compares runs is no single run, unless it is said which of them is meant."""
    experiment = next((item.value() for item in overrides if item.key_or_group == "experiment"), None)
    left = [key for key in keys if key not in {item.get_key_element().lstrip("+") for item in overrides}]
    if left:
        what = f"experiment={experiment}" if experiment else "hydra.sweeper"
        raise ConfigError(f"{what} compares several runs: add --multirun, or set {', '.join(left)} to run one of them.")


def check_sweep(configs: Sequence[Config], folder: Path, multirun: bool) -> None:
    """Refuse what makes no sense for a whole sweep, and figures beside it that cannot be read."""
    from resnet_lightning.report.frame import REFERENCE_FILE
    from resnet_lightning.report.reference import find_reference, read_reference

    if multirun and configs[0].reference is not None:
        read_reference(find_reference(configs[0].reference))
    elif multirun and (folder / REFERENCE_FILE).is_file():
        read_reference(folder / REFERENCE_FILE)
    if configs[0].dry_run and not multirun:
        raise ConfigError("dry_run=true lists the jobs of a sweep: add --multirun.")
    for key in ("name", "scale", "epochs_scale", "data.test_limit", "reference"):
        values = {str(value_of(config, key)) for config in configs}
        if len(values) > 1:
            raise ConfigError(f"{key}={','.join(sorted(values))} is not possible: a sweep can have only one {key}.")
    launchers = {str(config.launcher) for config in configs}
    if len(launchers) > 1:
        raise ConfigError("The keys launcher.* belong to the sweep as a whole: give each of them one value.")


def check_choice(override: Override) -> None:
    """``model=resnet99``: name the options of the group, and the nearest."""
    group = override.get_key_element().lstrip("+~")
    if override.is_delete() and group in type_names():
        raise ConfigError(
            f"{override.input_line} is not possible: every run needs {group}. Give it a value: {group}=..."
        )
    if group not in CHOICES or override.is_delete():
        return
    if group == "experiment" and override.is_sweep_override():
        raise ConfigError(f"{override.input_line} is not possible: a sweep can have only one experiment.")
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
    for value in values:
        choose(group, value, options(group))


class Composed(NamedTuple):
    """What Hydra makes of some arguments.

    Attributes:
        settings: of the run; references are not resolved yet.
        own: Hydra's own: how a sweep runs and where it lands.
    """

    settings: DictConfig
    own: DictConfig


class Composer:
    """Composes the jobs of a grid; Hydra must have been initialised.

    Hydra takes 0.3 s a job. So it composes each choice of groups once (``model=resnet18``), and plain keys (``lr=0.1``)
    are set in a copy of that: Hydra too sets them last, in the order in which they were given.
    """

    def __init__(self) -> None:
        self.with_groups: dict[tuple[str, ...], DictConfig] = {}

    def jobs(self, jobs: Sequence[Sequence[str]]) -> list[tuple[list[str], Config]]:
        """Overrides and checked settings of each job."""
        return [(list(job), checked(self.compose(job).settings)) for job in jobs]

    def compose(self, arguments: Sequence[str]) -> Composed:
        keys = [override for override in parse(arguments) if is_plain_key(override)]
        plain_keys = {override.input_line for override in keys}
        groups = tuple(argument for argument in arguments if argument not in plain_keys)
        with in_words():
            if groups not in self.with_groups:
                self.with_groups[groups] = compose("config", list(groups), return_hydra_config=True)
            settings = copy.deepcopy(self.with_groups[groups])
            for override in keys:
                OmegaConf.update(settings, override.key_or_group, override.value(), merge=True)
            own = settings.hydra
            with open_dict(settings):
                del settings["hydra"]
            return Composed(settings, own)


def is_plain_key(override: Override) -> bool:
    """Whether it sets one key, so that what it says does not decide which files are read."""
    key = override.key_or_group
    return (
        override.type is OverrideType.CHANGE
        and override.package is None
        and not override.is_sweep_override()
        and key.split(".")[0] != "hydra"
        and not (conf_folder() / key).is_dir()
    )


def checked(settings: DictConfig) -> Config:
    with in_words():
        added = set(cast(dict[str, object], OmegaConf.to_container(settings))) - set(Config.__annotations__)
        if added:
            raise ConfigError(unknown_key(added.pop()))
        OmegaConf.resolve(settings)
    config = read_config(settings)
    refuse_without_effect(config)
    return config


@cache
def of_the_file(optimizer: str) -> dict[str, Any]:
    return preset("optimizer", optimizer)


def refuse_without_effect(config: Config) -> None:
    """``optimizer.lr=`` does nothing where ``lr=``, or an experiment, has set the learning rate.

    Raises:
        ConfigError: it, or ``optimizer.weight_decay``, was set all the same.
    """
    default = of_the_file(config.optimizer["name"])
    for key in ("lr", "weight_decay"):
        own, used = config.optimizer[key], value_of(config, key)
        if own not in (used, default[key]):
            raise ConfigError(f"optimizer.{key}={own} has no effect, since {key}={used} is used: set {key}= instead.")
