"""``python -m resnet_lightning.report multirun/lr_batch``: the comparison of a sweep from its folders, at any time."""

import argparse
import difflib
import sys
from pathlib import Path

from resnet_lightning.report import write_report
from resnet_lightning.result import FILE_NAME

DESCRIPTION = """\
Compares the runs below a folder: prints the table and a summary, and writes into the folder
  comparison.csv, .md, .tex, .html   the table: raw numbers, for texts, for papers, as a page that opens offline
  figures/                           learning curves, heat maps, main effects, accuracy against time, as PNG and SVG
  events.out.tfevents.0.comparison   the columns of TensorBoard's HPARAMS tab

Reads the folders alone: also while the sweep runs, and where it was moved or copied to. Changes nothing of the runs.
"""
EXIT_CODES = """\
Exit codes: 0 done, 1 some of the files could not be written, 2 no such folder or no run in it.
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m resnet_lightning.report",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", metavar="FOLDER", nargs="+", type=Path, help="of a sweep, or any folder of run folders"
    )
    codes = [report(folder) for folder in parser.parse_args(arguments).folders]
    return max(codes)


def report(folder: Path) -> int:
    """Print the comparison of one folder; returns the exit code."""
    try:
        written = write_report(folder)
    except FileNotFoundError as error:
        print(f"{error}{hint(folder)}", file=sys.stderr)
        return 2
    print(written.console)
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
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode still shows the table
    sys.exit(main())
