"""TensorBoard's HPARAMS tab: the row of a run, written as the plugin's own records. Needs no torch.

The usual calls show a metric of -1, turn switches into numbers and take the columns of an arbitrary run.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams.summary_v2 import _summary_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from resnet_lightning.config import CHOICES, GROUPS, Config, config_hash, is_place, key_of, normal, value_of

FLAT = (
    "activation", "lr", "batch", "epochs", "dropout", "weight_decay", "label_smoothing", "precision", "seed",
)  # fmt: skip


def columns(config: Config, choices: dict[str, str], overrides: list[str]) -> dict[str, bool | int | float | str]:
    """Settings of a run as the tab shows them: choices, the flat keys, and what else was set on the command line."""
    own = [key for key in map(key_of, overrides) if key not in CHOICES and not key.startswith(("hydra", "launcher."))]
    others = [key for key in own if not is_place(key, config.data.name)]
    found: dict[str, Any] = {key: choices[key] for key in GROUPS if key in choices}
    for key in dict.fromkeys([*FLAT, *others]):
        found[key] = normal(key, value_of(config, key))
    return {key: plain(value) for key, value in found.items()}


def plain(value: Any) -> bool | int | float | str:
    """A column must have one type: lists and null become text."""
    return value if isinstance(value, (bool, int, float, str)) else "null" if value is None else str(value)


def group_name(config: Config) -> str:
    """The same for runs that differ by the seed only: they become one row with mean metrics."""
    return config_hash({**asdict(config), "seed": None})


def session_start(settings: dict[str, Any], group: str) -> Any:
    """The record that opens a row; a run that is killed leaves it open."""
    return summary_v2.hparams_pb(settings, trial_id=group)


def session_end(success: bool) -> Any:
    """The record that closes a row; its metrics are the last scalars of the run."""
    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(status=status))
    return _summary_pb(metadata.SESSION_END_INFO_TAG, end)


def mark_failed(folder: Path, settings: dict[str, Any], group: str) -> None:
    """Show a run that could not say so itself as failed; of each kind of record the plugin takes the first."""
    writer = EventFileWriter(str(folder), filename_suffix=".failed")
    for summary in (session_start(settings, group), session_end(success=False)):
        writer.add_event(Event(summary=summary))
    writer.close()
