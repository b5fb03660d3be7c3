"""What a sweep costs besides the training.

The same small jobs are run three ways, in turn: by our launcher (a fresh process each, from a fork server), by Hydra's
basic launcher (one after the other in one process, no protection), and as single commands.
"""

import math
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from resnet_lightning.benchmark.rounds import Effort, Row, Way, interleave, rows
from resnet_lightning.benchmark.timing import command_seconds
from resnet_lightning.config import Config
from resnet_lightning.hardware import pick_accelerator
from resnet_lightning.overrides import with_path
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.slots import visible_gpus

JOBS, MOST_ROUNDS = 4, 3  # a round is a minute or two
SMALL = [
    "model=resnet10", "model.widths=[8,8,8]", "data=mnist", "data.train_limit=2048", "data.val_size=512", "epochs=1",
    "batch=64",
]  # fmt: skip
OURS = "our launcher"


class Sweeps:
    """The ways to run the jobs, each turn in an empty folder.

    Args:
        root: holds the folders of the turns; they are thrown away with it.
        machine: settings of the user that say where the data are and what trains.
        jobs: how many.

    Attributes:
        kept: the records of the jobs of each turn of our launcher, by their seeds.
    """

    def __init__(self, root: Path, machine: Sequence[str], jobs: int) -> None:
        self.root, self.machine, self.jobs = root, machine, jobs
        self.seeds = f"seed={','.join(map(str, range(jobs)))}"
        self.kept: list[list[RunResult]] = []

    def run(self, arguments: Sequence[str], place: Path) -> float:
        """Seconds that it takes on one device: ours would take all."""
        gpus = visible_gpus()
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": gpus[0]} if gpus else {})
        return command_seconds([*arguments, *SMALL, *self.machine], place, environment)

    def fresh(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.root))

    def ours(self) -> float:
        place = self.fresh()
        seconds = self.run(["--multirun", self.seeds], place)
        results = [RunResult.read(path.parent) for path in place.glob("multirun/*/*/result.json")]
        self.kept.append(sorted(results, key=lambda result: result.seed))
        return seconds

    def basic(self) -> float:
        return self.run(["--multirun", "hydra/launcher=basic", self.seeds], self.fresh())

    def single_commands(self) -> float:
        place = self.fresh()
        return sum(self.run([f"seed={seed}"], place) for seed in range(self.jobs))


def starts_of(kept: Sequence[Sequence[RunResult]]) -> dict[str, list[float]]:
    """Seconds from the start of a job's process to its first step."""
    starts = [[result.startup_seconds or math.nan for result in results] for results in kept]
    return {
        "the first job": [first for first, *_ in starts],
        "later jobs (median)": [statistics.median(later) for _, *later in starts],
    }


def besides(whole: Sequence[float], kept: Sequence[Sequence[RunResult]]) -> dict[str, list[float]]:
    """Seconds of a sweep that are in no job's own time, which begins when its process has imported everything."""
    trained = [sum(result.seconds or 0.0 for result in results) for results in kept]
    return {"launcher, imports and report": [seconds - jobs for seconds, jobs in zip(whole, trained, strict=True)]}


def measure_launcher(config: Config, machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    missing: list[str] = []
    machine = [*machine, with_path("data.root", Path(config.data.root).absolute())]
    with tempfile.TemporaryDirectory() as folder:
        sweeps = Sweeps(Path(folder), machine, 2 if effort.quick else JOBS)
        sweeps.run(["data.test_limit=64"], sweeps.fresh())  # makes the cache of the data
        ways: dict[str, Way] = {
            OURS: sweeps.ours,
            "Hydra's basic launcher": sweeps.basic,
            "single commands": sweeps.single_commands,
        }
        kind = pick_accelerator(config.accelerator)
        group = f"{sweeps.jobs} small jobs on {'the CPU' if kind == 'cpu' else 'one GPU'}"
        times = interleave(group, ways, min(effort.rounds, MOST_ROUNDS), missing)
    found = rows("launcher", group, "s", times)
    if OURS in times:
        found += rows("launcher", "process start to first step of a job of ours", "s", starts_of(sweeps.kept))
        found += rows("launcher", "a sweep of ours, besides its jobs", "s", besides(times[OURS], sweeps.kept))
    return found, missing
