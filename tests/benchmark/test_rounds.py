"""The statistics of the benchmark on figures made by hand."""

import csv

import pytest

from resnet_lightning.benchmark.rounds import interleave, rows
from resnet_lightning.benchmark.write import write


def test_ways_take_turns_in_reversed_order_every_other_round():
    calls: list[str] = []

    def way(name: str):
        return lambda: float(calls.append(name) or len(calls))

    figures = interleave({name: way(name) for name in "abc"}, rounds=3)
    assert "".join(calls) == "abc" + "cba" + "abc"
    assert figures == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_ratio_is_the_median_of_the_ratios_within_a_round():
    """The machine becomes five times as slow in the second round: no ratio changes, the medians do."""
    plain, ours = rows("plain", "group", "images/s", {"plain": [100.0, 20.0, 90.0], "ours": [300.0, 60.0, 180.0]})
    assert (plain.median, plain.minimum, plain.maximum, plain.ratio) == (90, 20, 100, 1)
    assert (ours.median, ours.ratio, ours.ratio_minimum, ours.ratio_maximum, ours.rounds) == (180, 3, 2, 3, 3)


def test_files_hold_every_row_and_what_was_left_out(tmp_path):
    found = rows("plain", "MNIST", "images/s", {"plain": [1234.5], "ours": [5000.0]}, {"ours": "a note"})
    write(tmp_path / "new", "on this machine", found, ["CIFAR-10: skipped."])
    text = (tmp_path / "new" / "benchmark.md").read_text()
    assert "| ours | 5,000 | 5,000 to 5,000 | 4.05 (4.05 to 4.05) | a note |" in text
    assert "on this machine" in text and "- CIFAR-10: skipped." in text and "## Against plain loops" in text
    with (tmp_path / "new" / "benchmark.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["case"], float(first["median"]), second["note"]) == ("plain", 1234.5, "a note")
    assert float(second["ratio"]) == pytest.approx(5000 / 1234.5)
