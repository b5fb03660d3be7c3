"""Run folders -> one comparison: what was varied, which runs belong together, what came of each.

Everything is read from the folders alone (``result.json``, ``metrics.csv``, and ``sweep.json`` where a sweep left one),
with paths relative to the folder: a moved or copied sweep gives the same comparison. A file that is half written,
damaged or missing makes a row that says so, never an error.
"""

import csv
import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from resnet_lightning.config import PUBLISHED, ConfigError, config_hash, images_of
from resnet_lightning.report.columns import Value, comparable, setting, settings_of, swept_columns, unnamed_columns
from resnet_lightning.result import FILE_NAME, RunResult

PLAN_FILE, REFERENCE_FILE = "sweep.json", "reference.csv"


class Plan(NamedTuple):
    """What a sweep was asked to do."""

    jobs: list[dict[str, Any]]  # {"folder", "overrides", "command"} of each, in the order of the sweep
    commands: list[str]  # with which it was started, the oldest first


class Found(NamedTuple):
    """What lies in the folder of a run, or where a plan has one."""

    name: str
    result: RunResult | None
    status: str
    reason: str | None


@dataclass(frozen=True)
class Run:
    """One job of a sweep.

    Attributes:
        name: path of its folder below the sweep.
        settings: value of every column of the comparison.
        status: that of ``result.json``; ``waiting`` without a folder, ``unreadable`` with a damaged record.
        result: None where there is no readable record.
        history: rows of ``metrics.csv``, numbers as floats.
        command: repeats this run alone; empty where unknown.
        overrides: as the user wrote them, key -> value.
    """

    name: str
    settings: dict[str, Value]
    seed: int | None
    status: str
    reason: str | None
    result: RunResult | None
    history: list[dict[str, float]]
    command: str
    overrides: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Runs that differ by the seed only."""

    settings: dict[str, Value]
    runs: list[Run]


@dataclass(frozen=True)
class Comparison:
    """A sweep: the swept keys, the runs in the order of the sweep, and the runs grouped over seeds."""

    folder: Path
    columns: list[str]
    runs: list[Run]
    groups: list[Group]
    reference: Path | None = None  # figures of somebody else for these settings
    repeated: int = 0  # folders that were left out: they compute what another one does

    @property
    def done(self) -> list[Run]:
        return [run for run in self.runs if run.status == "done"]

    @property
    def scale(self) -> tuple[float, float]:
        """Share of the training images, share of the epochs; the same in all runs (``read_comparison`` checks)."""
        return next((scale_of(run.result) for run in self.runs if run.result), (1.0, 1.0))

    @property
    def name(self) -> str:
        return self.folder.resolve().name


def read_comparison(folder: Path) -> Comparison:
    """Read all runs below ``folder``, which is a sweep or any folder of run folders.

    Raises:
        FileNotFoundError: there is no such folder.
        ConfigError: it mixes full and scaled-down runs.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    plan = {job["folder"]: job for job in read_plan(folder).jobs}
    names = list(plan) + sorted(
        path.parent.relative_to(folder).as_posix()
        for path in folder.glob(f"*/{FILE_NAME}")
        if path.parent.relative_to(folder).as_posix() not in plan
    )
    every = tell_images_apart([Found(name, *read_result(folder / name)) for name in names])
    found = one_of_each(every, plan)
    check_scale(folder, [result for _, result, _, _ in found if result])
    overrides = {name: overrides_of(result, plan.get(name, {})) for name, result, _, _ in found}
    known = [(overrides[name], result) for name, result, _, _ in found]
    columns = swept_columns(known)
    columns += unnamed_columns(columns, known)
    values = {key: in_one_form(settings_of(key, known)) for key in columns}
    runs = []
    for position, (name, result, status, reason) in enumerate(found):
        settings = {key: values[key][position] for key in columns}
        seed = setting("seed", overrides[name], result)
        command = str(plan.get(name, {}).get("command", ""))
        number = seed if isinstance(seed, int) else None
        history = read_history(folder / name)
        runs.append(Run(name, settings, number, status, reason, result, history, command, overrides[name]))
    reference = folder / REFERENCE_FILE
    found_reference = reference if reference.is_file() else None
    return Comparison(folder, columns, runs, group_runs(runs), found_reference, len(every) - len(found))


def in_one_form(values: Sequence[Value]) -> list[Value]:
    """Equal values as the first of them is written: 32 is that of a job that waits, "32" that of a record."""
    forms: dict[str, Value] = {}
    return [forms.setdefault(comparable(value), value) for value in values]


def tell_images_apart(found: Sequence[Found]) -> list[Found]:
    """Runs on other images are no seeds of one setting: where a user has changed a folder of images between two runs on
    it, the digest of the images is a setting too, ``data.digest``."""
    digests: dict[str, set[str]] = {}
    for one in found:
        place, digest = known_images(one.result)
        if digest:
            digests.setdefault(place, set()).add(digest)

    def told(one: Found) -> Found:
        place, digest = known_images(one.result)
        if one.result is None or digest is None or len(digests[place]) < 2:
            return one
        data = {**one.result.config["data"], "digest": digest}
        return one._replace(result=replace(one.result, config={**one.result.config, "data": data}))

    return [told(one) for one in found]


def known_images(result: RunResult | None) -> tuple[str, str | None]:
    """Where a run has its images from, and their digest; None where they are known by their name, or not at all."""
    data = result.config.get("data") if result else None
    digest = result.data.get("digest") if result else None
    if not isinstance(data, dict) or data.get("name") in PUBLISHED or not isinstance(digest, str):
        return "", None
    return json.dumps(images_of({"name": None, "root": None, "image_size": None} | data)), digest


def one_of_each(found: Sequence[Found], planned: Container[str]) -> list[Found]:
    """Without runs that compute what another does: a copy beside a job is no further seed of it.

    One of the plan stays, else another; of several one that is done, else the first.
    """
    kept: dict[str, Found] = {}
    for one in sorted(found, key=lambda one: (one.name not in planned, one.status != "done")):
        if one.result is not None:
            kept.setdefault(config_hash(one.result.config), one)
    stay = {one.name for one in kept.values()}
    return [one for one in found if one.result is None or one.name in stay]


def scale_of(result: RunResult) -> tuple[float, float]:
    """``scale`` and ``epochs_scale`` of a run; 1 where its record does not know them."""
    shares = (result.config.get(key, 1.0) for key in ("scale", "epochs_scale"))
    data, epochs = (float(share) if isinstance(share, (int, float)) else 1.0 for share in shares)
    return data, epochs


def epochs_of(result: RunResult) -> int | None:
    """How many epochs the run trains, all in all; None where its record does not say so."""
    epochs = result.config.get("epochs")
    return max(1, round(epochs * scale_of(result)[1])) if isinstance(epochs, int) else None


def check_scale(folder: Path, results: list[RunResult]) -> None:
    """Full and scaled-down runs do not compare.

    Raises:
        ConfigError: some runs were scaled down, others not or otherwise.
    """
    found = sorted({scale_of(result) for result in results})
    if len(found) > 1:
        texts = ", ".join(f"scale={data:g} epochs_scale={epochs:g}" for data, epochs in found)
        raise ConfigError(
            f"{folder} mixes runs of {texts}: they cannot be compared. Move each kind into a folder of its own."
        )


def read_plan(folder: Path) -> Plan:
    """What ``sweep.json`` says; nothing without one, or with a damaged one.

    Raises:
        OSError: it is there and cannot be read, which may pass.
    """
    try:
        plan = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
        listed = [{"overrides": [], "command": "", **job, "folder": str(job["folder"])} for job in plan["jobs"]]
        # of a file that may be somebody else's: names, never a way out of the folder
        jobs = [job for job in listed if Path(job["folder"]).name == job["folder"]]
        return Plan(jobs, [str(command) for command in plan.get("commands", [])])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return Plan([], [])


def read_result(folder: Path) -> tuple[RunResult | None, str, str | None]:
    """Record, status and reason of one run folder."""
    try:
        result = RunResult.read(folder)
        return result, result.status, result.reason
    except FileNotFoundError:
        return None, "waiting", None
    except (OSError, ValueError) as error:
        return None, "unreadable", f"{FILE_NAME} cannot be read: {error}"


def read_history(folder: Path) -> list[dict[str, float]]:
    """The epochs in ``metrics.csv``; a row that is not whole ends it."""
    rows: list[dict[str, float]] = []
    try:
        with (folder / "metrics.csv").open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                rows.append({key: float(value) for key, value in row.items()})
    except (OSError, ValueError, TypeError, csv.Error):
        return rows
    return rows


def overrides_of(result: RunResult | None, job: dict[str, Any]) -> dict[str, str]:
    """``{"lr": "0.1", ...}`` as the user wrote them."""
    listed = result.overrides if result else job.get("overrides", [])
    pairs = (str(item).lstrip("+~").partition("=") for item in (listed if isinstance(listed, list) else []))
    return {key: value for key, _, value in pairs if not key.startswith("hydra")}


def group_runs(runs: Iterable[Run]) -> list[Group]:
    groups: dict[str, Group] = {}
    for run in runs:
        key = json.dumps({key: comparable(value) for key, value in run.settings.items()}, sort_keys=True)
        groups.setdefault(key, Group(run.settings, [])).runs.append(run)
    return list(groups.values())
