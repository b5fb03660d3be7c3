"""The command lines beside training: ``key=value`` as everywhere, ``--help``, and one sentence for every mistake.

A command describes its settings as a dataclass of ``option`` fields; nothing heavy is imported before they are right.
"""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, get_type_hints

from resnet_lightning.checks import choose, nearest, require
from resnet_lightning.config import ConfigError, DataError
from resnet_lightning.help import wrapped
from resnet_lightning.text import drop_output, file_error, give_streams

KEY = re.compile(r"^([a-z_][a-z_0-9.]*)=(.*)$", re.DOTALL)
RUN_HELP = """\
RUN is the folder of a run, the folder of a sweep (its best run by validation accuracy; by test accuracy if nothing is
held out), or latest (the newest run below outputs/ and multirun/).
"""
EXIT_CODES = "Exit codes: 0 done, 1 failed in part or as a whole, 2 bad setting, 130 interrupted."
T = TypeVar("T")


class Usage(NamedTuple):
    """What ``--help`` says before the settings: the form of the command, what it does, examples."""

    form: str
    purpose: str
    examples: str


class Arguments(NamedTuple):
    """A command line, taken apart.

    Attributes:
        places: what is no ``key=value``: a run, files, folders.
        passed: the ``key=value`` that belong to groups of ``conf/``, such as ``data=cifar10``.
    """

    places: list[str]
    passed: list[str]


def option(default: Any, meaning: str, allowed: Sequence[str] = (), least: int | None = None) -> Any:
    """A setting of a command: its default, what ``--help`` says, the words or the smallest number it takes."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, "allowed": allowed, "least": least})


def parse(argv: Sequence[str], kind: type[T], groups: Sequence[str] = ()) -> tuple[T, Arguments]:
    """Read the settings of a command.

    Args:
        kind: a dataclass of ``option`` fields.
        groups: of ``conf/``, whose keys are allowed too and are handed on as they are.

    Raises:
        ConfigError: on the first argument that cannot be.
    """
    found: dict[str, Any] = {}
    arguments = Arguments([], [])
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for text in argv:
        match = None if os.path.lexists(text) else KEY.match(text)  # a picture may be called epoch=3.png
        if text.startswith("-") and text != "-":
            raise ConfigError(f"There is no option {text}: settings are written key=value. All of them: --help")
        if match is None:
            arguments.places.append(text)
        elif match[1].split(".")[0] in groups:
            arguments.passed.append(text)
        elif match[1] in fields:
            found[match[1]] = value_of(fields[match[1]], get_type_hints(kind)[match[1]], match[2])
        else:
            raise ConfigError(
                f"There is no setting {match[1]} here.{nearest(match[1], [*fields, *groups])} All of them: --help"
            )
    return kind(**found), arguments


def value_of(field: Any, hint: Any, text: str) -> Any:
    if text == "null" and field.default is None:
        return None
    if hint in (int, int | None):
        least = field.metadata["least"] or 0
        require(field.name, text, text.isdecimal() and int(text) >= least, f"a whole number from {least}")
        return int(text)
    if field.metadata["allowed"]:
        choose(field.name, text, field.metadata["allowed"])
    elif not text:
        raise ConfigError(f"{field.name}= needs a value.")
    return text


def help_text(usage: Usage, kind: type[Any], notes: str = "") -> str:
    rows = []
    for field in dataclasses.fields(kind):
        name = "null" if field.default is None else str(field.default)
        allowed = f": {', '.join(field.metadata['allowed'])}" if field.metadata["allowed"] else ""
        rows.append(wrapped(field.name, f"= {name}", f"{field.metadata['meaning']}{allowed}"))
    settings = "\n".join(["Settings (key=value):", *rows])
    form = f"usage: {usage.form}"
    parts = [form, usage.purpose.strip(), usage.examples.rstrip(), settings, notes.strip(), EXIT_CODES]
    return "\n\n".join(part for part in parts if part)


def run_command(work: Callable[[list[str]], int], argv: list[str], text: Callable[[], str]) -> int:
    """Print ``text()`` where help is asked for, else do the work; returns the exit code."""
    give_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Unicode still shows a table
    if {"-h", "--help"} & set(argv):
        print(text())
        return 0
    try:
        code = work(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # head has read enough
        drop_output()
        return 0
    except (ConfigError, DataError, OSError, MemoryError, RuntimeError) as error:
        print(f"Error: {sentence_of(error)}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def sentence_of(error: Exception) -> str:
    """What a command says of its failure; an error that nobody expects is raised again."""
    if isinstance(error, ConfigError | DataError):
        return str(error)
    if isinstance(error, OSError):
        return file_error(error)
    from resnet_lightning.hardware import is_out_of_memory

    if not is_out_of_memory(error):
        raise error
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"Out of memory ({said}): free some, or compute elsewhere (accelerator=cpu)."


def one_run(places: Sequence[str], form: str) -> str:
    """The first place, which must be there: the run."""
    if not places:
        raise ConfigError(f"Which run? The command is {form}, where RUN is the folder of a run or sweep, or latest.")
    return places[0]


def only_run(places: Sequence[str], form: str) -> str:
    """The run, where nothing else is named."""
    run = one_run(places, form)
    if len(places) > 1:
        raise ConfigError(f"{places[1]} is not understood: the command is {form}.")
    return run


def need(package: str, extra: str) -> None:
    """Refuse work for which a package of an extra is missing.

    Raises:
        ConfigError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise ConfigError(
            f"This needs {package}, which is not installed: pip install {package}, or in the folder of the project "
            f'pip install -e ".[{extra}]".'
        )
