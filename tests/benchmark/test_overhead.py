"""Overhead: data sets are loaded where they are."""

from pathlib import Path

from resnet_lightning.benchmark import overhead
from resnet_lightning.benchmark.rounds import Effort


def test_data_are_loaded_where_they_are_if_they_are_whole(settings, tmp_path, monkeypatch):
    """A half-unpacked archive would be fetched and unpacked once more."""
    half, caches = tmp_path / "cifar-10-batches-py", []
    half.mkdir()
    (half / "data_batch_1").write_bytes(b"half of it")
    monkeypatch.setattr(overhead, "measure_step", lambda *_: [])
    monkeypatch.setattr(overhead, "measure_start", lambda *_: [])
    monkeypatch.setattr(overhead.cache, "load", lambda data: caches.append(Path(data.root)))
    rows, missing = overhead.measure_overhead(settings(f"data.root={tmp_path}"), [], Effort(rounds=1))
    assert {row.group for row in rows} == {"loading mnist"} and {folder.parent for folder in caches} == {tmp_path}
    assert f"Loading cifar10: skipped. {half}/data_batch_1 is missing or damaged." in missing and len(missing) == 3
    assert [path.name for path in tmp_path.rglob("*")] == [half.name, "data_batch_1"]
