"""The command: its arguments, its mistakes, what it leaves out, and everything of it with everything tiny."""

from pathlib import Path

import pytest

from resnet_lightning import hardware
from resnet_lightning.benchmark import against_plain, training
from resnet_lightning.benchmark.__main__ import STANDARD, TINY, main, parse
from resnet_lightning.benchmark.overhead import ALONE, BARE
from resnet_lightning.benchmark.overhead import OURS as TRAINER
from resnet_lightning.benchmark.timing import command_seconds
from resnet_lightning.benchmark.write import times
from tests.benchmark.conftest import cases

CASE, OURS, AUTO = next(iter(against_plain.CASES)), "ours, precision=32", "ours, precision=auto"
PLAIN = ["plain loop, 0 workers", "plain loop, 2 workers"]


@pytest.mark.slow
def test_overhead_launcher_and_scaling(benchmark):
    rows = benchmark("only=overhead,launcher,scaling", "accelerator=cpu")
    groups = {row["group"] for row in rows}
    assert {
        "start of a run", "loading mnist", "2 small jobs on the CPU", "a sweep of ours, besides its jobs' own time",
        "batch",
    } <= groups  # fmt: skip
    step = [row["case"] for row in rows if row["unit"] == "ms a step"]
    assert step == [BARE, ALONE, TRAINER, f"{ALONE}, less the bare loop", f"{TRAINER}, less the bare loop"]
    grows = [row for row in rows if row["group"].startswith("batch: memory beyond that of 32")]
    assert [row["case"] for row in grows] == ["64"] and "peak memory" in grows[0]["note"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("only=trainin", "Did you mean training?"),
        ("rounds=2.5", "rounds=2.5 is not possible: it must be a whole number from 1."),
        ("devices=[1]", "devices=[1] is not possible: only one device is measured"),
        ("seconds=nan", "seconds=nan is not possible"),
        ("round=3", "There is no setting round. Did you mean rounds?"),
        ("+optimizer.bogus=1", "bogus"),
        ("folder=/proc/no", "folder=/proc/no is not possible"),
        ("quick=maybe", "Allowed: true, false."),
        ("modle=resnet10", "There is no setting modle. Did you mean model?"),
    ],
)
def test_a_mistake_is_one_sentence(argument, message, capsys):
    assert main([argument]) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and not said.out


def test_help_is_short_and_names_every_argument(capsys):
    from resnet_lightning.benchmark.__main__ import OWN, SECTIONS

    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {key} " in text for key in OWN) and all(section in text for section in SECTIONS)


def test_what_fails_is_left_out_with_a_sentence(benchmark, monkeypatch):
    def our_way(arguments, effort):
        if "precision=auto" in arguments:
            raise RuntimeError("no C++ compiler\nmore about it")
        return lambda: 300.0

    def measure_training(config, effort):
        raise OSError("broken pool")

    monkeypatch.setattr(hardware, "computes_in_bf16", lambda *_: True)
    monkeypatch.setattr(against_plain, "plain_way", lambda *_: lambda: 100.0)
    monkeypatch.setattr(against_plain, "our_way", our_way)
    monkeypatch.setattr(training, "measure_training", measure_training)
    assert cases(benchmark("only=training,plain")) == 2 * [*PLAIN, OURS]
    text = Path("outputs/benchmark/benchmark.md").read_text()
    assert "- Section training: not possible here (OSError: broken pool)." in text
    assert f"- {CASE}, {AUTO} (bf16): not possible here (RuntimeError: no C++ compiler)." in text


def test_a_model_or_an_experiment_that_is_named_is_measured():
    assert parse(["batch=64"]).settings == [*STANDARD, "batch=64"]
    assert parse(["quick=true", "batch=64"]).settings == [*TINY, "batch=64"]
    for named in (["experiment=cifar10_fast"], ["model=resnet34"]):
        assert parse(named).settings == named and parse(["quick=true", *named]).settings == named


def test_a_small_share_is_no_zero():
    assert [times(ratio) for ratio in (12.345, 0.5, 0.00039)] == ["12.35", "0.50", "0.00039"]


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="epochs=0 is not possible"):
        command_seconds(["epochs=0"], tmp_path)
