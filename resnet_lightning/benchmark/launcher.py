"""What a sweep costs besides the training.

The same small jobs are run three ways, in turn: by our launcher (a fresh process each, from a fork server), by Hydra's
basic launcher (one after the other in one process, no protection), and as single commands.
"""

import math
import os
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from resnet_lightning.benchmark.rounds import Effort, Row, Way, interleave, rows
from resnet_lightning.benchmark.timing import command_seconds
from resnet_lightning.config import Config
from resnet_lightning.hardware import pick_accelerator
from resnet_lightning.overrides import with_path
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.slots import visible, visible_gpus

JOBS, MOST_ROUNDS = 4, 3  # a round is a minute or two
SMALL = [
    "model=resnet10", "model.widths=[8,8,8]", "data=mnist", "data.train_limit=2048", "data.val_size=512", "epochs=1",
    "batch=64",
]  # fmt: skip
OURS, ONE = "our launcher", "our launcher, one job"


class Sweeps:
    """The ways to run the jobs, each turn in an empty folder.

    Args:
        root: holds the folders of the turns; they are thrown away with it.
        machine: settings of the user that say where the data are and what trains.
        jobs: how many.

    Attributes:
        kept: for each number of jobs, the records of each turn of our launcher, by their seeds.
    """

    def __init__(self, root: Path, machine: Sequence[str], jobs: int) -> None:
        self.root, self.machine, self.jobs = root, machine, jobs
        self.kept: dict[int, list[list[RunResult]]] = {1: [], jobs: []}

    def run(self, arguments: Sequence[str], place: Path) -> float:
        """Seconds that it takes on one device: ours would take all."""
        gpus = visible_gpus()
        environment = os.environ | (visible(gpus[0]) if gpus else {})
        return command_seconds([*arguments, *SMALL, *self.machine], place, environment)

    def fresh(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root))

    def ours(self, jobs: int) -> float:
        place = self.fresh()
        seconds = self.run(["--multirun", seeds(jobs)], place)
        results = [RunResult.read(path.parent) for path in place.glob("multirun/*/*/result.json")]
        self.kept[jobs].append(sorted(results, key=lambda result: result.seed))
        return seconds

    def basic(self) -> float:
        return self.run(["--multirun", "hydra/launcher=basic", seeds(self.jobs)], self.fresh())

    def single_commands(self) -> float:
        place = self.fresh()
        return sum(self.run([f"seed={seed}"], place) for seed in range(self.jobs))


def seeds(jobs: int) -> str:
    return f"seed={','.join(map(str, range(jobs)))}"


def starts_of(kept: Sequence[Sequence[RunResult]]) -> dict[str, list[float]]:
    """Seconds from the start of a job's process to its first step."""
    starts = [[result.startup_seconds or math.nan for result in results] for results in kept]
    return {
        "the first job": [first for first, *_ in starts],
        "later jobs (median)": [statistics.median(later) for _, *later in starts],
    }


def besides(whole: Sequence[float], kept: Sequence[Sequence[RunResult]]) -> list[float]:
    """Seconds of a sweep that are in no job's own time, which begins when its process has imported everything."""
    trained = [sum(result.seconds or 0.0 for result in results) for results in kept]
    return [seconds - jobs for seconds, jobs in zip(whole, trained, strict=True)]


def once_and_each(one: Sequence[float], many: Sequence[float], jobs: int) -> dict[str, list[float]]:
    """The cost of a sweep as a constant and a part for each job, from the costs with one job and with ``jobs``."""
    each = [(more - less) / (jobs - 1) for less, more in zip(one, many, strict=True)]
    once = [less - slope for less, slope in zip(one, each, strict=True)]
    return {f"{jobs} jobs": list(many), "once": once, "for each job": each}


def measure_launcher(config: Config, machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    missing: list[str] = []
    machine = [*machine, with_path("data.root", Path(config.data.root).absolute())]
    with tempfile.TemporaryDirectory() as folder:
        sweeps = Sweeps(Path(folder), machine, 2 if effort.quick else JOBS)
        sweeps.run(["data.test_limit=64"], sweeps.fresh())  # makes the cache of the data
        ways: dict[str, Way] = {
            OURS: partial(sweeps.ours, sweeps.jobs),
            ONE: partial(sweeps.ours, 1),
            "Hydra's basic launcher": sweeps.basic,
            "single commands": sweeps.single_commands,
        }
        kind = pick_accelerator(config.accelerator)
        group = f"{sweeps.jobs} small jobs on {'the CPU' if kind == 'cpu' else 'one GPU'}"
        times = interleave(group, ways, min(effort.rounds, MOST_ROUNDS), missing)
    single = times.pop(ONE, None)
    found = rows("launcher", group, "s", times)
    if OURS in times:
        many = sweeps.kept[sweeps.jobs]
        found += rows("launcher", "process start to first step of a job of ours", "s", starts_of(many))
        if single:
            costs = besides(single, sweeps.kept[1]), besides(times[OURS], many)
            of_sweep = once_and_each(*costs, sweeps.jobs)
            found += rows("launcher", "a sweep of ours, besides its jobs' own time", "s", of_sweep)
    return found, missing
