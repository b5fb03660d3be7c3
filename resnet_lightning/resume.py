"""``resume=<run folder>``: the command that the folder says, into the same folder.

Only the text of the settings is read back, and composed and checked as if it had been typed: nothing in a folder from
somebody else can name a class or a function to call.
"""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from resnet_lightning.checks import nearest
from resnet_lightning.config import ConfigError
from resnet_lightning.overrides import with_path
from resnet_lightning.report.frame import PLAN_FILE
from resnet_lightning.result import FILE_NAME, RunResult

KEY = "resume="


def with_resumed(argv: Sequence[str]) -> list[str]:
    """The arguments with ``resume=<folder>`` replaced by what that run was started with; others come after, and win.

    Raises:
        ConfigError: there is no run in the folder, or its settings are not readable.
    """
    folders = [argument.removeprefix(KEY) for argument in argv if argument.startswith(KEY)]
    rest = [argument for argument in argv if not argument.startswith(KEY)]
    if not folders:
        return rest
    if len(folders) > 1 or {"-m", "--multirun"} & set(rest):
        raise ConfigError("resume= resumes one run; a sweep resumes when its command is given again.")
    folder = Path(folders[0])
    return alone([*recorded(folder), *rest], folder)


def recorded(folder: Path) -> list[str]:
    """The overrides of the run in a folder."""
    try:
        overrides: object = RunResult.read(folder).overrides
    except (OSError, ValueError):  # none yet, or damaged: Hydra has written them down as well
        overrides = by_hydra(folder)
    if not isinstance(overrides, list) or not all(isinstance(item, str) for item in overrides):
        raise ConfigError(f"resume={folder} is not possible: the settings recorded there cannot be read.")
    for item in overrides:
        if item.lstrip("+~").startswith(("hydra", "-")):
            raise ConfigError(f"resume={folder} is not possible: {item.partition('=')[0]} is not a setting of a run.")
    return overrides


def by_hydra(folder: Path) -> object:
    path = folder / ".hydra" / "overrides.yaml"
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except OSError as error:
        if (folder / FILE_NAME).exists():
            reason = f"{FILE_NAME} is damaged, and {path} is missing."
        elif (folder / PLAN_FILE).exists():
            reason = "it is a sweep, which resumes when its own command is given again."
        else:
            beside = [str(path.parent) for path in folder.parent.glob(f"*/{FILE_NAME}")]
            reason = f"there is no run in it.{nearest(folder, beside)}"
        raise ConfigError(f"resume={folder} is not possible: {reason}") from error
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise ConfigError(f"resume={folder} is not possible: {path} is damaged.") from error


def alone(overrides: Sequence[str], folder: Path) -> list[str]:
    """The arguments of a run with these overrides into this folder.

    Of an experiment that lists its runs it is one, whatever list stands in its file: they say themselves which.
    """
    listed = any(item.startswith("experiment=") for item in overrides)
    return [*overrides, *(["hydra.sweeper.rows=[]"] if listed else []), into(folder)]


def into(folder: Path) -> str:
    """The argument with which a run lands in this folder."""
    return with_path("hydra.run.dir", folder)
