"""``python -m resnet_lightning.reproduce``: run the experiments of the five reports, then write a page for each."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from resnet_lightning.checks import choose
from resnet_lightning.command import run_command
from resnet_lightning.config import ConfigError
from resnet_lightning.reproduce.pages import HEADING, read_texts, write_pages
from resnet_lightning.text import exit_with, tell

SWEEPS = Path("multirun")
HELP = """\
usage: python -m resnet_lightning.reproduce [only=r1,r3] [pages=FOLDER] [run=false] [key=value ...]

Runs every experiment of the five course reports, skipping what is finished, and writes a page for each report.

  only    reports or experiments to run (default: all)
  pages   folder for the pages (default: multirun/reports)
  run     false runs nothing and writes the pages from what there is
  other keys go to every run, as in scale=0.02 epochs_scale=0.02 data.test_limit=1000

The same command again resumes where it stopped. Exit codes: 0 done, 1 some runs failed or a file cannot be written,
2 bad setting, 130 interrupted (143 by SIGTERM, 129 by the end of its terminal).
"""


def main(arguments: list[str]) -> int:
    return run_command(work, arguments, lambda: HELP)


def work(arguments: list[str]) -> int:
    own = {"only": "", "pages": "multirun/reports", "run": "true"}
    pairs = [argument.partition("=") for argument in arguments]
    own |= {key: value for key, _, value in pairs if key in own}
    choose("run", own["run"], ("true", "false"))
    if Path(own["pages"]).resolve() == SWEEPS.resolve():
        raise ConfigError(f"pages={own['pages']} is not possible: it holds the sweeps, with their checkpoints.")
    refuse_other_pages(Path(own["pages"]) / "README.md")
    overrides = [argument for argument, pair in zip(arguments, pairs, strict=True) if pair[0] not in own]
    experiments = chosen([name for name in own["only"].split(",") if name])
    Path(own["pages"]).mkdir(parents=True, exist_ok=True)  # hours later it would be late
    code = run_all(experiments, overrides) if own["run"] == "true" else 0
    for path in write_pages(SWEEPS, Path(own["pages"])):
        tell(str(path))
    return code


def refuse_other_pages(path: Path) -> None:
    """
    Raises:
        ConfigError: the list of the pages would take the place of somebody else's README.md.
    """
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEADING):
        raise ConfigError(f"pages={path.parent} is not possible: its README.md is not a list of such pages.")


def chosen(names: Sequence[str]) -> list[str]:
    """The experiments that reports and experiments of these names mean; all of them for no name.

    Raises:
        ConfigError: there is no such report or experiment.
    """
    texts = read_texts()
    everything = [name for report in texts.values() for name in report.experiments]
    for name in names:
        choose("only", name, [*texts, *everything])
    wanted = [part for name in names for part in (texts[name].experiments if name in texts else [name])]
    return list(dict.fromkeys(wanted)) or everything


def run_all(experiments: Sequence[str], overrides: Sequence[str]) -> int:
    """Run the sweeps one after the other, each in a process of its own; returns the worst exit code."""
    codes = []
    for name in experiments:
        command = [sys.executable, "-m", "resnet_lightning", "--multirun", f"experiment={name}", *overrides]
        tell(f"\n=== {' '.join(['python', *command[1:]])}")
        codes.append(run_one(command))
        if codes[-1] in (2, 129, 130, 143):  # a bad setting would be one for the others too
            return codes[-1]
    return max(codes, default=0)


def run_one(command: Sequence[str]) -> int:
    """Run a sweep to its end; what stops us stops it in order, and is waited for.

    Ctrl-C reaches the sweep from the terminal, SIGTERM from here.
    """
    with subprocess.Popen(command) as process:
        before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        try:
            while True:
                try:
                    code = process.wait()
                    return code if code >= 0 else 128 - code
                except KeyboardInterrupt:
                    continue
        finally:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    exit_with(main(sys.argv[1:]))
