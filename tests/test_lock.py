"""One process per folder: the second is told who holds it, and one that was killed holds nothing."""

import os

import pytest
from filelock import SoftFileLock

from resnet_lightning import lock
from resnet_lightning.config import ConfigError
from resnet_lightning.lock import hold, wait_for


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


def test_where_the_lock_is_only_a_file_it_is_said_what_to_do_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "FileLock", SoftFileLock)
    with hold(tmp_path, "take another"), pytest.raises(ConfigError, match=r"If .* killed, delete .*\.lock: this file"):
        hold(tmp_path, "take another").__enter__()


def test_who_waits_says_for_what(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lock, "SILENT", 0.0)
    place = tmp_path / "cache.lock"
    first = lock.FileLock(place)
    first.acquire()
    monkeypatch.setattr(lock, "tell", lambda text: (print(text), first.release()))
    with wait_for(place):
        assert capsys.readouterr().out == f"waiting for the process that holds {place}.\n"
