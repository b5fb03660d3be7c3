"""Scaling: time and memory are divided by what should determine them."""

import pytest

from resnet_lightning.benchmark import scaling
from resnet_lightning.benchmark.ours import compose
from resnet_lightning.benchmark.rounds import Effort

QUICK = Effort(1, 0.01, quick=True)


def test_memory_that_grows_in_proportion_is_a_flat_figure():
    peaks = {"32": 600.0, "64": 632.0, "256": 824.0}
    found = scaling.memory_rows("batch", "KiB an image", peaks, {"32": 32, "64": 64, "256": 256})
    assert [(row.case, row.median, row.ratio, row.note) for row in found] == [
        ("64", 1024, 1, "peak memory 632 MiB"),
        ("256", 1024, 1, "peak memory 824 MiB"),
    ]
    assert "beyond that of 32 (600 MiB)" in found[0].group
    assert not scaling.memory_rows("batch", "KiB an image", {}, {"32": 32})


def test_scaling_uses_the_accelerator_that_was_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(scaling, "compose", lambda arguments: asked.append(arguments) or compose(arguments))
    monkeypatch.setattr(scaling, "peaks_of", lambda group, makers, *_: [make() for make in makers.values()] and {})
    found, missing = scaling.measure_scaling(["accelerator=cpu"], QUICK)
    assert len(found) == 4 and not missing
    assert all("accelerator=cpu" in arguments for arguments in asked)


def test_the_stem_is_the_same_for_every_image_size():
    stems = [compose(settings).stem for settings in scaling.STEPS["image size"][1].values()]
    assert all(stem == stems[0] for stem in stems)


def test_image_size_and_depth_say_what_an_image_takes(monkeypatch):
    monkeypatch.setattr(scaling, "compare", lambda *_: {"16": [1000.0], "32": [250.0]})
    monkeypatch.setattr(scaling, "peaks_of", lambda *_: {"16": 300.0, "32": 512.0})
    small, large, memory = scaling.measure_steps("image size", ["accelerator=cpu"], QUICK, [])
    assert (small.note, large.note) == ("1,000 us an image", "4,000 us an image")
    assert small.unit == "ns a MFLOP" and large.median == pytest.approx(small.median, rel=0.05)
    assert (memory.case, memory.unit, memory.note) == ("32", "KiB a MFLOP", "peak memory 512 MiB")
