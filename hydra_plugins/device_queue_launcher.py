"""Hydra's door to ``resnet_lightning.sweep``: the default launcher of ``--multirun``. Hydra finds plugins only here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class DeviceQueueConfig:
    _target_: str = "hydra_plugins.device_queue_launcher.DeviceQueueLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="device_queue", node=DeviceQueueConfig, provider="resnet_lightning"
)


class DeviceQueueLauncher(Launcher):
    """Runs the jobs of a sweep on all devices; what it may use is in the keys ``launcher.*``."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from resnet_lightning import cli, compose  # here: Hydra imports every plugin at every start

        cli.refuse_on_windows()
        from resnet_lightning.sweep.launch import run_sweep
        from resnet_lightning.sweep.plan import sweep_command

        own = self.config.hydra
        code = run_sweep(Path(str(own.sweep.dir)), compose.Composer().jobs(job_overrides), sweep_command(own.overrides))
        cli.codes.append(code)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED, _return_value=code) for o in job_overrides]
