"""Which settings train a network fastest on this machine: precision, compile, batch, jobs at the same time, threads."""

import os
import shlex
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch

from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort, Row, Way, interleave, ratios, rows
from resnet_lightning.benchmark.timing import release
from resnet_lightning.benchmark.together import cores_of, together
from resnet_lightning.benchmark.training import Prepared, Variant, device_of, format_of_a_run, precisions, prepare
from resnet_lightning.checks import TRAIN_IMAGES, check_batch, held_out, scaled_images
from resnet_lightning.config import Config, ConfigError
from resnet_lightning.data import cache
from resnet_lightning.sweep.slots import usable_cores
from resnet_lightning.text import count

WORTH = 0.05  # recommended is the simplest setting that no other beats by more than this share
MOST_JOBS_ON_GPU = 8
UNKNOWN = "Not compared yet, as given or by default: "


@dataclass(frozen=True)
class Advice:
    """The settings that train fastest, and what they are compared with.

    Attributes:
        lines: the settings in words, what they cost, and what does not work here.
        commands: a single run with them, and a sweep.
    """

    rows: list[Row]
    lines: list[str]
    commands: list[str]


class Share(NamedTuple):
    """How the cores are shared: so many jobs at the same time, of so many threads each."""

    jobs: int
    threads: int

    def __str__(self) -> str:
        return f"{count(self.jobs, 'job')} of {count(self.threads, 'thread')}"


def simplest_of_the_best(figures: Mapping[Any, Sequence[float]]) -> Any:
    """The first key, from the simplest on, that no other is faster than by more than ``WORTH``.

    What counts is the median ratio to the first one within a round; what was slower than that in any round is no
    candidate.

    Args:
        figures: images/s of each key, round by round.
    """
    base = next(iter(figures.values()))
    gains = {key: ratios(values, base) for key, values in figures.items()}
    speeds = {key: statistics.median(gain) for key, gain in gains.items() if min(gain) >= 1}
    best = max(speeds.values())
    return next(key for key, speed in speeds.items() if speed >= best / (1 + WORTH))


def measured(
    group: str, ways: Mapping[Any, Way], rounds: int, missing: list[str]
) -> tuple[dict[Any, list[float]], list[Row]]:
    """Images/s of each way that works, round by round, and their rows.

    Raises:
        ConfigError: none of the ways works here.
    """
    by_name = interleave(group, {str(key): way for key, way in ways.items()}, rounds, missing)
    if not by_name:
        raise ConfigError(" ".join([f"{group}: nothing works here, so there is nothing to recommend.", *missing[:1]]))
    figures = {key: by_name[str(key)] for key in ways if str(key) in by_name}
    return figures, rows("recommend", group, "images/s", by_name)


def compile_note(eager: Prepared, compiled: Prepared, eager_speed: float, gain: float) -> str:
    """When compiling has paid for itself, at the earliest: a run compiles for its evaluation too.

    Args:
        eager_speed: images/s.
        gain: the compiled speed divided by it, above 1.
    """
    cost = compiled.warm_up - eager.warm_up
    if cost <= 0:
        return "compile=true costs nothing that could be measured here."
    images = cost * eager_speed / (1 - 1 / gain)
    return (
        f"compile=true costs at least {cost:.0f} s at the first start, and pays from {images:,.0f} training images on "
        "at the earliest: compiling for the evaluation is not counted."
    )


def best_variant(config: Config, effort: Effort) -> tuple[Variant, list[Row], list[str]]:
    """Precision and compile, the simplest first; with a sentence on when compiling has paid for itself."""
    device = device_of(config)
    compiled = (False,) if effort.quick else (False, True)
    candidates = [Variant(p, format_of_a_run(device), c) for c in compiled for p in precisions(device.type)]
    prepare(config, candidates[:1], device, effort)  # thrown away: what happens only once would count for the first
    prepared, notes = prepare(config, candidates, device, effort)
    group = f"{config.model.name}, batch {config.batch}: precision and compile"
    figures, found = measured(group, {variant: p.way for variant, p in prepared.items()}, effort.rounds, notes)
    best: Variant = simplest_of_the_best(figures)
    eager = best._replace(compiled=False)
    if best.compiled and eager in figures:
        gain = statistics.median(ratios(figures[best], figures[eager]))
        if gain > 1:
            notes.append(compile_note(prepared[eager], prepared[best], statistics.median(figures[eager]), gain))
    return best, found, notes


def data_set_size(config: Config) -> int:
    """Training images, before the validation split.

    Raises:
        DataError: there is no such folder of images.
    """
    return TRAIN_IMAGES.get(config.data.name) or len(cache.load(config.data).train.labels)


def training_images(config: Config) -> int:
    total = data_set_size(config)
    return scaled_images(config.scale, config.data.train_limit or total - held_out(config.data.val_size, total))


def batches(kind: str, images: int, effort: Effort) -> list[int]:
    """Powers of two from 32, but none larger than the data."""
    largest = min(images, 64 if effort.quick else 512 if kind == "cpu" else 4096)
    return [2**power for power in range(5, 13) if 2**power <= largest]


def best_batch(
    config: Config, variant: Variant, sizes: Sequence[int], effort: Effort
) -> tuple[int, list[Row], list[str]]:
    device, group = device_of(config), f"{config.model.name}: batch"
    ways: dict[int, Way] = {}
    notes: list[str] = []
    for batch in sizes:
        prepared, problems = prepare(replace(config, batch=batch), [variant], device, effort)
        notes += problems
        if variant in prepared:
            ways[batch] = prepared[variant].way
    figures, found = measured(group, ways, effort.rounds, notes)
    best = simplest_of_the_best(figures)
    notes.append(f"batch={best} is chosen for speed alone: the learning rate that suits it is another question.")
    return best, found, notes


def shares(kind: str, cores: int, gpus: int = 1) -> list[Share]:
    """Those to compare: all cores for one job, half of them, a quarter ..., then for two, four ... jobs on each GPU."""
    most = cores if kind == "cpu" else MOST_JOBS_ON_GPU
    halved = [cores >> power for power in range(cores.bit_length())]
    doubled = [2**power for power in range(1, most.bit_length())]
    return [Share(1, threads) for threads in halved] + [Share(jobs, max(1, cores // gpus // jobs)) for jobs in doubled]


def fit(shares: Iterable[Share], cores: int, gpus: int) -> list[Share]:
    """Those of a sweep: as many jobs on every GPU have the cores for it."""
    return [share for share in shares if share.threads == 1 or share.jobs * share.threads * gpus <= cores]


def best_share(
    arguments: list[str], config: Config, variant: Variant, effort: Effort
) -> tuple[Share, int, list[Row], list[str]]:
    """The share that is best for a sweep, the threads that are best for a single run; rows and notes."""
    group = f"{config.model.name}: jobs at the same time, not compiled, images/s of all"
    kind, cores = device_of(config).type, min(torch.get_num_threads(), len(usable_cores()))
    gpus = torch.cuda.device_count() if kind == "cuda" else 1
    ways = {
        share: partial(together, arguments, variant, cores_of(kind, *share), share.threads, effort.seconds)
        for share in shares(kind, cores, gpus)
    }
    notes: list[str] = []
    try:
        figures, found = measured(group, ways, min(effort.rounds, 3), notes)
    except ConfigError:
        return Share(1, cores), cores, [], [*notes, "No number of jobs could be measured: one is the default."]
    single = {share.threads: speeds for share, speeds in figures.items() if share.jobs == 1}
    threads = simplest_of_the_best(single) if single else cores
    of_sweep = {share: figures[share] for share in fit(figures, cores, gpus)} or figures
    return simplest_of_the_best(of_sweep), threads, found, notes


def without(arguments: Sequence[str], *keys: str) -> list[str]:
    return [argument for argument in arguments if argument.partition("=")[0] not in keys]


@contextmanager
def nothing_compiled_before() -> Iterator[None]:
    """An empty cache for ``torch.compile``, which keeps its work from one process to the next: compiling has its price.

    For a whole process: torch remembers where files are.
    """
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            yield
        finally:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
            os.environ.update({"TORCHINDUCTOR_CACHE_DIR": before} if before else {})


def recommend(arguments: list[str], effort: Effort) -> Iterator[Advice]:
    """Measure one kind of setting after the other, each with the best of those before.

    Args:
        arguments: settings of the run, as on the command line; a batch that they name is kept.

    Yields:
        What is known after each kind: a batch that is too large for the memory can end the process.
    """
    with nothing_compiled_before():
        yield from stages(arguments, effort)


def stages(arguments: list[str], effort: Effort) -> Iterator[Advice]:
    config = compose(arguments)
    device, images = device_of(config), training_images(config)
    named = any(argument.startswith("batch=") for argument in arguments)
    batch = config.batch if named else max(2, min(config.batch, images))
    config = replace(config, batch=batch)
    check_batch(config, data_set_size(config))
    sizes = [] if named else batches(device.type, images, effort)
    kept = without(arguments, "precision", "compile", "threads", "batch")
    threads = torch.get_num_threads()
    share = Share(1, threads)
    variant, found, notes = best_variant(config, effort)
    release(device)
    yield advice(kept, variant, batch, share, threads, found, [*notes, f"{UNKNOWN}{'batch, ' if sizes else ''}jobs."])
    if sizes:
        batch, more, problems = best_batch(config, variant, sizes, effort)
        found, notes = found + more, notes + problems
        release(device)
        yield advice(kept, variant, batch, share, threads, found, [*notes, f"{UNKNOWN}jobs."])
    eager = variant._replace(compiled=False)  # the share of the cores hardly depends on it, and several would compile
    share, threads, more, problems = best_share([*kept, f"batch={batch}"], config, eager, effort)
    problems += ["Jobs and threads were compared without compile=true."] if variant.compiled else []
    yield advice(kept, variant, batch, share, threads, found + more, [*notes, *problems])


def advice(
    kept: list[str], variant: Variant, batch: int, share: Share, threads: int, found: list[Row], notes: list[str]
) -> Advice:
    compiled = "compiled" if variant.compiled else "not compiled"
    summary = (
        f"precision {variant.precision}, {compiled}, batch {batch}; a single run on {count(threads, 'thread')}, "
        f"a sweep as {share} a device."
    )
    chosen = [*kept, f"batch={batch}", *variant_settings(variant)]
    return Advice(found, [summary, *notes], commands(chosen, share, threads))


def commands(chosen: list[str], share: Share, threads: int) -> list[str]:
    of_sweep = ["seed=0,1,2", f"launcher.jobs_per_device={share.jobs}", f"launcher.threads_per_job={share.threads}"]
    return [
        f"python -m resnet_lightning {shlex.join([*chosen, f'threads={threads}'])}",
        f"python -m resnet_lightning --multirun {shlex.join([*chosen, *of_sweep])}",
    ]


def variant_settings(variant: Variant) -> list[str]:
    return [f"precision={variant.precision}", f"compile={'true' if variant.compiled else 'false'}"]
