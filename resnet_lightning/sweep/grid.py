"""Which jobs a command line asks for: a grid of swept keys, a list of settings, or a grid for each setting of a list.

Both can stand in an experiment file, and a key on the command line replaces what the file says of it:

    hydra:
      sweeper:
        params: {lr: "0.1,0.01", batch: "32,64"}          # a grid, as in Hydra
        rows: [{stem: imagenet}, {stem: cifar, dropout: 0.3}]  # a list
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from resnet_lightning.config import ConfigError
from resnet_lightning.overrides import parse, with_path


def expand(
    overrides: Sequence[Override], params: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """The overrides of every job, in the order of the rows, then of the grid, the last key changing fastest.

    Args:
        overrides: of the command line.
        params: ``{"lr": "0.1,0.01"}``: swept keys, each with its values as on the command line.
        rows: settings of which each is a job, or a grid of jobs.
    """
    jobs = []
    for row in rows or [{}]:
        values: dict[str, list[str]] = {}
        for override in [*parsed(params), *parsed(row), *overrides]:
            key = override.get_key_element()
            values[key] = [f"{key}={value}" for value in values_of(override)]
        jobs += [list(job) for job in itertools.product(*values.values())]
    return jobs


def parsed(settings: Mapping[str, Any]) -> list[Override]:
    """``{"lr": 0.1, "stem": "cifar"}`` as Hydra reads ``lr=0.1 stem=cifar``."""
    found = []
    for key, value in settings.items():
        try:
            found += parse([f"{key}={value if isinstance(value, str) else json.dumps(value)}"])
        except ConfigError:
            if not isinstance(value, str):
                raise
            found += parse([with_path(key, value)])  # in a file it needs no quotes of Hydra's
    return found


def values_of(override: Override) -> list[str]:
    """
    Raises:
        ConfigError: ``seed=range(5,1)`` has no values, ``range(0,5,0)`` cannot be.
    """
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    try:
        values = list(override.sweep_string_iterator())
    except ValueError as error:
        raise ConfigError(f"{override.input_line} is not possible: {error}.") from error
    if not values:
        raise ConfigError(f"{override.input_line} is not possible: it has no values.")
    return values


def swept_keys(params: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that every job of an experiment sets."""
    return [*params, *(key for key in (rows[0] if rows else ()) if all(key in row for row in rows))]
