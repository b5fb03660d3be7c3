"""Which settings train a network fastest on this machine: precision, compile, batch, jobs at the same time, threads."""

import multiprocessing
import queue
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort, Row, Way, interleave, rows
from resnet_lightning.benchmark.timing import mean_seconds, release, repetitions, torch_flags
from resnet_lightning.benchmark.training import Prepared, Variant, device_of, precisions, prepare, variant_step
from resnet_lightning.config import Config, ConfigError
from resnet_lightning.text import count

WORTH = 0.05  # a setting is recommended over a simpler one where it is faster by more than this share
BATCHES = (32, 64, 128, 256, 512)
MOST_JOBS = 8
LONGEST = 600  # seconds until a job is given up


@dataclass(frozen=True)
class Advice:
    """The settings that train fastest, and what they are compared with."""

    rows: list[Row]
    lines: list[str]  # the settings in words, then the commands


def simplest_of_the_best(speeds: Mapping[Any, float]) -> Any:
    """The first key, from the simplest on, that no other is faster than by more than ``WORTH``."""
    best = max(speeds.values())
    return next(key for key, speed in speeds.items() if speed >= best / (1 + WORTH))


def speeds_of(
    group: str, ways: Mapping[Any, Way], rounds: int, missing: list[str]
) -> tuple[dict[Any, float], dict[str, list[float]]]:
    """
    Raises:
        ConfigError: none of the ways works here.
    """
    figures = interleave(group, {str(key): way for key, way in ways.items()}, rounds, missing)
    speeds = {key: statistics.median(figures[str(key)]) for key in ways if str(key) in figures}
    if not speeds:
        raise ConfigError(" ".join([f"{group}: nothing works here, so there is nothing to recommend.", *missing[:1]]))
    return speeds, figures


def compile_note(eager: Prepared, compiled: Prepared, eager_speed: float, compiled_speed: float) -> str:
    """When compiling has paid for itself."""
    cost = compiled.warm_up - eager.warm_up
    if cost <= 0:
        return "compile=true costs nothing that could be measured here."
    images = cost / (1 / eager_speed - 1 / compiled_speed)
    return f"compile=true costs {cost:.0f} s at the first start, and pays from {images:,.0f} training images on."


def best_variant(config: Config, effort: Effort) -> tuple[Variant, list[Row], list[str]]:
    """Precision and compile, the simplest first; with a sentence on when compiling has paid for itself."""
    device = device_of(config)
    compiled = (False,) if effort.quick else (False, True)
    candidates = [Variant(p, "channels_last", c) for c in compiled for p in precisions(device.type)]
    prepare(config, candidates[:1], device, effort)  # thrown away: what happens only once would count for the first
    prepared, notes = prepare(config, candidates, device, effort)
    group = f"{config.model.name}, batch {config.batch}: precision and compile"
    speeds, figures = speeds_of(group, {variant: p.way for variant, p in prepared.items()}, effort.rounds, notes)
    best: Variant = simplest_of_the_best(speeds)
    eager = best._replace(compiled=False)
    if best.compiled and eager in speeds:
        notes.append(compile_note(prepared[eager], prepared[best], speeds[eager], speeds[best]))
    return best, rows("recommend", group, "images/s", figures), notes


def best_batch(config: Config, variant: Variant, effort: Effort) -> tuple[int, list[Row], list[str]]:
    device, group = device_of(config), f"{config.model.name}: batch"
    ways: dict[int, Way] = {}
    notes: list[str] = []
    for batch in BATCHES[:2] if effort.quick else BATCHES:
        prepared, problems = prepare(replace(config, batch=batch), [variant], device, effort)
        notes += problems
        if variant in prepared:
            ways[batch] = prepared[variant].way
    speeds, figures = speeds_of(group, ways, effort.rounds, notes)
    best = simplest_of_the_best(speeds)
    notes.append(f"batch={best} is chosen for speed alone: the learning rate that suits it is another question.")
    return best, rows("recommend", group, "images/s", figures), notes


def job(arguments: list[str], variant: Variant, threads: int, seconds: float, begin: Any, results: Any) -> None:
    """One of several at the same time: images/s, measured while the others measure too."""
    hardware.keep_freed_memory()
    torch.set_num_threads(threads)
    try:
        config = compose(arguments)
        device = device_of(config)
        with torch_flags(of_a_run=device.type == "cuda"):
            step = variant_step(config, variant, device)
            begin.wait()
            times = repetitions(step, seconds, device)
            begin.wait()
            results.put(config.batch / mean_seconds(step, times, device))
    except Exception:  # out of memory: the others need not wait
        begin.abort()
        results.put(0.0)


def together(arguments: list[str], variant: Variant, jobs: int, threads: int, seconds: float) -> float:
    """Images/s of all of ``jobs`` processes that train at the same time on the same device; 0 if they do not fit."""
    context = multiprocessing.get_context("spawn")
    begin, results = context.Barrier(jobs), context.Queue()
    work = (arguments, variant, threads, seconds, begin, results)
    processes = [context.Process(target=job, args=work, daemon=True) for _ in range(jobs)]
    for process in processes:
        process.start()
    try:
        speeds = [results.get(timeout=LONGEST) for _ in processes]
        for process in processes:
            process.join()
    except queue.Empty:  # one was killed
        return 0.0
    finally:
        for process in processes:
            process.kill()
    return sum(speeds) if all(speeds) else 0.0


def shares(kind: str, cores: int) -> list[tuple[int, int]]:
    """(jobs, threads of each) to compare: all cores for one job, half of them, then all for two, four ..."""
    most = cores if kind == "cpu" else 4
    single = [(1, cores), (1, cores // 2)] if cores > 1 else [(1, cores)]
    return single + [(jobs, max(1, cores // jobs)) for jobs in (2, 4, MOST_JOBS) if jobs <= most]


def share_text(jobs: int, threads: int) -> str:
    return f"{count(jobs, 'job')} of {count(threads, 'thread')}"


def best_share(
    arguments: list[str], config: Config, variant: Variant, effort: Effort
) -> tuple[tuple[int, int], int, list[Row], list[str]]:
    """The share that is best for a sweep, the threads that are best for a single run; rows and notes."""
    group = f"{config.model.name}: jobs at the same time, images/s of all"
    ways = {
        share: partial(together, arguments, variant, *share, effort.seconds)
        for share in shares(device_of(config).type, torch.get_num_threads())
    }
    notes: list[str] = []
    speeds, figures = speeds_of(group, ways, min(effort.rounds, 3), notes)
    named = {share_text(*share): figures[str(share)] for share in speeds}
    single = {threads: speed for (jobs, threads), speed in speeds.items() if jobs == 1}
    threads = simplest_of_the_best(single) if single else torch.get_num_threads()
    return simplest_of_the_best(speeds), threads, rows("recommend", group, "images/s", named), notes


def without(arguments: Sequence[str], *keys: str) -> list[str]:
    return [argument for argument in arguments if argument.partition("=")[0] not in keys]


def recommend(arguments: list[str], effort: Effort) -> Advice:
    """Measure one kind of setting after the other, each with the best of those before.

    Args:
        arguments: settings of the run, as on the command line; a batch that they name is kept.
    """
    config = compose(arguments)
    device, batch = device_of(config), config.batch
    variant, found, notes = best_variant(config, effort)
    release(device)
    if not any(argument.startswith("batch=") for argument in arguments):
        batch, more, problems = best_batch(config, variant, effort)
        found, notes = found + more, notes + problems
        release(device)
    chosen = [*without(arguments, "precision", "compile", "threads", "batch"), f"batch={batch}"]
    eager = variant._replace(compiled=False)  # the share of the cores hardly depends on it, and several would compile
    (jobs, threads), threads_of_one, more, problems = best_share(chosen, config, eager, effort)
    text = " ".join([*chosen, *variant_settings(variant)])
    compiled = "compiled" if variant.compiled else "not compiled"
    lines = [
        f"precision {variant.precision}, {compiled}, batch {batch}; a single run on {count(threads_of_one, 'thread')}, "
        f"a sweep as {share_text(jobs, threads)} a device.",
        *notes,
        *problems,
        f"python -m resnet_lightning {text} threads={threads_of_one}",
        f"python -m resnet_lightning --multirun {text} seed=0,1,2 launcher.jobs_per_device={jobs} "
        f"launcher.threads_per_job={threads}",
    ]
    return Advice(found + more, lines)


def variant_settings(variant: Variant) -> list[str]:
    return [f"precision={variant.precision}", *(["compile=true"] if variant.compiled else [])]
