"""The README says what the files say."""

from pathlib import Path

from resnet_lightning.help import settings_tables

ROOT = Path(__file__).parents[1]


def test_readme_lists_every_setting_as_it_is():
    text = (ROOT / "README.md").read_text()
    table = text.split("<!-- settings -->\n")[1].split("\n<!-- /settings -->")[0]
    assert table == settings_tables(), "put what resnet_lightning.help.settings_tables() gives between the marks"


def test_pictures_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    for part in text.split("](")[1:]:
        target = part.split(")")[0]
        assert target.startswith("http") or (ROOT / target).exists(), target
