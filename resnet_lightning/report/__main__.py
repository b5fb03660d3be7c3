"""``python -m resnet_lightning.report multirun/lr_batch``: the comparison of a sweep from its folders, at any time."""

import sys
from dataclasses import dataclass
from pathlib import Path

from resnet_lightning.checks import nearest_of
from resnet_lightning.command import Usage, help_text, option, parse, run_command
from resnet_lightning.config import ConfigError
from resnet_lightning.report import write_report
from resnet_lightning.report.reference import add_reference, find_reference
from resnet_lightning.result import FILE_NAME
from resnet_lightning.text import exit_with, file_error

USAGE = Usage(
    "python -m resnet_lightning.report FOLDER [FOLDER ...] [reference=FILE]",
    """\
FOLDER is the folder of a sweep, or any folder that contains run folders.

Compares the runs below a folder: prints the table and a summary, and writes into the folder
  comparison.csv, .md, .tex, .html   the table: raw numbers, Markdown, LaTeX, a page that opens offline
  beside_reference.csv               with reference=: the published figures, ours and the difference, for every setting
  figures/                           learning curves, heat maps, main effects, accuracy against time, as PNG and SVG
  events.out.tfevents.0.comparison   the columns of TensorBoard's HPARAMS tab""",
    """\
  python -m resnet_lightning.report multirun/lr_batch
  python -m resnet_lightning.report multirun/r1_lr_batch reference=r1_lr_batch""",
)
NOTES = """\
A copy of the reference is kept in the folder (reference.csv), where later reports find it. The report reads only the
folders, so it works while the sweep runs, and after it was moved or copied. It changes nothing in the runs."""


@dataclass
class ReportOptions:
    reference: str | None = option(None, "a CSV file, or the name of one in the package, as in reference=r1_lr_batch")


def main(arguments: list[str]) -> int:
    return run_command(work, arguments, lambda: help_text(USAGE, ReportOptions, NOTES))


def work(arguments: list[str]) -> int:
    options, (folders, _) = parse(arguments, ReportOptions)
    if not folders:
        raise ConfigError("No folder was given: python -m resnet_lightning.report multirun/<name>")
    reference = None if options.reference is None else find_reference(options.reference)
    return max([report(Path(folder), reference) for folder in folders])


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
    close = nearest_of(folder.name, [path.name for path in beside])
    meant = next((path for path in beside if path.name == close), None)
    return f" Did you mean {meant}?" if meant else ""


if __name__ == "__main__":
    exit_with(main(sys.argv[1:]))
