"""``--help``: written from ``conf/`` itself, so that it cannot say anything else than the files do.

Keys, defaults and meanings are the lines and comments of the YAML files; types come from the schema in ``config.py``.
"""

import dataclasses
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from resnet_lightning.config import Config, conf_folder

LINE = re.compile(r"^( *)(?:- )?([a-z_0-9]+): *([^#]*?) *(?:# *(.*))?$")
GROUPS = ("model", "stem", "data", "augment", "optimizer", "scheduler")
KEY_WIDTH, VALUE_WIDTH = 32, 24  # characters
EXAMPLES = """\
usage: python -m resnet_lightning [choice=name ...] [key=value ...]

  python -m resnet_lightning model=resnet34 data=mnist
  python -m resnet_lightning model=resnet18 data=cifar10 augment=crop_flip optimizer=momentum lr=0.1 batch=128 epochs=15
  python -m resnet_lightning model=resnet10 model.widths=[16,32,64] epochs=2 augment.rotation=15 seed=1
  python -m resnet_lightning data=folder data.root=my_images data.image_size=96
  python -m resnet_lightning --cfg job --resolve        print the settings that a command would use
  tensorboard --logdir outputs

A run leaves one folder under outputs/: result.json, metrics.csv, checkpoints, figures, TensorBoard events.
Exit codes: 0 done, 1 failed, 2 bad setting, 130 interrupted (143 by SIGTERM).
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


def row(key: str, kind: str, default: str, meaning: str) -> str:
    """Key, type = default, and a meaning that wraps below itself."""
    width = max(shutil.get_terminal_size((120, 24)).columns, 100)
    value = f"{kind} = {default}".removeprefix(" = ")
    head = f"  {key:<{KEY_WIDTH}} {value:<{VALUE_WIDTH}}"
    if not meaning:
        return head.rstrip()
    if len(head) > KEY_WIDTH + VALUE_WIDTH + 3:  # a long default has a line of its own
        return f"{head}\n{row('', '', '', meaning)}"
    return textwrap.fill(
        meaning, width, initial_indent=f"{head} ", subsequent_indent=" " * (KEY_WIDTH + VALUE_WIDTH + 4)
    )


def help_text() -> str:
    conf, types = conf_folder(), type_names()
    found = entries(conf / "config.yaml")
    flat = [e for e in found if e.key in types or e.key == "devices"]
    choices = {e.key.removeprefix("defaults."): e for e in found if e.key.startswith("defaults.")}
    lines = [EXAMPLES, "Choices (name=option), each a file of conf/<name>/:"]
    for group in GROUPS:
        entry = choices[group]
        lines.append(row(group, "", entry.default, f"{entry.meaning}: {', '.join(options(group))}"))
    lines += ["", "Keys (key=value), type, default, meaning:"]
    lines += [row(e.key, types.get(e.key, ""), e.default, e.meaning) for e in flat]
    for group in GROUPS:
        lines += ["", f"Keys of {group}:"]
        base = conf / group / "_base.yaml"
        files = [base] if base.exists() else [conf / group / f"{option}.yaml" for option in options(group)]
        for path in files:
            shown = [e for e in entries(path, group) if not e.key.endswith((".name", ".algorithm"))]
            lines += [
                row(e.key, types.get(e.key, path.stem if path != base else ""), e.default, e.meaning) for e in shown
            ]
    return "\n".join(lines)
