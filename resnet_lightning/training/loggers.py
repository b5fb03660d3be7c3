"""Where the curves of a run go besides its own files: adapters of one form for TensorBoard, Weights & Biases, MLflow.

The files in the run folder stay the record; what a logger keeps is a copy for its own viewer.
"""

import logging
import math
import netrc
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from resnet_lightning.training.tracking import Events

log = logging.getLogger(__name__)


class Logger(Protocol):
    """Scalars of each epoch, and the end of the run. A run that goes on gives those of its earlier epochs again."""

    def scalars(self, metrics: dict[str, float], epoch: int, moment: float | None = None) -> None: ...

    def close(self, metrics: dict[str, float], epoch: int, success: bool) -> None: ...


class Loggers:
    """Several loggers as one; with none of them nothing is kept.

    One that fails while the run goes on (a network, say) is left out from then on: it must not cost the run. The events
    are files of the run itself: where they cannot be written, the run ends and says so.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = list(loggers)

    def scalars(self, metrics: dict[str, float], epoch: int, moment: float | None = None) -> None:
        """Points of an epoch; ``moment`` is when they were made, in seconds since 1970, None for now."""
        self._each(lambda logger: logger.scalars(metrics, epoch, moment))

    def close(self, metrics: dict[str, float], epoch: int, success: bool) -> None:
        """Last points, those of the test, and how the run ended."""
        self._each(lambda logger: logger.close(metrics, epoch, success))

    def _each(self, call: Callable[[Logger], None]) -> None:
        for logger in list(self.loggers):
            try:
                call(logger)
            except Exception as error:
                if isinstance(logger, Events):
                    raise
                self.loggers.remove(logger)
                log.warning(f"logger {type(logger).__name__} is switched off from here on: {error}")


class WandB:
    """A run of Weights & Biases in the project ``resnet_lightning``, unless WANDB_PROJECT names another.

    Without an API key it is kept in ``<run>/wandb``, from where ``wandb sync`` uploads it. A run that goes on is a
    new one there, with all epochs.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], group: str) -> None:
        import wandb

        if not has_key() and "WANDB_MODE" not in os.environ:
            log.info("wandb: not logged in, so the run is kept in its folder, for wandb sync")
            os.environ["WANDB_MODE"] = "offline"
        os.environ.setdefault("WANDB_SILENT", "true")
        project = os.environ.get("WANDB_PROJECT", "resnet_lightning")
        self.run = wandb.init(project=project, dir=str(folder), name=folder.name, group=group, config=settings)

    def scalars(self, metrics: dict[str, float], epoch: int, moment: float | None = None) -> None:
        self.run.log({**metrics, "epoch": epoch})

    def close(self, metrics: dict[str, float], epoch: int, success: bool) -> None:
        self.scalars(metrics, epoch)
        self.run.finish(exit_code=0 if success else 1)


def has_key() -> bool:
    """Whether ``wandb login`` has been done, or WANDB_API_KEY set."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    places = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else []
    places += [Path.home() / name for name in (".netrc", "_netrc")]  # where wandb itself looks
    for path in places:
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(path).authenticators("api.wandb.ai") is not None:
                return True
    return False


class MLflow:
    """A run of MLflow, in ``<run>/mlruns`` unless MLFLOW_TRACKING_URI names a server: ``mlflow ui`` shows it."""

    def __init__(self, folder: Path, settings: dict[str, Any], group: str) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        store = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").absolute().as_uri()
        self.client = MlflowClient(store)
        experiment = self._experiment("resnet_lightning")
        tags = {"mlflow.runName": folder.name, "group": group}
        self.run_id = self.client.create_run(experiment, tags=tags).info.run_id
        for key, value in settings.items():
            self.client.log_param(self.run_id, key, value)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if (found := self.client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(name))
        except MlflowException:  # another job of the sweep was faster
            if (found := self.client.get_experiment_by_name(name)) is None:
                raise
            return str(found.experiment_id)

    def scalars(self, metrics: dict[str, float], epoch: int, moment: float | None = None) -> None:
        for name, value in metrics.items():
            if math.isfinite(value):
                self.client.log_metric(self.run_id, name, value, step=epoch)

    def close(self, metrics: dict[str, float], epoch: int, success: bool) -> None:
        self.scalars(metrics, epoch)
        self.client.set_terminated(self.run_id, "FINISHED" if success else "FAILED")


Open = Callable[[Path, dict[str, Any], str], Logger]
ADAPTERS: dict[str, Open] = {"tensorboard": Events, "wandb": WandB, "mlflow": MLflow}


def open_loggers(names: Sequence[str], folder: Path, settings: dict[str, Any], group: str) -> Loggers:
    """Open what ``logger=`` names.

    Args:
        settings, group: of the row of the run, see ``hparams``.
    """
    return Loggers([ADAPTERS[name](folder, settings, group) for name in names if name != "none"])
