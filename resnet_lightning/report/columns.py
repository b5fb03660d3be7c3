"""Which settings are the columns of a comparison: those in which its runs differ, the seed aside."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from resnet_lightning.config import ADDED, CHOICES, PUBLISHED, identity, is_place, normal
from resnet_lightning.result import RunResult

Value = str | int | float | bool | None
Known = tuple[dict[str, str], RunResult | None]  # of a run: its overrides as the user wrote them, and its record
ABSENT = "-"  # in the place of a setting that a run does not have, as Adam has no momentum
UNKNOWN = "?"  # of a job that waits
NOT_SETTINGS = ("experiment", "seed")  # no columns: an experiment is other settings, seeds are folded
DEFAULT_COLUMNS = ("model", "data")  # where nothing differs


def setting(key: str, overrides: dict[str, str], result: RunResult | None) -> Value:
    """Value of a key in a run: from the record where there is one, else as the user wrote it."""
    if result is not None:
        if key in result.choices:
            return str(result.choices[key])
        value: Any = result.config
        for part in key.split("."):
            value = value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
        value = ADDED.get(key, ABSENT) if value == ABSENT else value
        if isinstance(value, dict):  # a group without a recorded choice
            value = overrides.get(key, value.get("name"))
        if value not in (None, ABSENT) or key not in overrides:
            return as_text(normal(key, value))
    return as_text(normal(key, parsed(overrides[key]))) if key in overrides else None


def settings_of(key: str, runs: Sequence[Known]) -> list[Value]:
    """Value of a key in each run, given its overrides and its record.

    A job that still waits has no record, one that fell at once none of its choices. What it does not set itself is
    what its other seeds have, else the runs of the same choices (each optimizer has its learning rate) that do not set
    it either, if these have all the same.
    """
    values = [setting(key, *run) for run in runs]
    silent = [key not in overrides and is_silent(key, result) for overrides, result in runs]
    told: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, Value]] = defaultdict(dict)
    for value, unknown, (overrides, result) in zip(values, silent, runs, strict=True):
        if result is not None and not unknown:
            told["seeds", but_seed(overrides)][comparable(value)] = value
            if key not in overrides:
                told["choices", chosen(overrides)][comparable(value)] = value

    def inferred(overrides: dict[str, str]) -> Value:
        known = (("seeds", but_seed(overrides)), ("choices", chosen(overrides)))
        found = (told[peers] for peers in known if peers in told)
        return next((value for values in found if len(values) == 1 for value in values.values()), UNKNOWN)

    return [
        inferred(overrides) if unknown else value
        for value, unknown, (overrides, _) in zip(values, silent, runs, strict=True)
    ]


def is_silent(key: str, result: RunResult | None) -> bool:
    """There is no record, or it has not which option of a group was chosen and the option has no name."""
    if result is None:
        return True
    group = result.config.get(key)
    return not result.choices and isinstance(group, dict) and "name" not in group


def but_seed(overrides: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((key, value) for key, value in overrides.items() if key != "seed")


def chosen(overrides: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((key, value) for key, value in overrides.items() if key in CHOICES)


def parsed(text: str) -> Any:
    """``"0.1"`` -> 0.1, ``"null"`` -> None, ``"True"`` (so Hydra writes it) -> True, ``"'a b'"`` -> a b; relu stays."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text)
    except ValueError:
        return text[1:-1] if re.fullmatch("'[^']*'", text) else text


def as_text(value: Any) -> Value:
    """A list as one text."""
    return value if isinstance(value, (str, int, float, bool, type(None))) else json.dumps(value)


def comparable(value: Any) -> str:
    """The same for 0 (as a user writes it for a job that waits) and 0.0 or "0" (as the record of a run has it)."""
    value = as_text(parsed(value) if isinstance(value, str) else value)
    return repr(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def swept_columns(runs: Sequence[Known]) -> list[str]:
    """Keys that somebody set and that differ between runs, in the order in which they were first set."""
    keys = dict.fromkeys(key for run in runs for key in run[0] if key not in NOT_SETTINGS and not is_place_of(key, run))
    differing = [key for key in keys if len(set(map(comparable, settings_of(key, runs)))) > 1]
    return differing or [key for key in DEFAULT_COLUMNS if any(setting(key, *run) is not None for run in runs)]


def is_place_of(key: str, run: Known) -> bool:
    """Whether a key says where or how this run happens; the data of a job without a record are what it names."""
    overrides, result = run
    data = setting("data.name", *run) if result is not None else overrides.get("data", PUBLISHED[0])
    return is_place(key, data)


def unnamed_columns(columns: Sequence[str], runs: Sequence[Known]) -> list[str]:
    """Keys that nobody set and in which runs of the same columns differ all the same, by what they recorded.

    An experiment was edited between two runs of a sweep, or two experiments share a folder: such runs are no seeds of
    one setting. Choices of a group come first; a setting is named where they do not say it.
    """
    found: list[str] = []
    for parts in (choices_of, settings_but_seed):
        values = {key: settings_of(key, runs) for key in [*columns, *found]}
        alike: dict[str, list[RunResult]] = {}
        for position, (_, result) in enumerate(runs):
            if result is not None:
                same = json.dumps([comparable(column[position]) for column in values.values()])
                alike.setdefault(same, []).append(result)
        for group in alike.values():
            if differing_parts([settings_but_seed(result) for result in group]):
                named = {*columns, *found}
                found += [key for key in differing_parts([parts(result) for result in group]) if key not in named]
    return found


def choices_of(result: RunResult) -> dict[str, Any]:
    return {key: value for key, value in result.choices.items() if key not in NOT_SETTINGS}


def settings_but_seed(result: RunResult) -> dict[str, Any]:
    return {key: value for key, value in identity(result.config).items() if key != "seed"}


def differing_parts(parts: Sequence[dict[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for part in parts for key in part)
    return [key for key in keys if len({comparable(part.get(key, ABSENT)) for part in parts}) > 1]
