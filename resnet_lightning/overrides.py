"""``key=value`` as Hydra's grammar has it: read, and written with the quotes that it wants."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from resnet_lightning.config import ConfigError


def parse(arguments: Sequence[str]) -> list[Override]:
    """
    Raises:
        ConfigError: on the first argument that is not understood, or that asks for values without a list of them.
    """
    parser, overrides = OverridesParser.create(), []
    for argument in arguments:
        try:
            if not argument.partition("=")[0].strip("+~ "):
                raise HydraException("no key")
            (override,) = parser.parse_overrides([argument])
        except HydraException as error:
            raise ConfigError(f"{argument!r} is not understood: {how_to_write(argument)}") from error
        if override.is_interval_sweep() or override.value_type is ValueType.GLOB_CHOICE_SWEEP:
            raise ConfigError(f"{argument} is not possible: a sweep lists its values, as in lr=0.1,0.01.")
        overrides.append(override)
    return overrides


def how_to_write(argument: str) -> str:
    """Hydra wants quotes of its own around a value with signs that it has no use for, all of Unicode among them."""
    key, _, value = argument.partition("=")
    if re.fullmatch(r"[+~]*[\w./@]+", key) and value and not set(value) & set("'\"[]{}(),="):
        quoted = shlex.quote(f'{key}="{value}"')
        return f"such a value needs quotes of its own, as in {quoted}."
    return "settings are written key=value, as in lr=0.1."


def plain(settings: Any) -> Any:
    """Lists and dictionaries of Python from those of Hydra, as in ``hydra.sweeper.rows``."""
    return OmegaConf.to_container(settings, resolve=True) if OmegaConf.is_config(settings) else settings


def with_path(key: str, path: Path | str) -> str:
    """``key=path``, quoted where a character means something to Hydra."""
    text = str(path)
    if not re.fullmatch(r"[A-Za-z0-9_./+-]+", text):
        text = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"{key}={text}"
