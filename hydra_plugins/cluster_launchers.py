"""Hydra's door to the queues of a cluster: ``hydra/launcher=slurm`` and ``hydra/launcher=ray``.

Hydra has launchers of its own for submitit and Ray. They give up at the first job that dies, and leave the others.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from resnet_lightning.sweep.cluster import Queue


class ClusterLauncher(Launcher):
    """Runs the jobs of a sweep in a queue; its options are the keys ``hydra.launcher.*``."""

    def __init__(self, **options: Any) -> None:
        pass  # setup gets them with their interpolations

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    @abstractmethod
    def queue(self, options: dict[str, Any], gpus: int) -> "Queue": ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from resnet_lightning import cli, compose  # here: Hydra imports every plugin at every start
        from resnet_lightning.sweep.cluster import gpus_per_job, run_on_cluster
        from resnet_lightning.sweep.plan import sweep_command

        options = cast(dict[str, Any], OmegaConf.to_container(self.config.hydra.launcher, resolve=True))
        del options["_target_"]
        jobs = compose.Composer().jobs(job_overrides)
        queue = self.queue(options, gpus_per_job([config for _, config in jobs]))
        command = sweep_command(self.config.hydra.overrides)
        code = run_on_cluster(Path(str(self.config.hydra.sweep.dir)), jobs, command, queue)
        cli.codes.append(code)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED, _return_value=code) for o in job_overrides]


class SlurmLauncher(ClusterLauncher):
    def queue(self, options: dict[str, Any], gpus: int) -> "Queue":
        from resnet_lightning.sweep.slurm import SlurmQueue

        return SlurmQueue(options, gpus)


class RayLauncher(ClusterLauncher):
    def queue(self, options: dict[str, Any], gpus: int) -> "Queue":
        from resnet_lightning.sweep.ray_cluster import RayQueue

        return RayQueue(options["ray"], gpus)
