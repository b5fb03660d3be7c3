"""The README and docs/ say what the files say, and name nothing that is not there."""

import re
from pathlib import Path

import pytest

from resnet_lightning.help import settings_tables

ROOT = Path(__file__).parents[1]


def test_every_setting_is_listed_as_it_is():
    text = (ROOT / "docs" / "settings.md").read_text()
    table = text.split("<!-- settings -->\n")[1].split("\n<!-- /settings -->")[0]
    assert table == settings_tables(), "put what resnet_lightning.help.settings_tables() gives between the marks"


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh-CN.md", *sorted(p.name for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    path = ROOT / page if page.startswith("README") else ROOT / "docs" / page
    for part in path.read_text(encoding="utf-8").split("](")[1:]:
        target = part.split(")")[0].split("#")[0]
        assert not target or target.startswith("http") or (path.parent / target).exists(), target


def test_readme_says_of_reliability_what_its_page_says():
    readme, page = ((ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "docs/reliability.md"))
    faults = re.findall(r"^\| (\d+)\*? \|", page, re.MULTILINE)
    assert faults == [str(number) for number in range(1, 34)] and "Thirty-three faults" in readme
    commands = re.findall(r"^python -m .*", page, re.MULTILINE)
    assert commands and all(command in readme for command in commands)
