"""A page for every report: the commands, the tables beside the report's own, the figures, what the numbers carry.

The pages stand on copies of the records (``result.json``, ``metrics.csv``), tables and figures, without checkpoints: a
folder of pages can be committed, and copied back below ``multirun/`` its sweeps go on where they stopped.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from resnet_lightning.config import identity
from resnet_lightning.report.frame import Comparison, Run, read_comparison, scale_of
from resnet_lightning.report.labels import count
from resnet_lightning.report.statistics import compare
from resnet_lightning.result import FILE_NAME, atomic_write
from resnet_lightning.text import duration

SWEEP_FILES = ("comparison.csv", "comparison.md", "beside_reference.csv", "reference.csv", "sweep.json", "commands.sh")
SCALED_BY = ("scale", "epochs_scale", "data.test_limit")
RUN_FILES = (FILE_NAME, "metrics.csv")
BEST_RUN_FILES = ("curves.png", "confusion_matrix.png", "predictions.png")


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
            copy_sweep(sweep, folder / sweep.name)
    pages = {folder / f"{key}.md": page(text, folder) for key, text in texts.items()}
    pages = {folder / "README.md": contents(texts, folder), **pages}
    for path, content in pages.items():
        with atomic_write(path, "w", encoding="utf-8") as file:
            file.write(content)
    return list(pages)


def sweeps_of(experiment: str, folder: Path) -> list[Path]:
    """Sweeps of an experiment that have a comparison, the full one first, then those scaled down."""
    scaled = [path for part in ("scale", "epochs") for path in sorted(folder.glob(f"{experiment}_{part}-*"))]
    names = [folder / experiment, *scaled]
    return [path for path in names if (path / "comparison.md").is_file()]


def copy_sweep(sweep: Path, target: Path) -> None:
    """Records of all runs, tables and figures; of the best run its own pictures too."""
    comparison = read_comparison(sweep)
    files = [sweep / name for name in SWEEP_FILES] + sorted((sweep / "figures").glob("*.png"))
    files += [sweep / run.name / name for run in comparison.runs for name in RUN_FILES]
    files += [sweep / run.name / name for run in best_runs(comparison) for name in BEST_RUN_FILES]
    for source in files:
        if source.is_file():
            place = target / source.relative_to(sweep)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)


def best_runs(comparison: Comparison) -> list[Run]:
    """The first finished run of the best setting."""
    return [run for row in compare(comparison) if row.best for run in row.group.runs if run.status == "done"][:1]


def contents(texts: dict[str, Text], folder: Path) -> str:
    lines = [
        "# The five course reports, run again",
        "",
        "Made by `python -m resnet_lightning.reproduce` (`make reports`). Every table stands beside that of its",
        "report; what was scaled down says so in its title. A sweep goes on from these records after",
        "`cp -r <its folder> multirun/`.",
        "",
        "| report | sweeps with results here |",
        "|---|---|",
    ]
    for key, text in texts.items():
        found = [path.name for name in text.experiments for path in sweeps_of(name, folder)]
        lines.append(f"| [{text.title}]({key}.md) | {', '.join(found) or 'none yet'} |")
    return "\n".join([*lines, ""])


def page(text: Text, folder: Path) -> str:
    """One report as Markdown."""
    parts = [f"# {text.title}", text.about]
    for name in text.experiments:
        for sweep in sweeps_of(name, folder):
            parts.append(section(name, sweep))
    if len(parts) > 2:  # else there are no numbers yet
        parts += ["## What these numbers carry, and what not", "\n".join(f"- {sentence}" for sentence in text.carries)]
    left = [line for name in text.experiments for line in not_run(name, folder)]
    if left:
        heads = ["| command | estimated time of its training steps |", "|---|---|"]
        parts += ["## Not run at full scale", "\n".join([*heads, *left])]
    return "\n\n".join(parts) + "\n"


def section(experiment: str, sweep: Path) -> str:
    """Command, tables and figures of one sweep."""
    comparison = read_comparison(sweep)
    scale = "".join(
        f" {key}={share:g}" for key, share in zip(("scale", "epochs_scale"), comparison.scale, strict=True) if share < 1
    )
    table = (sweep / "comparison.md").read_text(encoding="utf-8").replace("## Beside", "### Beside").strip()
    pictures = sorted((sweep / "figures").glob("*.png"))
    pictures += [sweep / run.name / name for run in best_runs(comparison) for name in BEST_RUN_FILES]
    shown = [(path.stem.replace("_", " "), path.relative_to(sweep.parent)) for path in pictures if path.is_file()]
    images = [f"![{name}]({path.as_posix()})" for name, path in shown]
    command = f"python -m resnet_lightning --multirun experiment={experiment}{scale}"
    return "\n\n".join([f"## {sweep.name}", f"```\n{command}\n```", table, *images])


def not_run(experiment: str, folder: Path) -> Iterable[str]:
    """Lines of the table of what is left to run at full scale, with the time that the runs so far point to."""
    sweeps = sweeps_of(experiment, folder)
    command = f"`python -m resnet_lightning --multirun experiment={experiment}`"
    if not sweeps:
        return [f"| {command} | not known: no run of it here |"]
    full = [run for path in sweeps if path.name == experiment for run in read_comparison(path).runs]
    done = {key_of(run) for run in full if run.status == "done"}
    scaled = [run for path in sweeps for run in read_comparison(path).runs if run.status == "done"]
    left = {key_of(run): run for run in scaled if key_of(run) not in done}
    return [f"| {command} | {estimate_text(list(left.values()))} |"] if left else []


def key_of(run: Run) -> str:
    """The same for a run and its scaled-down version."""
    settings = identity(run.result.config) if run.result else {}
    return json.dumps({key: settings[key] for key in sorted(settings) if key not in SCALED_BY})


def estimate_text(runs: Sequence[Run]) -> str:
    """``2 h 10 min on cpu ..., 2 threads, bf16 precision (5 runs)``: one after the other, as fast as scaled down."""
    seconds, devices = 0.0, set()
    for run in runs:
        result = run.result
        assert result is not None
        images = result.data["images"]["train"] / scale_of(result)[0] * result.config["epochs"]
        seconds += images / result.images_per_second if result.images_per_second else 0.0
        devices.add(f"{result.device}, {count(result.threads or 0, 'thread')}, {result.precision} precision")
    return f"{duration(seconds)} on {' and '.join(sorted(devices))} ({count(len(runs), 'run')})"
