"""The statistics of the benchmark on figures made by hand."""

import csv
import math

import pytest
import torch

from resnet_lightning.benchmark.rounds import interleave, noted, rows
from resnet_lightning.benchmark.timing import torch_flags
from resnet_lightning.benchmark.training import peak_shares
from resnet_lightning.benchmark.write import group_table, write
from resnet_lightning.config import DataError


def test_ways_take_turns_in_reversed_order_every_other_round():
    calls: list[str] = []

    def way(name: str):
        return lambda: float(calls.append(name) or len(calls))

    figures = interleave("group", {name: way(name) for name in "abc"}, 3, [])
    assert "".join(calls) == "abc" + "cba" + "abc"
    assert figures == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_a_way_that_fails_in_a_turn_is_left_out():
    turns = iter([1.0, 2.0])
    missing: list[str] = []
    figures = interleave("group", {"a": lambda: 5.0, "b": lambda: next(turns)}, 4, missing)
    assert figures == {"a": [5, 5, 5, 5]} and missing == ["group, b: not possible here (StopIteration)."]


def test_data_that_are_missing_are_no_way_that_fails():
    with pytest.raises(DataError), noted("way", []):
        raise DataError("no CIFAR-10")


def test_nothing_is_divided_by_what_has_failed(tmp_path):
    first, second = rows("recommend", "jobs", "images/s", {"1 job": [0.0, 0.0], "2 jobs": [8.0, 9.0]})
    assert math.isnan(first.ratio) and math.isnan(second.ratio)
    assert "| 2 jobs | 8.5 | 8 to 9 | - | |" in group_table([first, second]).replace("  ", " ")
    (_, second) = rows("recommend", "jobs", "images/s", {"1 job": [0.0, 4.0], "2 jobs": [8.0, 9.0]})
    assert second.ratio == 9 / 4


def test_share_of_the_peak_is_taken_within_a_round():
    """The machine becomes five times as slow in the second round: no share changes."""
    peaks = {"product, 32": [1000.0, 200.0, 400.0], "convolution, 32": [500.0, 100.0, 900.0], "product, bf16": [1.0]}
    shares = peak_shares({"32, contiguous": [100.0, 20.0, 45.0], "16, contiguous": [1.0]}, peaks, 2 * 10**9)
    assert shares == {"32, contiguous": [pytest.approx(20), pytest.approx(20), pytest.approx(10)]}


def test_flags_of_torch_are_as_before_afterwards():
    from torch._inductor import config as inductor

    def flags() -> tuple[bool, ...]:
        deterministic = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
        assert inductor.deterministic is deterministic[0]  # a compiled step is that of a run
        return *deterministic, torch.backends.cudnn.allow_tf32, torch.utils.deterministic.fill_uninitialized_memory

    outside, of_a_run = flags(), (True, False, False, False)
    for outer in (False, True):
        with torch_flags(of_a_run=outer):
            with torch_flags(of_a_run=not outer):
                assert flags() == (outside if outer else of_a_run)
            assert flags() == (of_a_run if outer else outside)
    assert flags() == outside


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
