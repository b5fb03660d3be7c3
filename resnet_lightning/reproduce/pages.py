"""A page for every report: the commands, the tables beside the report's own, the figures, what the numbers carry.

The pages stand on copies of the records (``result.json``, ``metrics.csv``), tables and figures, without checkpoints: a
folder of pages can be committed, and copied back below ``multirun/`` its sweeps go on where they stopped.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from resnet_lightning.config import config_hash
from resnet_lightning.files import atomic_write
from resnet_lightning.report import write_report
from resnet_lightning.report.frame import PLAN_FILE, REFERENCE_FILE, Comparison, Run, read_comparison, read_plan
from resnet_lightning.report.labels import setting_text
from resnet_lightning.report.statistics import compare
from resnet_lightning.reproduce.remaining import finished, remaining
from resnet_lightning.result import FILE_NAME, RunResult
from resnet_lightning.sweep.plan import COMMANDS_FILE
from resnet_lightning.text import count, tell

SWEEP_FILES = (PLAN_FILE, COMMANDS_FILE, REFERENCE_FILE)
REPORT_FILES = ("comparison.csv", "comparison.md", "beside_reference.csv")
RUN_FILES = (FILE_NAME, "metrics.csv", "curves.png")
PICTURES = ("curves.png", "confusion_matrix.png", "predictions.png")
FOOTNOTE = (
    "Times are those of scaled-down runs, scaled up, on each machine that has some, of older commits too and beside "
    "other work; *about*: partly from the speed of other networks there. Fewer test images "
    "than in full are not scaled up. A device that sustains 10 TFLOP/s takes 100 s for a PFLOP."
)
HEADING = "# The five course reports, run again"
OURS = Path("docs/reports")  # of the project: what reports.yaml says of numbers is of those
FEW = 7  # runs of which each shows its own curves, as the reports do


@dataclass(frozen=True)
class Text:
    """What ``reports.yaml`` says of a report."""

    title: str
    about: str
    experiments: list[str]
    carries: list[str]


def read_texts() -> dict[str, Text]:
    loaded = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("reports.yaml")))
    assert isinstance(loaded, dict)
    return {str(name): Text(**fields) for name, fields in loaded.items()}


def write_pages(sweeps: Path, folder: Path) -> list[Path]:
    """Copy what the sweeps of the reports left into ``folder`` and write the pages there.

    Args:
        sweeps: where sweeps land; those that are not there keep the copies of an earlier call.

    Returns:
        the pages, that with the list of them first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = read_texts()
    for name in (name for text in texts.values() for name in text.experiments):
        for sweep in sweeps_of(name, sweeps):
            if not has_more(folder / sweep.name, sweep, sweeps):
                copy_sweep(sweep, folder / sweep.name)
    runs = [
        result
        for text in texts.values()
        for name in text.experiments
        for sweep in sweeps_of(name, folder)
        for result in finished(sweep)
    ]
    pages = {folder / f"{key}.md": page(text, folder, runs) for key, text in texts.items()}
    pages = {folder / "README.md": contents(texts, folder), **pages}
    for path, content in pages.items():
        with atomic_write(path, "w", encoding="utf-8") as file:
            file.write(content)
    return list(pages)


def sweeps_of(experiment: str, folder: Path) -> list[Path]:
    """Sweeps of an experiment in which some run is done, the full one first, then those scaled down."""
    scaled = [path for part in ("scale", "epochs", "test") for path in sorted(folder.glob(f"{experiment}_{part}-*"))]
    return [path for path in [folder / experiment, *scaled] if path.is_dir() and read_comparison(path).done]


def has_more(copy: Path, sweep: Path, sweeps: Path) -> bool:
    """Whether an earlier copy has finished runs that the sweep lacks; then it stays, and a line says why."""
    lost = {config_hash(run.config) for run in finished(copy)} if copy.is_dir() else set()
    lost -= {config_hash(run.config) for run in finished(sweep)}
    if lost:
        tell(
            f"{copy} stays as it is: it has {count(len(lost), 'finished run')} that {sweep} lacks. Copy them there: "
            f"cp -rn {copy} {sweeps}/, or remove it."
        )
    return bool(lost)


def copy_sweep(sweep: Path, target: Path) -> None:
    """Records of all runs, and the report on just these records; of a run of the best setting its own pictures too.

    The copy is made aside and then takes the place of an earlier one, so that nothing outdated stays in it.
    """
    aside = target.parent / ".new" / target.name
    shutil.rmtree(aside.parent, ignore_errors=True)
    comparison = read_comparison(sweep)
    files = [sweep / name for name in SWEEP_FILES]
    files += [sweep / run.name / name for run in comparison.runs for name in RUN_FILES]
    files += [sweep / run.name / name for run in shown_runs(comparison) for name in PICTURES]
    for source in files:
        if source.is_file():
            place = aside / source.relative_to(sweep)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
    for place in aside.glob(f"*/{FILE_NAME}"):
        forget_place(place)
    write_report(aside)
    for path in [*aside.glob("*"), *aside.glob("figures/*")]:
        if path.is_file() and path.name not in (*SWEEP_FILES, *REPORT_FILES) and path.suffix != ".png":
            path.unlink()
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    aside.parent.rmdir()


def forget_place(record: Path) -> None:
    """Where the data lay is of no use to others; it is no part of what a run is, so that a copy is still taken up."""
    text = record.read_text(encoding="utf-8")
    record.write_text(re.sub(r'"root": "(?:[^"\\]|\\.)*"', '"root": null', text), encoding="utf-8")


def shown_runs(comparison: Comparison) -> list[Run]:
    """The first finished run of the best setting: whichever seed it is, so that nothing is picked for its looks."""
    return [run for row in compare(comparison) if row.best for run in row.group.runs if run.status == "done"][:1]


def contents(texts: dict[str, Text], folder: Path) -> str:
    lines = [
        HEADING,
        "",
        f"Made by `python -m resnet_lightning.reproduce pages={folder.as_posix()}`. Every table stands beside that of",
        "its report; what was scaled down says so in its title. A sweep resumes from these records after",
        f"`cp -r {folder.as_posix()}/<its folder> multirun/`.",
        "",
        "| report | sweeps with results here |",
        "|---|---|",
    ]
    for key, text in texts.items():
        found = [progress(path) for name in text.experiments for path in sweeps_of(name, folder)]
        lines.append(f"| [{text.title}]({key}.md) | {', '.join(found) or 'none yet'} |")
    return "\n".join([*lines, ""])


def progress(sweep: Path) -> str:
    """``r1_lr_batch (9 runs done)``, or ``(4 of 9 done)``."""
    comparison = read_comparison(sweep)
    done, planned = len(comparison.done), len(comparison.runs)
    return f"{sweep.name} ({count(done, 'run') if done == planned else f'{done} of {planned} runs'})"


def page(text: Text, folder: Path, runs: Sequence[RunResult]) -> str:
    """One report as Markdown.

    Args:
        runs: the finished ones of all reports.
    """
    parts = [f"# {text.title}", text.about]
    for name in text.experiments:
        for sweep in sweeps_of(name, folder):
            parts.append(section(name, sweep))
    if len(parts) > 2:  # else there are no numbers yet
        parts += ["\n".join(f"- {sentence}" for sentence in text.carries)]
        if folder.resolve() == OURS.resolve():
            parts.insert(-1, "## What these numbers show, and what not")
        else:
            parts.insert(-1, f"## What the runs in {OURS} of the project showed, and what not")
            parts.insert(-1, "*Here* and *these* are those runs; the tables above may have other numbers.")
    left = [line for name in text.experiments for line in remaining(name, sweeps_of(name, folder), runs)]
    if left:
        heads = [
            "| command | settings left | training, PFLOP | estimated time, one run after the other |",
            "|---|---|---|---|",
        ]
        parts += ["## Not run at full scale", "\n".join([*heads, *left])]
        parts += [FOOTNOTE]
    return "\n\n".join(parts) + "\n"


def section(experiment: str, sweep: Path) -> str:
    """Commands, tables and figures of one sweep."""
    comparison = read_comparison(sweep)
    commands = read_plan(sweep).commands or [f"python -m resnet_lightning --multirun experiment={experiment}"]
    table = (sweep / "comparison.md").read_text(encoding="utf-8").replace("## Beside", "### Beside").strip()
    figures = [picture(path, sweep) for path in sorted((sweep / "figures").glob("*.png"))]
    code = "\n".join(["```", *commands, "```"])
    return "\n\n".join([f"## {sweep.name}", code, table, made(comparison), *figures, *run_pictures(comparison, sweep)])


def run_pictures(comparison: Comparison, sweep: Path) -> list[str]:
    """Curves of every run where there are few, of one of the best setting all pictures, each named by its setting."""
    done, shown = comparison.done, shown_runs(comparison)
    lines = []
    for run in done if len(done) <= FEW else shown:
        wanted = PICTURES if run in shown else PICTURES[:1]
        names = wanted if len(run.history) > 1 else wanted[1:]  # one epoch is no curve
        paths = [sweep / run.name / name for name in names if (sweep / run.name / name).is_file()]
        label = f"`{setting_text(run.settings)}`, seed {run.seed}" + (", of the best setting" if run in shown else "")
        lines += [f"{label}:", *(picture(path, sweep) for path in paths)] if paths else []
    return lines


def picture(path: Path, sweep: Path) -> str:
    return f"![{path.stem.replace('_', ' ')}]({path.relative_to(sweep.parent).as_posix()})"


def made(comparison: Comparison) -> str:
    """When, with which commit and which torch the runs were made."""
    results = [run.result for run in comparison.done if run.result]
    days = sorted({str(result.started)[:10] for result in results})
    torch = sorted({str(result.versions.get("torch")) for result in results})
    commits = sorted(
        {re.sub(r"(?<=^.{10})[0-9a-f]+", "", result.git_commit) for result in results if result.git_commit}
    )
    when = " to ".join(dict.fromkeys([days[0], days[-1]]))
    parts = [f"Run {when} with torch {' and '.join(torch)}"]
    parts += [f"{'commits' if len(commits) > 1 else 'commit'} {', '.join(commits)}"] if commits else []
    text = f"{', '.join(parts)}. Whatever else the machine did slowed the times, not the accuracies."
    if len(commits) > 1:  # the last digits of a convolution are enough, where a network is far from converged
        text += " Between commits both may differ, accuracies as they do between seeds."
    return text
