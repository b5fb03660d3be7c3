"""Tables that stand twice, so that what needs one imports no torch, have the same names."""

import re
from pathlib import Path

from resnet_lightning import checks, export, info
from resnet_lightning.models.resnet import BLOCKS
from resnet_lightning.training.loggers import ADAPTERS
from resnet_lightning.training.optimizers import ALGORITHMS


def test_checks_allow_what_there_is():
    assert set(checks.ALGORITHMS) == set(ALGORITHMS)
    assert set(checks.BLOCKS) == set(BLOCKS)
    assert set(checks.LOGGERS) == {*ADAPTERS, "none"}


def test_info_and_export_know_the_packages_of_the_extras():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    listed = {
        name: re.findall(r'"([a-z-]+)[>\[]', packages)
        for name, packages in re.findall(
            r"^(\w+) = \[(.*?)\]", text.partition("[project.optional-dependencies]")[2], re.M
        )
    }
    for extra, modules in info.EXTRAS.items():
        assert [package.removesuffix("-skinny") for package in listed[extra]] == modules.split()
    assert {module for modules in export.NEEDS.values() for module in modules} == set(listed["export"])
