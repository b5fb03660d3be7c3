"""Input by the hundred, made by hypothesis: always one sentence or a result, never a traceback or a stray file."""

import html
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resnet_lightning.compose import compose_all
from resnet_lightning.config import GROUPS, ConfigError, conf_folder, config_hash, plain_settings
from resnet_lightning.help import entries, options, type_names
from resnet_lightning.report import figures, write_report
from resnet_lightning.result import FILE_NAME, RunResult
from resnet_lightning.resume import with_resumed
from resnet_lightning.sweep.plan import plan_jobs
from tests.report.conftest import write_run

OFTEN = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # without making a failing example smaller, which takes minutes
    suppress_health_check=list(HealthCheck),
)
SELDOM = settings(OFTEN, max_examples=25)

SCRIPT = "<script>alert(1)</script>"
NASTY = [
    "", " ", "0", "-1", "1", "2", "1e308", "-1e308", "1e-320", "nan", "inf", "-inf", "9223372036854775808", "0x10",
    "true", "null", "[]", "[1,2]", "[[1],[2]]", "{a:1}", "[null]", "${lr}", "${oc.env:HOME}", "${nothing}", "${",
    "../../up", "/etc/passwd", "a/b", "~", "'", '"', "\\", "\0", "\n", "a=b", "a,b", "💥", "漢字" * 60, "x" * 300,
    SCRIPT, "$(touch ran)", "`touch ran`", "%s{}", "\x1b[2J", "\ud800",
]  # fmt: skip
FILES = [path for group in GROUPS for path in (conf_folder() / group).glob("*.yaml")]
KEYS = sorted({*type_names(), *(entry.key for path in FILES for entry in entries(path, path.parent.name))})
values = st.one_of(st.sampled_from(NASTY), st.text(max_size=40), st.floats().map(str), st.integers().map(str))
keys = st.one_of(st.sampled_from(KEYS), st.sampled_from(GROUPS), st.text(max_size=12))
arguments = st.one_of(
    st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), keys, values).map(lambda p: f"{p[0]}{p[1]}={p[2]}"),
    st.sampled_from(GROUPS).map(lambda group: f"{group}={options(group)[0]}"),
    values,
)


@OFTEN
@given(st.lists(arguments, min_size=1, max_size=3), st.booleans())
def test_any_command_line_is_settings_or_one_sentence(given_arguments, multirun):
    with tempfile.TemporaryDirectory() as place:
        before = Path.cwd()
        os.chdir(place)
        try:
            command = compose_all(given_arguments, multirun)
        except ConfigError as error:
            text = str(error)
            assert text.strip() and "Traceback" not in text and len(text) < 3000
        else:
            for _, config in command.jobs:
                assert math.isfinite(config.lr) and config.lr > 0 and config.epochs >= 1 and config.batch >= 2
                assert len(config_hash(plain_settings(config))) == 8
            for job in plan_jobs(Path(place) / "s", command.jobs):
                assert len(job.name.encode()) <= 120 and Path(job.name).name == job.name and job.name.isascii()
        finally:
            os.chdir(before)
        assert list(Path(place).iterdir()) == []


hostile = st.one_of(st.sampled_from(NASTY), st.text(max_size=60))
trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), hostile),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(hostile, inner, max_size=4)),
    max_leaves=8,
)
fields = st.sampled_from(sorted(RunResult.__dataclass_fields__))
names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


def write_record(folder: Path, changes: dict[str, Any], cut: int | None) -> None:
    """The record of a run, with some of its fields replaced by anything, and cut where asked."""
    write_run(folder)
    content = json.loads((folder / FILE_NAME).read_text()) | changes
    text = json.dumps(content).encode("utf-8", "surrogatepass")
    (folder / FILE_NAME).write_bytes(text[:cut])


@SELDOM
@given(
    st.dictionaries(
        names, st.tuples(st.dictionaries(fields, trees, max_size=3), st.none() | st.integers(0, 900)), max_size=4
    ),
    st.binary(max_size=80),
)
def test_any_run_folders_make_a_report(runs, noise):
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_figures", lambda *_: ([], []))  # they have their own tests, and take seconds
        sweep = Path(place) / "sweep"
        write_run(sweep / "whole", status="failed", reason=SCRIPT)
        for name, (changes, cut) in runs.items():
            write_record(sweep / name, changes, cut)
        (sweep / "whole" / "metrics.csv").write_bytes(noise)
        (sweep / "sweep.json").write_bytes(noise)
        report = write_report(sweep)
        assert report.problems == [] and "\x1b" not in report.console
        page = (sweep / "comparison.html").read_text(encoding="utf-8")
        assert SCRIPT not in page and "default-src 'none'" in html.unescape(page)
        assert [path.name for path in Path(place).iterdir()] == ["sweep"]


@SELDOM
@given(st.one_of(trees, st.lists(hostile)))
def test_resume_of_any_record_is_overrides_or_one_sentence(overrides):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        record = {"status": "killed", "overrides": overrides, "config": {}, "seed": 0}
        (folder / FILE_NAME).write_text(json.dumps(record))
        try:
            found = with_resumed([f"resume={folder}"])
        except ConfigError as error:
            assert "resume=" in str(error)
        else:
            assert found[:-1] == overrides and not any(item.startswith(("hydra", "-")) for item in found[:-1])
