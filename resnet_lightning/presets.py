"""Files of ``conf/`` by their names, without Hydra: what a notebook or another program starts from."""

import dataclasses
from typing import Any, TypeVar, cast, get_type_hints

from omegaconf import DictConfig, OmegaConf

from resnet_lightning.checks import LIMITS, choose, nearest, require
from resnet_lightning.config import ConfigError, conf_folder
from resnet_lightning.help import options

T = TypeVar("T")


def preset(group: str, name: str, **changes: Any) -> dict[str, Any]:
    """The settings of ``conf/<group>/<name>.yaml``, some of them changed.

    Raises:
        ConfigError: there is no such file or setting, or a changed value is not possible.
    """
    choose(group, name, options(group))
    folder = conf_folder() / group
    base = OmegaConf.load(folder / "_base.yaml") if (folder / "_base.yaml").exists() else OmegaConf.create()
    merged = cast(DictConfig, OmegaConf.merge(base, OmegaConf.load(folder / f"{name}.yaml")))
    merged.pop("defaults", None)
    values = cast(dict[str, Any], OmegaConf.to_container(merged, resolve=True))
    for key, value in changes.items():
        if key not in values:
            raise ConfigError(f"{group}={name} has no setting {key}.{nearest(key, values)}")
        values[key] = changed(f"{group}.{key}", values[key], value)
    return values


def changed(key: str, old: Any, new: Any) -> Any:
    """``new``, which has to be possible; of a group of settings, ``old`` with those that ``new`` names.

    Raises:
        ConfigError: there is no such setting in the group, or a value is not possible.
    """
    if not isinstance(old, dict):
        check_limit(key, new)
        return new
    require(key, new, isinstance(new, dict), f"a dictionary with some of {', '.join(old)}")
    for name in new:
        if name not in old:
            raise ConfigError(f"There is no setting {key}.{name}.{nearest(name, old)}")
    return old | {name: changed(f"{key}.{name}", old[name], value) for name, value in new.items()}


def check_limit(key: str, value: Any) -> None:
    if key in LIMITS:
        condition, allowed = LIMITS[key]
        try:
            possible = bool(condition(value))
        except TypeError:
            possible = False
        require(key, value, possible, allowed)


def defaults() -> dict[str, Any]:
    """Every setting as ``conf/config.yaml`` and the ``_base.yaml`` of the groups have it, references unresolved."""
    values = plain(conf_folder() / "config.yaml")
    groups = {path.parent.name: plain(path) for path in conf_folder().glob("*/_base.yaml")}
    return {**values, **groups}


def plain(path: Any) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))


def typed(kind: type[T], values: dict[str, Any], otherwise: dict[str, Any] | None = None) -> T:
    """Make a dataclass of ``config.py`` from plain values; what is missing there is taken from ``otherwise``.

    Only the fields that the dataclass has are read, and nothing is looked up by a name in the values.
    """
    otherwise = otherwise or {}
    found: dict[str, Any] = {}
    for key, hint in get_type_hints(kind).items():
        value = values.get(key, otherwise.get(key))
        if dataclasses.is_dataclass(hint):
            below = otherwise.get(key)
            value = typed(cast(type[Any], hint), value or {}, below if isinstance(below, dict) else {})
        found[key] = value
    return kind(**found)
