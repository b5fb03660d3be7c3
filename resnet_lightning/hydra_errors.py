"""Hydra's errors as sentences of ours: the value, the allowed ones and the nearest match."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from resnet_lightning.checks import nearest
from resnet_lightning.config import GROUPS, ConfigError, conf_folder
from resnet_lightning.help import UNTYPED, entries, type_names

COMPOSING = re.compile(r"In '(?P<file>[^']+)': .*composing config:\n(?P<text>.*)\n\s*full_key: (?P<key>.*)")


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
