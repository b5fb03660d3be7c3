"""Checkpoints: ``last.ckpt`` to go on from, ``best.ckpt`` with the weights of the best epoch.

While a run trains, the file before each is kept as ``last-1.ckpt`` and ``best-1.ckpt``. ``last.ckpt`` is written first:
the best weights on disk are never of a later epoch than it, and where it is of the best epoch itself, it holds them.
"""

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from resnet_lightning import files
from resnet_lightning.config import ConfigError, DataError, differing_keys
from resnet_lightning.files import discard
from resnet_lightning.hardware import is_first_process
from resnet_lightning.result import FILE_NAME
from resnet_lightning.training.classifier import ImageClassifier, best_row
from resnet_lightning.training.sealed import Damaged, read_sealed, write_sealed

log = logging.getLogger(__name__)
LAST, BEST = "last.ckpt", "best.ckpt"
NETWORK, AVERAGE = "network.", "average."  # how the names of weights begin in last.ckpt
DATA = "data"  # key of the digest of the data in the environment
UNKNOWN_BEFORE = (DATA, "code")  # what checkpoints of older versions do not say
# what a run replaces in its folder
WRITTEN = ("metrics.csv", "events.out.tfevents.*", BEST, "curves.png", "confusion_matrix.png", "predictions.png")


def older(path: Path) -> Path:
    """``last.ckpt`` -> ``last-1.ckpt``: where the file before goes."""
    return path.with_name(f"{path.stem}-1{path.suffix}")


class SealedCheckpointIO(TorchCheckpointIO):
    """Lightning's own writer goes through the system's folder for temporary files; where that is another disk, its last
    step is a copy that a kill leaves half done. This one writes beside the target and renames; its reader never lets a
    file run code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_sealed(checkpoint, Path(path), keep=older(Path(path)))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_sealed(Path(path))


class Checkpoints(Checkpoint):
    """Saves at the end of every epoch.

    Args:
        folder: of the run.
        config: plain settings, to build the network again from ``best.ckpt`` alone, and to refuse another run's files.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.environment: dict[str, Any] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"], checkpoint["environment"] = json.dumps(self.config), json.dumps(self.environment)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        trainer.save_checkpoint(self.folder / LAST)
        row = pl_module.history[-1]
        if row is best_row(pl_module.history):
            if trainer.is_global_zero:
                self._save_best(pl_module.evaluated.state_dict(), row["epoch"])
            trainer.strategy.barrier("best weights")  # after the last epoch every process reads them

    def _save_best(self, weights: dict[str, Any], epoch: int) -> None:
        path = self.folder / BEST
        write_sealed({"state_dict": weights, "config": self.config, "epoch": epoch}, path, keep=older(path))

    def newest(self, environment: dict[str, Any]) -> Path | None:
        """The checkpoint from which the run goes on exactly, with its best weights in place; None to begin anew.

        One that is damaged is put aside, with a line that says so, and the one before it is taken.

        Args:
            environment: what the last bits of a result depend on besides the settings: device, threads, versions, code,
                data.

        Raises:
            ConfigError: the checkpoint belongs to a run with other settings.
            OSError: a checkpoint is there and cannot be read.
        """
        self.environment = environment
        seen = False
        for path in (self.folder / LAST, older(self.folder / LAST)):
            try:
                checkpoint = read_sealed(path)
                check(path, checkpoint, self.config)
                self._restore_best(checkpoint)
            except FileNotFoundError:
                continue
            except Damaged as error:
                put_aside(path, str(error))
                seen = True
            else:
                self._say_where(path, checkpoint)
                return path
        if seen or (self.folder / BEST).exists():
            say(f"{self.folder} has no checkpoint to resume from: training starts over with the first epoch")
        return None

    def _restore_best(self, checkpoint: dict[str, Any]) -> None:
        """Have in ``best.ckpt`` the best epoch up to this checkpoint, whatever was or was not written after it.

        Raises:
            Damaged: those weights are lost.
        """
        best, path = best_row(json.loads(checkpoint["history"])), self.folder / BEST
        if best is None or epoch_of(path) == best["epoch"] or not is_first_process():
            return
        if path.exists() and epoch_of(path) is None:
            put_aside(path, "is damaged")
        if checkpoint["epoch"] + 1 == best["epoch"]:
            self._save_best(evaluated_weights(checkpoint["state_dict"]), best["epoch"])
        elif epoch_of(older(path)) == best["epoch"]:
            older(path).replace(path)
        else:
            raise Damaged(f"cannot be used without the weights of epoch {best['epoch']}, which {path} no longer holds")

    def _say_where(self, path: Path, checkpoint: dict[str, Any]) -> None:
        missing = f" ({LAST} is missing)" if path.name != LAST and not (self.folder / LAST).exists() else ""
        say(f"resumes after epoch {checkpoint['epoch'] + 1}, from {path}{missing}")
        before, now = json.loads(checkpoint["environment"]), self.environment
        # of both: that a run had one process is not written down
        keys = [key for key in {**now, **before} if key in before or key not in UNKNOWN_BEFORE]
        changed = [f"{key}: {before.get(key)} / {now.get(key)}" for key in keys if before.get(key) != now.get(key)]
        if changed:
            say(f"the last bits may differ from those of an undisturbed run ({'; '.join(changed)}; before / now)")


def evaluated_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Of a whole ``state_dict`` the weights that are evaluated: the moving average where there is one."""
    prefix = AVERAGE if any(key.startswith(AVERAGE) for key in state) else NETWORK
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def check(path: Path, checkpoint: dict[str, Any], config: dict[str, Any]) -> None:
    """
    Raises:
        Damaged: the file is none of ours.
        ConfigError: it belongs to a run with other settings.
    """
    if not {"config", "environment", "history", "state_dict"} <= checkpoint.keys():
        raise Damaged("is not a checkpoint of this program")
    differing = differing_keys(json.loads(checkpoint["config"]), config)
    if differing:
        raise ConfigError(
            f"{path} belongs to a run with other settings ({'; '.join(differing[:5])}; there / here): move it away, or "
            "choose another folder or name=."
        )


def refuse_other_run(folder: Path, config: dict[str, Any]) -> None:
    """Where there is no record to tell: look into the checkpoints before anything in the folder is touched.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """
    for path in (folder / LAST, older(folder / LAST)):
        try:
            check(path, read_sealed(path), config)
        except (OSError, Damaged):
            continue


def refuse_foreign(folder: Path, advice: str) -> None:
    """A run replaces the files in ``WRITTEN``, which are its own where its record, or a checkpoint, is beside them.

    Args:
        advice: what the user can do instead, for the message.

    Raises:
        ConfigError: they are somebody else's.
    """
    if any((folder / name).exists() for name in (FILE_NAME, f"{FILE_NAME}.bad", LAST, older(Path(LAST)).name)):
        return
    found = next((path for pattern in WRITTEN for path in folder.glob(pattern)), None)
    if found is not None:
        raise ConfigError(f"{found} is there, but no {FILE_NAME}: the folder is not that of a run, so {advice}.")


def digest_before(folder: Path) -> str | None:
    """The digest of the data from which the run in a folder would go on; None where it begins, or does not say."""
    for path in (folder / LAST, older(folder / LAST)):
        with suppress(OSError, Damaged, KeyError, ValueError):
            digest: str | None = json.loads(read_sealed(path)["environment"]).get(DATA)
            return digest
    return None


def drop_older(folder: Path) -> None:
    """After the run: the files before the last ones are of no more use."""
    for name in (LAST, BEST):
        discard(older(folder / name))


def say(line: str) -> None:
    if is_first_process():
        log.info(line)


def put_aside(path: Path, reason: str) -> None:
    if is_first_process():
        log.info(f"{path} {reason}: put aside as {path.name}.bad")
        files.put_aside(path)


def epoch_of(path: Path) -> int | None:
    """The epoch of the weights in a file like ``best.ckpt``; None where there is no such file or a damaged one.

    Raises:
        OSError: it cannot be read, which may pass: what is in it is not lost.
    """
    try:
        epoch: int | None = read_sealed(path).get("epoch")
        return epoch
    except (FileNotFoundError, Damaged):
        return None


def load_best(folder: Path, network: nn.Module) -> None:
    """Give the network the weights of ``best.ckpt``.

    Raises:
        DataError: the file is damaged.
    """
    try:
        network.load_state_dict(read_sealed(folder / BEST)["state_dict"])
    except Damaged as error:
        raise DataError(f"{folder / BEST} {error}.") from error
