"""Which settings the benchmark recommends, on figures made by hand: nothing is compiled or timed here but once."""

import os
import shlex
from pathlib import Path

import pytest
import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark import recommend, training
from resnet_lightning.benchmark.__main__ import main
from resnet_lightning.benchmark.recommend import (
    Share,
    batches,
    compile_note,
    fit,
    shares,
    simplest_of_the_best,
    training_images,
)
from resnet_lightning.benchmark.rounds import Effort
from resnet_lightning.benchmark.training import Prepared, Variant, prepare
from resnet_lightning.config import ConfigError

EAGER, COMPILED = Variant("32", "channels_last", False), Variant("32", "channels_last", True)
EFFORT = Effort(rounds=1, seconds=0.01)


@pytest.mark.slow
def test_recommendation_is_a_command_that_can_be_run(benchmark, capsys):
    from resnet_lightning.compose import compose_all

    benchmark("recommend=true", "data=mnist", "accelerator=cpu")
    said = capsys.readouterr().out.splitlines()
    single, sweep = (shlex.split(line)[3:] for line in said if line.startswith("python -m"))
    config = compose_all(single, multirun=False).jobs[0][1]
    assert config.model.widths == [4, 8, 8] and config.threads == 1 and config.batch in (32, 64)
    assert len(compose_all(sweep[1:], multirun=True).jobs) == 3
    assert f"python -m resnet_lightning {shlex.join(single)}" in Path("outputs/recommend/benchmark.md").read_text()


def test_a_simpler_setting_wins_unless_another_is_clearly_faster():
    simple, other = Variant("32", "channels_last", False), Variant("bf16", "channels_last", False)
    assert simplest_of_the_best({simple: [100.0], other: [104.0]}) is simple
    assert simplest_of_the_best({simple: [100.0], other: [106.0]}) is other


@pytest.mark.parametrize(
    ("other", "best"),
    [
        ([100.0, 160.0, 104.0], "other"),  # 7 % faster, by its median 4 %
        ([52.0, 152.0, 107.0], "simple"),  # 4 % faster, by its median 7 %
        ([49.0, 200.0, 130.0], "steady"),  # 30 % faster, but slower in the first round
    ],
)
def test_the_faster_setting_is_the_one_that_is_faster_within_a_round(other, best):
    figures = {"simple": [50.0, 150.0, 100.0], "other": other}
    figures |= {"steady": [60.0, 180.0, 120.0]} if best == "steady" else {}
    assert simplest_of_the_best(figures) == best


def test_bf16_is_simpler_than_16(monkeypatch):
    monkeypatch.setattr(hardware, "computes_in_bf16", lambda *_: True)
    assert training.precisions("cuda") == ["32", "bf16", "16"]


@pytest.fixture
def measured(monkeypatch):
    """``measured(jobs={(1, 2): 100.0})`` -> advice where compiling takes 10 s and makes a step twice as fast."""

    def advise(*arguments: str, jobs: dict[tuple[int, int], float], works=lambda config, variant: True):
        def prepare(config, chosen, device, effort):
            ready = {
                v: Prepared(lambda v=v: 200.0 if v.compiled else 100.0, 12.0 if v.compiled else 2.0) for v in chosen
            }
            bad = [v for v in chosen if not works(config, v)]
            return {v: r for v, r in ready.items() if v not in bad}, [f"{v}: not possible here." for v in bad]

        def together(arguments, variant, cores, threads, seconds):
            speed = jobs[len(cores), threads]
            if not speed:
                raise RuntimeError("OutOfMemoryError: no room")
            return speed

        monkeypatch.setattr(recommend, "precisions", lambda kind: ["32"])
        monkeypatch.setattr(recommend, "prepare", prepare)
        monkeypatch.setattr(recommend, "shares", lambda kind, cores, gpus: [Share(*share) for share in jobs])
        monkeypatch.setattr(recommend, "together", together)
        *_, last = recommend.recommend(["model=resnet10", "accelerator=cpu", *arguments], EFFORT)
        return last

    return advise


def test_compiling_is_recommended_with_what_it_costs(measured):
    advice = measured("batch=128", jobs={(1, 2): 100.0})
    assert "costs at least 10 s at the first start, and pays from 2,000 training images on at the" in advice.lines[1]
    assert "compile=true" in advice.commands[-1].split() and "compiled, batch 128" in advice.lines[0]


def test_what_is_not_compiled_is_not_compiled_by_an_experiment_either(measured):
    advice = measured("batch=128", "compile=true", jobs={(1, 2): 100.0}, works=lambda config, variant: not variant[2])
    assert all("compile=false" in command.split() for command in advice.commands)


def test_what_was_compiled_before_does_not_make_compiling_cheap(measured, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "kept")
    caches = []
    works = lambda *_: caches.append(Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])) or caches[-1].is_dir()  # noqa: E731
    assert "compiled, batch 128" in measured("batch=128", jobs={(1, 2): 100.0}, works=works).lines[0]
    assert len(set(caches)) == 1 and not caches[0].exists() and os.environ["TORCHINDUCTOR_CACHE_DIR"] == "kept"


def test_compiling_that_costs_nothing_is_no_negative_number():
    way = Prepared(lambda: 1.0, 2.0)
    assert "nothing" in compile_note(way, way, 100.0, 2.0)


def test_a_batch_that_does_not_fit_is_left_out(measured):
    advice = measured(jobs={(1, 2): 100.0}, works=lambda config, variant: config.batch < 512)
    batches = [row.case for row in advice.rows if row.group.endswith(": batch")]
    assert batches == ["32", "64", "128", "256"] and f"{COMPILED}: not possible here." in advice.lines


def test_a_single_run_gets_half_of_the_cores_where_these_are_faster(measured, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(recommend, "usable_cores", lambda: list(range(4)))
    advice = measured(jobs={(1, 4): 100.0, (1, 2): 120.0, (2, 2): 200.0, (4, 2): 300.0})  # eight threads on four cores
    assert "a single run on 2 threads, a sweep as 2 jobs of 2 threads a device" in advice.lines[0]
    assert advice.commands[0].endswith(" threads=2")
    assert shares("cpu", 4) == [(1, 4), (1, 2), (1, 1), (2, 2), (4, 1)] and shares("cpu", 1) == [(1, 1)]
    assert shares("cuda", 6) == [(1, 6), (1, 3), (1, 1), (2, 3), (4, 1), (8, 1)]
    four = shares("cuda", 16, 4)
    assert four == [(1, 16), (1, 8), (1, 4), (1, 2), (1, 1), (2, 2), (4, 1), (8, 1)]
    assert fit(four, 16, 4) == [(1, 4), (1, 2), (1, 1), (2, 2), (4, 1), (8, 1)]


def test_no_batch_is_larger_than_the_data(settings):
    assert batches("cpu", 55_000, EFFORT) == [32, 64, 128, 256, 512]
    assert batches("cuda", 55_000, EFFORT)[-1] == 4096
    assert batches("cpu", 100, EFFORT) == [32, 64] and batches("cpu", 20, EFFORT) == []
    assert training_images(settings()) == 55_000 and training_images(settings("data.val_size=59700")) == 300
    assert training_images(settings("data.train_limit=1000", "scale=0.1")) == 100


def test_jobs_that_fail_are_left_out_with_a_sentence(measured):
    advice = measured(jobs={(1, 2): 100.0, (2, 1): 0.0})
    assert "a sweep as 1 job of 2 threads" in advice.lines[0]
    assert advice.rows[-1].case == "1 job of 2 threads"
    assert any("2 jobs of 1 thread: not possible here (RuntimeError: OutOfMemoryError" in line for line in advice.lines)


def test_jobs_that_all_fail_leave_one_job_and_what_was_found_before(measured):
    advice = measured("batch=128", jobs={(1, 2): 0.0, (2, 1): 0.0})
    assert "compiled, batch 128" in advice.lines[0] and "a sweep as 1 job of" in advice.lines[0]
    assert "No number of jobs could be measured: one is the default." in advice.lines


def test_what_is_known_is_written_before_a_batch_that_ends_the_process(measured, monkeypatch, tmp_path, capsys):
    def killed(*_):
        files.append((tmp_path / "benchmark.md").read_text())
        raise KeyboardInterrupt

    files = []
    measured("batch=128", jobs={(1, 2): 100.0})  # from here on nothing is measured in earnest
    monkeypatch.setattr(recommend, "best_batch", killed)
    assert main(["recommend=true", "model=resnet10", "accelerator=cpu", f"folder={tmp_path}"]) == 130
    assert "precision=32 compile=true" in files[0] and "by default: batch, jobs." in files[0]
    assert "precision=32 compile=true" in capsys.readouterr().out


def test_a_network_that_does_not_train_here_is_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(training, "variant_step", fail)
    assert main(["recommend=true", "quick=true", "threads=1", "accelerator=cpu"]) == 2
    said = capsys.readouterr().err
    assert "there is nothing to recommend" in said and "(MemoryError)" in said and said.count("\n") == 1


def test_a_variant_that_does_not_work_is_a_sentence(settings, monkeypatch):
    def variant_step(config, variant, device):
        if variant.compiled:
            raise RuntimeError("no C++ compiler\nmore about it")
        return lambda: None

    monkeypatch.setattr(training, "variant_step", variant_step)
    config = settings("model=resnet10", "batch=16", "accelerator=cpu")
    ready, missing = prepare(config, [EAGER, COMPILED], training.device_of(config), EFFORT)
    sentence = f"resnet10, batch 16, {COMPILED}: not possible here (RuntimeError: no C++ compiler)."
    assert list(ready) == [EAGER] and missing == [sentence]


def test_a_folder_of_few_images_has_a_batch_that_it_can_fill(image_folder, measured):
    few = ["data=folder", f"data.root={image_folder}", "data.image_size=16", "data.train_limit=20"]
    assert "batch=20" in measured(*few, jobs={(1, 2): 100.0}).commands[0]
    with pytest.raises(ConfigError, match="batch=64 is not possible: it must be at most the 20 training images"):
        measured(*few, "batch=64", jobs={(1, 2): 100.0})
