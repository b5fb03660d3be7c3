"""The parts of a run, made from its settings."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer, seed_everything

from resnet_lightning import hardware, hparams
from resnet_lightning.config import Config, logger_names, trained_epochs
from resnet_lightning.data.datamodule import ImageDataModule
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.result import RunResult
from resnet_lightning.training.checkpoint import SealedCheckpointIO
from resnet_lightning.training.classifier import ImageClassifier
from resnet_lightning.training.hooks import Untimed
from resnet_lightning.training.loggers import Loggers, open_loggers


def build_data(config: Config) -> ImageDataModule:
    """The data of the run, opened; the first run downloads them where the source allows it."""
    data = ImageDataModule(
        config.data,
        config.augment,
        batch=config.batch,
        eval_batch=config.eval_batch,
        seed=config.seed,
        scale=config.scale,
        eval_train=config.eval_train == "epoch",
    )
    data.prepare_data()
    data.setup()
    return data


def build_classifier(config: Config, data: ImageDataModule) -> ImageClassifier:
    seed_everything(config.seed, verbose=False)
    network = ResNet.from_config(config, data.image_shape[0], len(data.classes))
    return ImageClassifier(
        network,
        len(data.classes),
        optimizer=config.optimizer,
        scheduler=config.scheduler,
        lr=config.lr,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        ema=config.ema,
        tta=config.tta,
        seed=config.seed,
        compiled=config.compile,
        schedule_epochs=config.epochs,
    )


def build_trainer(config: Config, folder: Path, precision: str, callbacks: list[Any]) -> Trainer:
    kind = hardware.pick_accelerator(config.accelerator)
    if kind == "cuda":
        # nobody reads it, and filling takes kernels
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if precision == "32":
            torch.backends.cudnn.allow_tf32 = False  # else convolutions multiply with 10 bits of the mantissa
        if config.compile:  # else the faster of two kernels is taken, which may sum in another order the next time
            from torch._inductor import config as inductor  # takes seconds to import

            inductor.deterministic = True
    return Trainer(
        accelerator=kind,
        devices=config.devices,
        precision=hardware.LIGHTNING_PRECISION[precision],
        max_epochs=trained_epochs(config),
        gradient_clip_val=config.gradient_clip or None,
        deterministic="warn" if kind == "cuda" else None,  # the same bits for the same seed, where CUDA can
        default_root_dir=folder,
        logger=False,
        callbacks=callbacks,
        profiler=Untimed(),
        plugins=[SealedCheckpointIO(), LightningEnvironment()],  # else a SLURM job counts SLURM's processes
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the loader shares a batch among the processes itself
    )


def build_loggers(config: Config, folder: Path, result: RunResult) -> Loggers:
    settings = hparams.columns(config, result.choices, result.overrides) | {"precision": str(result.precision)}
    return open_loggers(logger_names(config.logger), folder, settings, hparams.group_name(config))
