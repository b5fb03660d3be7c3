"""The columns of TensorBoard's HPARAMS tab for a sweep: its swept keys and three metrics.

The rows are in the event files of the runs. Without this record the tab would have a column for every setting and every
scalar that any run has.
"""

from pathlib import Path
from typing import Any

from resnet_lightning.files import atomic_write
from resnet_lightning.report.frame import Comparison
from resnet_lightning.report.statistics import MOST_LEVELS, is_numeric, selection, sort_levels

FILE_NAME = "events.out.tfevents.0.comparison"  # always the same: TensorBoard takes the first record that it finds


def write_columns(comparison: Comparison, path: Path) -> None:
    """Write the ``Experiment`` record to ``path``, in place of that of an earlier report."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams import summary_v2
    from tensorboard.summary.writer.record_writer import RecordWriter

    metrics = {"test/accuracy": "test accuracy", "test/loss": "test loss"}
    if selection(comparison) == "validation":
        metrics["val/accuracy"] = "validation accuracy, last epoch"
    summary = summary_v2.hparams_config_pb(
        hparams=[summary_v2.HParam(key, domain(comparison, key)) for key in comparison.columns],
        metrics=[summary_v2.Metric(tag, display_name=name) for tag, name in metrics.items()],
        time_created_secs=0.0,  # the same comparison gives the same file
    )
    with atomic_write(path) as file:
        writer = RecordWriter(file)
        for event in (Event(file_version="brain.Event:2"), Event(summary=summary)):
            writer.write(event.SerializeToString())


def levels_of(comparison: Comparison, key: str) -> list[Any]:
    """The values of a key; of ``precision`` also what ``auto`` came to, which a row has instead."""
    values = [group.settings[key] for group in comparison.groups]
    if key != "precision":
        return sort_levels(values)
    computed = {run.result.precision for run in comparison.runs if run.result and run.result.precision}
    return list(dict.fromkeys([*map(str, values), *sorted(computed)]))


def domain(comparison: Comparison, key: str) -> Any:
    """The values of a key with the types that the rows have: the tab needs them to sort and to filter."""
    from tensorboard.plugins.hparams import api_pb2, summary_v2

    class Mixed(summary_v2.Domain):  # type: ignore[misc]
        """Numbers and words in one column, as in ``data.train_limit=null,1000``."""

        dtype = str

        def sample_uniform(self, rng: Any = None) -> Any:
            return values[0]

        def update_hparam_info(self, hparam_info: Any) -> None:
            hparam_info.type = api_pb2.DATA_TYPE_STRING
            hparam_info.domain_discrete.extend(values)

    values: list[Any] = ["null" if value is None else value for value in levels_of(comparison, key)]
    if all(map(is_numeric, values)):
        numbers = [float(value) for value in values]
        return (
            summary_v2.Discrete(numbers)
            if len(numbers) <= MOST_LEVELS
            else summary_v2.RealInterval(*numbers[:: len(numbers) - 1])
        )
    alike = len({type(value) for value in values}) == 1
    return summary_v2.Discrete(values) if alike else Mixed()
