"""One process per folder: the second is told who holds it, and one that was killed holds nothing."""

import os

import pytest

from resnet_lightning.config import ConfigError
from resnet_lightning.lock import hold


def test_second_is_told_who_holds_the_folder(tmp_path):
    sentence = rf"run by process {os.getpid()} on .*: wait for it, or take another\."
    with hold(tmp_path, "take another"), pytest.raises(ConfigError, match=sentence):
        hold(tmp_path, "take another").__enter__()
    with hold(tmp_path, "take another"):
        pass


def test_holder_that_was_killed_is_named_once(tmp_path, capsys):
    (tmp_path / ".holder").write_text("process 999999 on elsewhere since 2001-01-01 00:00:00\n")
    for _ in range(2):
        with hold(tmp_path, "take another"):
            pass
    assert capsys.readouterr().out.count("was held by process 999999 on elsewhere") == 1
