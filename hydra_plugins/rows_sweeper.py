"""Hydra's door to ``resnet_lightning.sweep.grid``: the default sweeper of ``--multirun``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class RowsSweeperConfig:
    _target_: str = "hydra_plugins.rows_sweeper.RowsSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


ConfigStore.instance().store(group="hydra/sweeper", name="rows", node=RowsSweeperConfig, provider="resnet_lightning")


class RowsSweeper(Sweeper):
    """Hydra's own sweeper knows grids only; this one also takes a list of settings, ``hydra.sweeper.rows``."""

    def __init__(self, params: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        self.params, self.rows = params, rows

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        from resnet_lightning.lock import ANOTHER_NAME, refuse_held  # here: Hydra imports every plugin at every start
        from resnet_lightning.overrides import parse, plain
        from resnet_lightning.sweep.grid import expand

        jobs = expand(parse(arguments), plain(self.params), plain(self.rows))
        assert self.config is not None and self.launcher is not None, "Hydra calls setup() first"
        folder = Path(str(self.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        refuse_held(folder, ANOTHER_NAME)  # else it would have the settings of a command that is refused
        OmegaConf.save(self.config, folder / "multirun.yaml")
        return self.launcher.launch(jobs, initial_job_idx=0)
