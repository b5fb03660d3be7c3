"""``--help``: written from ``conf/`` itself, so that it cannot say anything else than the files do.

Keys, defaults and meanings are the lines and comments of the YAML files; types come from the schema in ``config.py``.
"""

import dataclasses
import itertools
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from resnet_lightning.config import GROUPS, Config, conf_folder

LINE = re.compile(r"^( *)(?:- )?([a-z_0-9]+): *([^#]*?) *(?:# *(.*))?$")
UNTYPED = ("devices", "logger", "launcher.devices")  # keys that take a number, a list or a word
KEY_WIDTH, VALUE_WIDTH = 32, 24  # characters
EXAMPLES = """\
usage: python -m resnet_lightning [--multirun] [choice=name ...] [key=value ...]

  python -m resnet_lightning model=resnet34 data=mnist
  python -m resnet_lightning model=resnet18 data=cifar10 augment=crop_flip optimizer=momentum lr=0.1 batch=128 epochs=15
  python -m resnet_lightning model=resnet10 'model.widths=[16,32,64]' epochs=2 augment.rotation=15 seed=1
  python -m resnet_lightning data=folder data.root=my_images data.image_size=96 batch=32
  python -m resnet_lightning --multirun name=lr_batch lr=0.1,0.01,0.001 batch=32,64,128     every combination, compared
  python -m resnet_lightning --multirun 'hydra.sweeper.rows=[{stem: cifar},{stem: imagenet, lr: 0.01}]'       a list
  python -m resnet_lightning --multirun experiment=r1_lr_batch scale=0.1
  python -m resnet_lightning --multirun hydra/launcher=slurm lr=0.1,0.01        or ray: docs/clusters.md
  python -m resnet_lightning --cfg job --resolve        print the settings that a command would use
  python -m resnet_lightning lr=0.1 hydra.run.dir=outputs/mine      a folder of its own: the same command again resumes
  python -m resnet_lightning resume=outputs/2026-11-22_00-39-25_resnet18_mnist   resume a run that was stopped
  tensorboard --logdir outputs
  python -m resnet_lightning info                       versions, devices, data found, free disk space

To use what was trained (each has --help): python -m resnet_lightning.evaluate, .predict, .explain, .export, .report
To measure this machine, or rerun the course reports: python -m resnet_lightning.benchmark, .reproduce

A run leaves one folder under outputs/: result.json, metrics.csv, checkpoints, figures, TensorBoard events.
Exit codes: 0 done, 1 failed, 2 bad setting, 130 interrupted (143 by SIGTERM, 129 by the end of its terminal).
"""


class Entry(NamedTuple):
    """One line ``key: default  # meaning`` of a YAML file; ``key`` has its dots."""

    key: str
    default: str
    meaning: str


def entries(path: Path, prefix: str = "") -> list[Entry]:
    """The keys of a YAML file in its order, nested ones with dots, each with its default and its comment."""
    found: list[Entry] = []
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        indent, key, default, meaning = len(match[1]), match[2], match[3], match[4] or ""
        while parents and parents[-1][0] >= indent:
            parents.pop()
        name = ".".join([prefix] * bool(prefix) + [parent for _, parent in parents] + [key])
        if default or meaning:
            found.append(Entry(name, default, meaning))
        if not default:
            parents.append((indent, key))
    return found


def options(group: str) -> list[str]:
    """The names that ``group=`` takes: the files of ``conf/<group>``, ``resnet20`` after ``resnet10``."""
    names = [path.stem for path in (conf_folder() / group).glob("*.yaml") if not path.stem.startswith("_")]
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def type_names(owner: type = Config, prefix: str = "") -> dict[str, str]:
    """``{"lr": "float", "data.image_size": "int", ...}`` from the schema."""
    names: dict[str, str] = {}
    for key, hint in get_type_hints(owner).items():
        inner = [part for part in get_args(hint) if part is not type(None)]
        if dataclasses.is_dataclass(hint):
            names |= type_names(hint, f"{prefix}{key}.")  # type: ignore[arg-type]
        elif hint is not Any:
            names[prefix + key] = str(hint).replace(" | None", "") if inner else hint.__name__
    return names


class Section(NamedTuple):
    title: str
    rows: list[tuple[str, str, str]]  # key, value (type = default), meaning


def sections() -> list[Section]:
    """Everything that can be set, as ``--help`` and ``docs/settings.md`` show it."""
    types = type_names()
    flat = entries(conf_folder() / "config.yaml")

    def rows(found: list[Entry]) -> list[tuple[str, str, str]]:
        shown = [e for e in found if e.key in types or e.key in UNTYPED]
        return [(e.key, f"{types.get(e.key, '')} = {e.default}".removeprefix(" = "), e.meaning) for e in shown]

    chosen = {e.key.removeprefix("defaults."): e for e in flat}
    choices = [(g, chosen[g].default, f"{chosen[g].meaning}: {', '.join(options(g))}") for g in GROUPS]
    result = [
        Section("Choices (name=option), each a file of conf/<name>/:", choices),
        Section("Keys (key=value):", rows(flat)),
    ]
    for group in GROUPS:
        base = conf_folder() / group / "_base.yaml"
        if base.exists():
            found = [e for e in entries(base, group) if not e.key.endswith(".name")]
            result.append(Section(f"Keys of {group} (default, unless the chosen file sets another):", rows(found)))
        else:
            result.append(Section(f"Keys of {group}, by option:", [option_row(group, name) for name in options(group)]))
    experiments = [(f"experiment={name}", "", experiment_head(name)) for name in options("experiment")]
    return [
        *result,
        Section("Ready-made studies (files in conf/experiment/), with --multirun if they compare runs:", experiments),
    ]


def experiment_head(name: str) -> str:
    """What the file of an experiment says that it studies: its first comment, up to the command."""
    lines = (conf_folder() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[1:]
    head = itertools.takewhile(lambda line: line.startswith("# ") and not line.startswith("#  "), lines)
    return " ".join(line.removeprefix("# ") for line in head)


def option_row(group: str, option: str) -> tuple[str, str, str]:
    """The keys of ``optimizer=adam`` with their defaults, and what the head and the comments of its file say."""
    path = conf_folder() / group / f"{option}.yaml"
    found = [e for e in entries(path, group) if not e.key.endswith((".name", ".algorithm"))]
    keys = ", ".join(e.key.removeprefix(f"{group}.") + f"={e.default}" for e in found)
    head = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    notes = [f"{e.key.removeprefix(f'{group}.')}: {e.meaning}" for e in found if e.meaning]
    return f"{group}={option}", "", f"{keys}. {' '.join([head, *(f'{note}.' for note in notes)])}"


def wrapped(key: str, value: str, meaning: str) -> str:
    """A row for the terminal; the meaning wraps below itself."""
    width = max(shutil.get_terminal_size((120, 24)).columns, 100)
    head, indent = f"  {key:<{KEY_WIDTH}} {value:<{VALUE_WIDTH}} ", " " * (KEY_WIDTH + VALUE_WIDTH + 4)
    if len(head) > len(indent):  # a long default has a line of its own
        return f"{head.rstrip()}\n{textwrap.fill(meaning, width, initial_indent=indent, subsequent_indent=indent)}"
    return textwrap.fill(meaning, width, initial_indent=head, subsequent_indent=indent)


def help_text() -> str:
    parts = ["\n".join([section.title, *(wrapped(*row) for row in section.rows)]) for section in sections()]
    return "\n\n".join([EXAMPLES.rstrip(), *parts])


def settings_tables() -> str:
    """The same as Markdown, for ``docs/settings.md``."""
    parts = []
    for title, rows in sections():
        lines = [f"| `{key}` | {value} | {meaning} |" for key, value, meaning in rows]
        parts.append("\n".join([title, "", "| key | default | meaning |", "|---|---|---|", *lines]))
    return "\n\n".join(parts)
