"""``python -m resnet_lightning.report multirun/lr_batch``: the comparison of a sweep from its folders, at any time."""

import difflib
import sys
from pathlib import Path

from resnet_lightning.checks import nearest
from resnet_lightning.command import run_command
from resnet_lightning.config import ConfigError
from resnet_lightning.report import write_report
from resnet_lightning.report.reference import add_reference, find_reference
from resnet_lightning.result import FILE_NAME
from resnet_lightning.text import exit_with, file_error

HELP = """\
usage: python -m resnet_lightning.report FOLDER [FOLDER ...] [reference=FILE]

FOLDER is that of a sweep, or any folder of run folders.

Compares the runs below a folder: prints the table and a summary, and writes into the folder
  comparison.csv, .md, .tex, .html   the table: raw numbers, for texts, for papers, as a page that opens offline
  beside_reference.csv               with reference=: somebody's figures, ours and the difference, for every setting
  figures/                           learning curves, heat maps, main effects, accuracy against time, as PNG and SVG
  events.out.tfevents.0.comparison   the columns of TensorBoard's HPARAMS tab

reference= takes a CSV file or the name of one in the package, as in reference=r1_lr_batch, and puts a copy of it into
the folder (reference.csv), where later reports find it.

Reads the folders alone: also while the sweep runs, and where it was moved or copied to. Changes nothing of the runs.

Exit codes: 0 done, 1 some of the files could not be written, 2 no such folder or no run in it, 130 interrupted.
"""


def main(arguments: list[str]) -> int:
    return run_command(work, arguments, lambda: HELP)


def work(arguments: list[str]) -> int:
    settings, folders = divide(arguments)
    reference = find_reference(settings["reference"]) if "reference" in settings else None
    return max([report(folder, reference) for folder in folders])


def divide(arguments: list[str]) -> tuple[dict[str, str], list[Path]]:
    """Settings ``key=value`` and folders.

    Raises:
        ConfigError: no folder, or a setting that there is not.
    """
    pairs = [argument.partition("=") for argument in arguments if "=" in argument and not Path(argument).exists()]
    settings = {key: value for key, _, value in pairs}
    for key in settings:
        if key != "reference":
            raise ConfigError(f"There is no setting {key}.{nearest(key, ['reference'])} There is one: reference.")
    folders = [Path(argument) for argument in arguments if "=" not in argument or Path(argument).exists()]
    if not folders:
        raise ConfigError("No folder is named: python -m resnet_lightning.report multirun/<name>")
    return settings, folders


def report(folder: Path, reference: Path | None) -> int:
    """Print the comparison of one folder; returns the exit code."""
    try:
        if reference and folder.is_dir():
            add_reference(folder, reference)
        written = write_report(folder)
    except FileNotFoundError as error:
        print(f"{error}{hint(folder)}", file=sys.stderr)
        return 2
    except (ConfigError, OSError) as error:
        print(f"Error: {file_error(error) if isinstance(error, OSError) else error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(written.console, flush=True)
    return 1 if written.problems else 0


def hint(folder: Path) -> str:
    """What the user may have meant instead."""
    if (folder / FILE_NAME).is_file():
        return f" It is a run itself; the folder above it compares it with the runs beside it: {folder.parent}"
    if folder.is_dir():
        sweeps = sorted({path.parents[1] for path in folder.glob(f"*/*/{FILE_NAME}")})
        return f" There are sweeps in {', '.join(map(str, sweeps[:5]))}." if sweeps else ""
    beside = [
        path
        for place in (folder.parent, Path("multirun"))
        if place.is_dir()
        for path in place.iterdir()
        if path.is_dir()
    ]
    close = difflib.get_close_matches(folder.name, [path.name for path in beside], n=1)
    meant = next((path for path in beside if close and path.name == close[0]), None)
    return f" Did you mean {meant}?" if meant else ""


if __name__ == "__main__":
    exit_with(main(sys.argv[1:]))
