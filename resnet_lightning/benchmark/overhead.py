"""What is not training: our Trainer set-up in each step, the start of a process, the loading of a data set."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.nn import functional as F

from resnet_lightning.benchmark.ours import WARM_UP, OurTraining, StepClock, compose
from resnet_lightning.benchmark.rounds import Effort, Row, interleave, noted, rows
from resnet_lightning.benchmark.timing import command_seconds, mean_seconds, one_thread
from resnet_lightning.benchmark.training import autocast, build_network, device_of, place
from resnet_lightning.config import PUBLISHED, Config, DataError
from resnet_lightning.data import cache
from resnet_lightning.data.loader import Batch, TrainLoader
from resnet_lightning.data.readers import checksums
from resnet_lightning.hardware import LIGHTNING_PRECISION, synchronize
from resnet_lightning.overrides import with_path
from resnet_lightning.result import RunResult
from resnet_lightning.resume import into
from resnet_lightning.training.optimizers import build_optimizer, build_scheduler

TINY = ["model=resnet10", "model.widths=[4,4,4]", "data=mnist", "batch=16", "data.image_size=8"]
TINIEST = [*TINY, "model.depths=[1]", "model.widths=[4]", "batch=4"]  # a shorter step scatters less
TURNS, SHORTER = 30, 40  # so many turns of a step in a round, each so much shorter than one of training
BARE, ALONE, OURS = "bare loop", "an empty LightningModule", "our Trainer set-up"


def bare_loop(training: OurTraining) -> Callable[[int], float]:
    """Seconds a step without Trainer, module and metrics: the same data, network, loss, optimizer and schedule."""
    config, data, device = training.config, training.data, device_of(training.config)
    network = place(build_network(config), device)
    optimizer = build_optimizer(network, config.optimizer, config.lr, config.weight_decay)
    scheduler = build_scheduler(optimizer, config.scheduler, 1000, 1000)
    placed = cache.ImageSet(*(part.to(device) for part in data.data.train))

    def run(steps: int) -> float:
        index = training.every_image[: (steps + WARM_UP) * config.batch]
        loader = TrainLoader(placed, index, config.batch, device, config.seed, lambda: 0, data.augment.draws)
        start = 0.0
        for number, (images, labels, draws) in enumerate(loader, 1):
            assert draws is not None
            with autocast(training.precision, device):
                loss = F.cross_entropy(network(data.augment(images, draws)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if number == WARM_UP:
                synchronize(device)
                start = time.perf_counter()
        synchronize(device)
        return (time.perf_counter() - start) / steps

    run(4)
    return run


class EmptyModule(LightningModule):
    """The least that Lightning can be given: no metrics, no look at the loss."""

    def __init__(self, training: OurTraining) -> None:
        super().__init__()
        self.config = training.config
        self.network = place(build_network(self.config), device_of(self.config))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return F.cross_entropy(self.network(batch.images), batch.labels)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(self.network, self.config.optimizer, self.config.lr, self.config.weight_decay)
        schedule = build_scheduler(optimizer, self.config.scheduler, 1000, 1000)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lightning_alone(training: OurTraining) -> Callable[[int], float]:
    """Seconds a step of an empty module in a Trainer without callbacks: what Lightning takes, whatever we add."""
    module = EmptyModule(training)

    def run(steps: int) -> float:
        clock = StepClock()
        trainer = Trainer(
            accelerator=device_of(training.config).type,
            devices=1,
            precision=LIGHTNING_PRECISION[training.precision],
            max_epochs=1,
            limit_val_batches=0,
            logger=False,
            callbacks=[clock],
            plugins=[LightningEnvironment()],  # as ours: else a SLURM job counts SLURM's processes
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        training.only(steps)
        try:
            trainer.fit(module, datamodule=training.data)
        except SystemExit as error:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from error
        return clock.seconds / clock.steps

    return run


def measure_step(machine: list[str], effort: Effort, missing: list[str]) -> list[Row]:
    """Many short turns for each long one of other sections: what is sought is smaller than the noise of a turn."""
    training = OurTraining([*TINIEST, *machine])
    steps = training.steps_in(effort.seconds / SHORTER)
    bare, alone = bare_loop(training), lightning_alone(training)
    ways = {
        BARE: lambda: 1000 * bare(steps),
        ALONE: lambda: 1000 * alone(steps),
        OURS: lambda: 1000 * training.step_seconds(steps),
    }
    group = f"a step of a tiny network on one thread, {steps} steps"
    figures = interleave(group, ways, TURNS * effort.rounds, missing)
    for way in (ALONE, OURS):
        if BARE in figures and way in figures:
            differences = [more - base for base, more in zip(figures[BARE], figures[way], strict=True)]
            figures[f"{way}, less the bare loop"] = differences
    return rows("overhead", group, "ms a step", figures)


def measure_start(machine: list[str], effort: Effort) -> list[Row]:
    """One run of the command on 64 images, with everything that it writes."""
    figures: dict[str, list[float]] = {"process start to first step": [], "whole command": []}
    arguments = [*TINY, *machine, "data.train_limit=64", "data.test_limit=64", "data.val_size=64", "epochs=1"]
    for _ in range(effort.rounds):
        with tempfile.TemporaryDirectory() as folder:
            seconds = command_seconds([*arguments, into(Path(folder) / "run")], Path(folder))
            result = RunResult.read(Path(folder) / "run")
        figures["whole command"].append(seconds)
        figures["process start to first step"].append(result.startup_seconds or float("nan"))
    return rows("overhead", "start of a run", "s", figures)


def check_files(name: str, root: Path) -> None:
    """
    Raises:
        DataError: a file is missing or damaged: loading would fetch it.
    """
    from torchvision.datasets.utils import check_integrity

    for file, md5 in checksums(name).items():
        if not check_integrity(root / file, md5):
            raise DataError(f"{root / file} is missing or damaged.")


def loading_seconds(name: str, root: Path) -> dict[str, float]:
    """Seconds until the tensors are there: the first time, when the cache is made, and every other time.

    On the disk of the data where it can be written: other temporary folders are often in memory.
    """
    place = root if root.is_dir() and cache.writable(root) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        for top in {file.parts[0] for file in checksums(name)}:
            (Path(folder) / top).symlink_to(root / top)
        data = replace(compose([f"data={name}"]).data, root=folder)
        cold, warm = (mean_seconds(lambda: cache.load(data), 1, torch.device("cpu")) for _ in range(2))
    return {"warm (the cache is there)": warm, "cold (the cache is made)": cold}


def measure_loading(name: str, config: Config, effort: Effort) -> list[Row]:
    root = Path(config.data.root).absolute()
    check_files(name, root)
    loading_seconds(name, root)  # from here on the system has the files in its memory
    turns = [loading_seconds(name, root) for _ in range(effort.rounds)]
    return rows("overhead", f"loading {name}", "s", {case: [turn[case] for turn in turns] for case in turns[0]})


def measure_overhead(config: Config, machine: list[str], effort: Effort) -> tuple[list[Row], list[str]]:
    machine = [*machine, with_path("data.root", Path(config.data.root).absolute())]  # the last one counts
    found: list[Row] = []
    missing: list[str] = []
    with noted("A step of a tiny network", missing), one_thread():
        found += measure_step(machine, effort, missing)
    with noted("Start of a run", missing):
        found += measure_start(machine, effort)
    for name in PUBLISHED:
        try:
            with noted(f"Loading {name}", missing):
                found += measure_loading(name, config, effort)
        except DataError as error:
            missing.append(f"Loading {name}: skipped. {error}")
        if effort.quick:
            break
    return found, missing
