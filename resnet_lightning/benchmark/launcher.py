"""``python -m resnet_lightning.benchmark.launcher``: what a sweep costs besides the training.

The same small jobs are run three ways, in turn, a few rounds: by our launcher (a fresh process each, from a fork
server), by Hydra's basic launcher (one after the other in one process, no protection), and as single commands.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from resnet_lightning.benchmark.rounds import ratios, spread_text
from resnet_lightning.result import RunResult

JOBS, ROUNDS = 4, 3
SMALL = [
    "model=resnet10", "model.widths=[8,8,8]", "data.train_limit=2048", "data.val_size=512", "epochs=1", "batch=64",
]  # fmt: skip


def run(arguments: Sequence[str], place: Path) -> float:
    """Seconds that ``python -m resnet_lightning`` takes with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "resnet_lightning", *arguments], cwd=place, check=True, capture_output=True)
    return time.perf_counter() - start


def seeds() -> list[int]:
    return list(range(JOBS))


def ours(place: Path) -> float:
    return run(["--multirun", *SMALL, f"seed={','.join(map(str, seeds()))}"], place)


def basic(place: Path) -> float:
    return run(["--multirun", "hydra/launcher=basic", *SMALL, f"seed={','.join(map(str, seeds()))}"], place)


def singly(place: Path) -> float:
    return sum(run([*SMALL, f"seed={seed}"], place) for seed in seeds())


def records(place: Path, pattern: str) -> list[RunResult]:
    found = [RunResult.read(path.parent) for path in place.glob(pattern)]
    return sorted(found, key=lambda result: result.seed)


def main() -> None:
    ways = {"our launcher": ours, "Hydra's basic launcher": basic, "single commands": singly}
    times: dict[str, list[float]] = {name: [] for name in ways}
    first, later, overhead = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run([*SMALL, "data.train_limit=64"], root)  # makes the cache of the data
        for number in range(ROUNDS):
            for name, way in ways.items():
                place = root / f"{number} {name}"
                place.mkdir()
                (place / "data").symlink_to(root / "data")
                times[name].append(way(place))
                if way is ours:
                    results = records(place, "multirun/*/*/result.json")
                    startups = [result.startup_seconds or 0.0 for result in results]
                    first.append(startups[0])
                    later += startups[1:]
                    overhead.append((times[name][-1] - sum(result.seconds or 0.0 for result in results)) / JOBS)
    print(f"{JOBS} jobs of {results[0].seconds:.1f} s, {ROUNDS} rounds in turn; seconds: median (minimum to maximum)")
    for name, values in times.items():
        print(f"{name:<24} {spread_text(values)}")
        print(f"{'  ratio to ours':<24} {spread_text(ratios(values, times['our launcher']))}")
    print(f"process start to first step, first job   {spread_text(first)}")
    print(f"process start to first step, later jobs  {spread_text(later)}")
    print(f"launcher, report and imports, per job    {spread_text(overhead)}")


if __name__ == "__main__":
    main()
