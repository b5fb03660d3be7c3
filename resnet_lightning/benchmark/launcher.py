"""``python -m resnet_lightning.benchmark.launcher``: what a sweep costs besides the training.

The same small jobs are run three ways, in turn, a few rounds: by our launcher (a fresh process each, from a fork
server), by Hydra's basic launcher (one after the other in one process, no protection), and as single commands.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from resnet_lightning.benchmark.rounds import Way, interleave, ratios, spread_text
from resnet_lightning.result import RunResult
from resnet_lightning.sweep.slots import visible_gpus

JOBS, ROUNDS = 4, 3
SMALL = [
    "model=resnet10", "model.widths=[8,8,8]", "data.train_limit=2048", "data.val_size=512", "epochs=1", "batch=64",
]  # fmt: skip
SEEDS = f"seed={','.join(map(str, range(JOBS)))}"


def run(arguments: Sequence[str], place: Path) -> float:
    """Seconds that ``python -m resnet_lightning`` takes with these arguments, on one device: ours would take all."""
    gpus = visible_gpus()
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": gpus[0]} if gpus else {})
    device = [] if gpus else ["accelerator=cpu"]
    command = [sys.executable, "-m", "resnet_lightning", *arguments, *SMALL, *device]
    start = time.perf_counter()
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def fresh(root: Path) -> Path:
    """An empty folder, but for the data."""
    place = Path(tempfile.mkdtemp(dir=root))
    (place / "data").symlink_to(root / "data")
    return place


def our_launcher(root: Path, kept: list[list[RunResult]]) -> float:
    """
    Args:
        kept: gets the records of the jobs, by their seeds.
    """
    place = fresh(root)
    seconds = run(["--multirun", SEEDS], place)
    results = [RunResult.read(path.parent) for path in place.glob("multirun/*/*/result.json")]
    kept.append(sorted(results, key=lambda result: result.seed))
    return seconds


def basic_launcher(root: Path) -> float:
    return run(["--multirun", "hydra/launcher=basic", SEEDS], fresh(root))


def single_commands(root: Path) -> float:
    place = fresh(root)
    return sum(run([f"seed={seed}"], place) for seed in range(JOBS))


def show(times: dict[str, list[float]], kept: list[list[RunResult]]) -> None:
    first = [results[0].startup_seconds or 0.0 for results in kept]
    later = [result.startup_seconds or 0.0 for results in kept for result in results[1:]]
    trained = [sum(result.seconds or 0.0 for result in results) for results in kept]
    overhead = [(whole - jobs) / JOBS for whole, jobs in zip(times["our launcher"], trained, strict=True)]
    print(f"{JOBS} jobs of {trained[-1] / JOBS:.1f} s, {ROUNDS} rounds in turn; seconds: median (minimum to maximum)")
    for name, values in times.items():
        print(f"{name:<24} {spread_text(values)}")
        print(f"{'  ratio to ours':<24} {spread_text(ratios(values, times['our launcher']))}")
    print(f"process start to first step, first job   {spread_text(first)}")
    print(f"process start to first step, later jobs  {spread_text(later)}")
    print(f"launcher, report and imports, per job    {spread_text(overhead)}")


def main() -> None:
    kept: list[list[RunResult]] = []
    missing: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run(["data.test_limit=64"], root)  # makes the cache of the data
        ways: dict[str, Way] = {
            "our launcher": lambda: our_launcher(root, kept),
            "Hydra's basic launcher": lambda: basic_launcher(root),
            "single commands": lambda: single_commands(root),
        }
        times = interleave("Launcher", ways, ROUNDS, missing)
    if missing:
        sys.exit("\n".join(missing))
    show(times, kept)


if __name__ == "__main__":
    main()
