"""From the command line to checked settings: Hydra composes, its errors become sentences of ours.

They name the value, the allowed ones and the nearest match.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from resnet_lightning.checks import choose, nearest, read_config
from resnet_lightning.config import CHOICES, GROUPS, Config, ConfigError, conf_folder, value_of
from resnet_lightning.help import UNTYPED, entries, options, type_names
from resnet_lightning.overrides import parse, plain
from resnet_lightning.sweep.grid import expand, swept_keys

ELSEWHERE = ("slurm", "ray")  # launchers that run jobs on other machines
COMPOSING = re.compile(r"In '(?P<file>[^']+)': .*composing config:\n(?P<text>.*)\n\s*full_key: (?P<key>.*)")


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
        elsewhere: the jobs run on other machines than this one.
    """

    jobs: list[tuple[list[str], Config]]
    folder: Path
    elsewhere: bool


def compose_all(arguments: Sequence[str], multirun: bool) -> Command:
    """Compose and check every job that the arguments describe: one, or with ``multirun`` all of the grid.

    Raises:
        ConfigError: on the first argument or job that cannot be.
    """
    overrides = parse(arguments)
    for override in overrides:
        check_choice(override)
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        whole = compose_one([str(item.input_line) for item in overrides if not item.is_sweep_override()])
        params, rows = plain(whole.own.sweeper.params), plain(whole.own.sweeper.rows)
        if multirun:
            jobs = expand(overrides, params, rows)
        else:
            check_single_run(overrides, swept_keys(params, rows))
            jobs = [list(arguments)]
        if multirun or any(item.is_sweep_override() for item in overrides):  # of a single run Hydra says what is wrong
            whole = compose_one(jobs[0])
        composed = [(list(jobs[0]), checked(whole.settings)), *compose_jobs(jobs[1:])]
    check_sweep([config for _, config in composed], multirun)
    folder = Path(whole.own.sweep.dir) if multirun else Path()
    return Command(composed, folder, multirun and whole.own.runtime.choices["hydra/launcher"] in ELSEWHERE)


def check_single_run(overrides: Sequence[Override], keys: Sequence[str]) -> None:
    """An experiment that compares runs is no single run, unless it is said which of them is meant."""
    experiment = next((item.value() for item in overrides if item.key_or_group == "experiment"), None)
    left = [key for key in keys if key not in {item.get_key_element().lstrip("+") for item in overrides}]
    if left:
        what = f"experiment={experiment}" if experiment else "hydra.sweeper"
        raise ConfigError(f"{what} compares several runs: add --multirun, or set {', '.join(left)} for one of them.")


def compose_jobs(jobs: Sequence[Sequence[str]]) -> list[tuple[list[str], Config]]:
    """Overrides and checked settings of each job; Hydra must have been initialised."""
    return [(list(job), checked(compose_one(job).settings)) for job in jobs]


def check_sweep(configs: Sequence[Config], multirun: bool) -> None:
    """Refuse what makes no sense for a whole sweep."""
    from resnet_lightning.report.reference import find_reference, read_reference

    if multirun and configs[0].reference is not None:
        read_reference(find_reference(configs[0].reference))
    if configs[0].dry_run and not multirun:
        raise ConfigError("dry_run=true lists the jobs of a sweep: add --multirun.")
    for key in ("name", "scale", "epochs_scale", "data.test_limit", "reference"):
        values = {str(value_of(config, key)) for config in configs}
        if len(values) > 1:
            raise ConfigError(f"{key}={','.join(sorted(values))} is not possible: a sweep has one {key}.")
    launchers = {str(config.launcher) for config in configs}
    if len(launchers) > 1:
        raise ConfigError("The keys launcher.* belong to the sweep as a whole: give each of them one value.")


def check_choice(override: Override) -> None:
    """``model=resnet99``: name the options of the group, and the nearest."""
    group = override.get_key_element().lstrip("+")
    if group not in CHOICES or override.is_delete():
        return
    if group == "experiment" and override.is_sweep_override():
        raise ConfigError(f"{override.input_line} is not possible: a sweep has one experiment.")
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


def compose_one(arguments: Sequence[str]) -> Composed:
    with in_words():
        settings = compose("config", list(arguments), return_hydra_config=True)
        own = settings.hydra
        with open_dict(settings):
            del settings["hydra"]
        return Composed(settings, own)


def checked(settings: DictConfig) -> Config:
    with in_words():
        added = set(cast(dict[str, object], OmegaConf.to_container(settings))) - set(Config.__annotations__)
        if added:
            raise ConfigError(unknown_key(added.pop()))
        OmegaConf.resolve(settings)
    return read_config(settings)


@contextmanager
def in_words() -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except (HydraException, OmegaConfBaseException, OSError, ValueError) as error:  # ValueError: a group given a number
        raise ConfigError(explain(error)) from error


def explain(error: BaseException) -> str:
    """Hydra's error as one sentence."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    in_file = COMPOSING.match(str(cause))
    if in_file:  # Hydra has put the error of OmegaConf into its own text
        return f"conf/{in_file['file']}.yaml: {sentence(in_file['key'], in_file['text'], in_file['file'])}"
    return sentence(getattr(cause, "full_key", None), str(cause).splitlines()[0])


def sentence(key: str | None, text: str, file: str = "") -> str:
    """What Hydra says of a key, in our words where we have some.

    Args:
        file: of ``conf/`` that has the key.
    """
    text = text.rstrip(".")
    if key and ("not in struct" in text or " not in '" in text):
        return unknown_key(key, file)
    if text.startswith("Interpolation key"):
        missing = text.split("'")[1]
        return f"{missing} is missing."
    if key and key.split("[")[0] in type_names():
        return wrong_type(key, text)
    if text.startswith("Ambiguous value for argument"):
        argument = text.split("'")[1]
        return f"{argument} names several values: add --multirun to try each of them, or write a list as [a,b]."
    return f"{text}."


def wrong_type(key: str, text: str) -> str:
    """``Value 'abc' of type 'str' could not be converted to Float`` in words."""
    kind = type_names()[key.split("[", maxsplit=1)[0]]
    value = re.search(r"Value '(.*?)'", text)
    article = "a list of whole numbers" if "list[int]" in kind else "a list of numbers" if "list" in kind else ""
    words = {"float": "a number", "int": "a whole number", "bool": "true or false"}
    return f"{key}={value[1] if value else '...'} is not possible: it must be {article or words.get(kind, 'a text')}."


def unknown_key(key: str, file: str = "") -> str:
    owner = key.split(".", maxsplit=1)[0]
    files = (conf_folder() / owner).glob("*.yaml") if owner in GROUPS else ()
    keys = {
        option.stem: [entry.key for entry in entries(option, owner)]
        for option in files
        if f"{owner}/{option.stem}" != file
    }
    owners = [f"{owner}={option}" for option, known in sorted(keys.items()) if key in known]
    if owners:
        return f"{key} is a setting of {' and '.join(owners)} only."
    known = [*type_names(), *GROUPS, *UNTYPED, *(name for names in keys.values() for name in names)]
    return f"There is no setting {key}.{nearest(key, known)} All of them: python -m resnet_lightning --help"
