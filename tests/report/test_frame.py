"""Folders to a comparison: what differs is a column, what is damaged is a row that says so."""

import json
import shutil

import pytest

from resnet_lightning.report.frame import read_comparison
from resnet_lightning.report.labels import setting_text
from resnet_lightning.report.statistics import compare
from resnet_lightning.report.summary import summarise
from tests.report.conftest import write_plan, write_run


def test_columns_are_the_keys_that_somebody_set_and_that_differ(sweep):
    for number, lr in enumerate((0.1, 0.01)):
        write_run(
            sweep / f"run {number}", lr=lr, batch=64, seed=number, name=f"run {number}", **{"augment.rotation": 15}
        )
    comparison = read_comparison(sweep)
    assert comparison.columns == ["lr"]
    assert [group.settings for group in comparison.groups] == [{"lr": 0.1}, {"lr": 0.01}]


def test_seeds_are_folded(sweep):
    for seed in range(3):
        write_run(sweep / str(seed), seed=seed, lr=0.1)
    (group,) = read_comparison(sweep).groups
    assert [run.seed for run in group.runs] == [0, 1, 2] and group.settings == {"model": "resnet18", "data": "mnist"}


def test_runs_that_nobody_set_apart_but_that_differ_are_no_seeds(sweep):
    """An experiment was edited between two runs."""
    write_run(sweep / "before", lr=0.1, overrides=["experiment=mine"])
    write_run(sweep / "after", lr=0.2, overrides=["experiment=mine"])
    write_run(sweep / "other seed", lr=0.2, seed=1, overrides=["experiment=mine", "seed=1"])
    comparison = read_comparison(sweep)
    assert comparison.columns == ["model", "data", "lr"]
    assert {group.settings["lr"]: len(group.runs) for group in comparison.groups} == {0.1: 1, 0.2: 2}


def test_a_choice_names_what_its_settings_say_in_detail(sweep):
    """Two experiments in one folder; Adam has other settings than SGD, and here another learning rate."""
    for number, (optimizer, lr) in enumerate((("sgd", 0.1), ("adam", 0.001), ("adam", 0.01))):
        choices = {"model": "resnet18", "data": "mnist", "optimizer": optimizer}
        changes = {"choices": choices, "overrides": [f"experiment={optimizer}"], "lr": lr}
        write_run(sweep / str(number), **changes, **{"optimizer.name": optimizer})
    assert read_comparison(sweep).columns == ["model", "data", "optimizer", "lr"]


def test_the_folder_of_the_images_is_a_setting_where_the_data_are_a_folder(sweep):
    for number, root in enumerate(("cats", "dogs")):
        write_run(sweep / "own" / str(number), lr=0.1, **{"data.name": "folder", "data.root": root})
        write_run(sweep / "mnist" / str(number), lr=0.1, **{"data.name": "mnist", "data.root": root})
    assert read_comparison(sweep / "own").columns == ["data.root"]
    assert len(read_comparison(sweep / "mnist").groups) == 1


def test_nested_keys_lists_null_and_switches(sweep):
    write_run(sweep / "a", **{"augment.rotation": 0, "data.train_limit": None, "model.widths": [4, 8], "compile": True})
    write_run(sweep / "b", **{"augment.rotation": 15, "data.train_limit": 500, "model.widths": [8], "compile": False})
    settings = [run.settings for run in read_comparison(sweep).runs]
    assert settings[0] == {"augment.rotation": 0, "data.train_limit": None, "model.widths": "[4, 8]", "compile": True}
    assert settings[1] == {"augment.rotation": 15, "data.train_limit": 500, "model.widths": "[8]", "compile": False}


def test_a_setting_that_a_run_does_not_have_is_a_dash_and_no_part_of_its_name(sweep):
    write_run(sweep / "a", **{"optimizer.name": "momentum", "optimizer.momentum": 0.5})
    write_run(sweep / "b", **{"optimizer.name": "adam"})
    with_it, without = (run.settings for run in read_comparison(sweep).runs)
    assert without == {"optimizer.name": "adam", "optimizer.momentum": "-"}
    assert setting_text(without) == "optimizer.name=adam"
    assert setting_text(with_it) == "optimizer.name=momentum optimizer.momentum=0.5"


def test_the_plan_gives_the_order_and_the_jobs_that_wait(sweep):
    write_run(sweep / "a", lr=0.1, dropout=0.0, devices="2")
    write_run(sweep / "z", lr=0.01, dropout=0.0, devices="2")
    fixed = ["dropout=0", "devices=2"]
    write_plan(sweep, {"z": ["lr=0.01", *fixed], "new": ["lr=1e-3", *fixed], "a": ["lr=0.1", *fixed]})
    comparison = read_comparison(sweep)
    assert [(run.name, run.status) for run in comparison.runs] == [("z", "done"), ("new", "waiting"), ("a", "done")]
    assert comparison.columns == ["lr"]  # 0 and 0.0, 2 and "2" are the same setting
    assert [run.settings["lr"] for run in comparison.runs] == [0.01, 0.001, 0.1]


def test_a_seed_that_waits_is_a_seed_of_its_setting(sweep):
    """An example of the documentation: rows in which one does not set what the other does."""
    rows = [["stem=cifar"], ["stem=imagenet", "lr=0.01"]]
    write_plan(sweep, {f"{row[0]}_{seed}": [*row, f"seed={seed}"] for row in rows for seed in (0, 1)})
    assert [run.settings["lr"] for run in read_comparison(sweep).runs] == ["?", "?", 0.01, 0.01]
    write_run(sweep / "stem=imagenet_0", stem="imagenet", lr=0.01, overrides=[*rows[1], "seed=0"])
    assert [run.settings["lr"] for run in read_comparison(sweep).runs] == ["?", "?", 0.01, 0.01]
    write_run(sweep / "stem=cifar_0", stem="cifar", overrides=["stem=cifar", "seed=0"])
    assert [run.settings["lr"] for run in read_comparison(sweep).runs] == [0.1, 0.1, 0.01, 0.01]
    assert [len(group.runs) for group in read_comparison(sweep).groups] == [2, 2]


def test_a_job_that_waits_has_no_default_of_another_optimizer(sweep):
    """Adam's learning rate is not that of SGD."""
    rows = {"a": ["optimizer=adam"], "b": ["optimizer=momentum"], "c": ["optimizer=momentum", "lr=0.01"]}
    write_plan(sweep, rows)
    write_run(sweep / "b", lr=0.1, optimizer="momentum", overrides=rows["b"])
    assert [run.settings["lr"] for run in read_comparison(sweep).runs] == ["?", 0.1, 0.01]


def test_a_job_that_fell_before_its_first_record_is_a_seed_of_its_setting(sweep):
    normal = {"model": "resnet18", "data": "mnist", "augment": "normalize"}
    write_run(sweep / "a", choices=normal, overrides=["seed=0"], **{"augment.rotation": 0})
    write_run(sweep / "b", choices={}, overrides=["seed=1"], seed=1, status="crashed", **{"augment.rotation": 0})
    write_run(sweep / "c", choices=normal | {"augment": "mine"}, overrides=["augment=mine"], **{"augment.rotation": 9})
    comparison = read_comparison(sweep)
    assert [group.settings["augment"] for group in comparison.groups] == ["normalize", "mine"]
    assert len(comparison.groups[0].runs) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\0" * 40,
        b"[]",
        b'{"status": "done"}',
        b"\xff\xfe garbage",
        b"[" * 100_000,
        b'{"status": "done", "overrides": [], "config": null, "seed": 0}',
        b'{"status": "done", "overrides": [], "config": {}, "seed": 0, "test": 7}',
        b'{"status": null, "overrides": {}, "config": {}, "seed": 0}',
    ],
)
def test_a_damaged_record_is_a_row_that_says_so(sweep, content):
    write_run(sweep / "good", lr=0.1)
    (sweep / "bad").mkdir()
    (sweep / "bad" / "result.json").write_bytes(content)
    bad, good = read_comparison(sweep).runs
    assert (bad.status, good.status) == ("unreadable", "done")
    assert bad.result is None and "result.json cannot be read" in str(bad.reason)


def test_a_record_that_was_cut_anywhere_is_read_or_unreadable(sweep):
    write_run(sweep / "a")
    whole = (sweep / "a" / "result.json").read_bytes()
    for length in range(0, len(whole) - 3, 23):
        (sweep / "a" / "result.json").write_bytes(whole[:length])
        assert read_comparison(sweep).runs[0].status == "unreadable"


@pytest.mark.parametrize(
    ("end", "epochs"), [("", 3), ("4,400,0.1,0.2", 3), ("4,,,,,,\n", 3), ("4,x,1,1,1,1,1\n", 3), ("\0\xff", 3)]
)
def test_a_half_written_last_row_of_metrics_is_left_out(sweep, end, epochs):
    write_run(sweep / "a", epochs=3)
    with (sweep / "a" / "metrics.csv").open("a", encoding="latin-1") as file:
        file.write(end)
    (run,) = read_comparison(sweep).runs
    assert [row["epoch"] for row in run.history] == list(range(1, epochs + 1))


def test_a_run_without_metrics_has_no_history(sweep):
    write_run(sweep / "a", epochs=0)
    assert read_comparison(sweep).runs[0].history == []


@pytest.mark.parametrize("content", ["", "[]", '{"jobs": [{"name": 3}]}', '{"jobs": 3}'])
def test_without_a_readable_plan_the_folders_tell(sweep, content):
    write_run(sweep / "a", lr=0.1)
    write_run(sweep / "b", lr=0.2)
    (sweep / "sweep.json").write_text(content)
    assert [run.name for run in read_comparison(sweep).runs] == ["a", "b"]


def test_a_moved_sweep_is_the_same_comparison(sweep, tmp_path):
    for number in range(3):
        write_run(sweep / str(number), lr=0.1 * number)
    before = read_comparison(sweep)
    shutil.move(sweep, tmp_path / "elsewhere")
    after = read_comparison(tmp_path / "elsewhere")
    assert (after.columns, after.runs, after.groups) == (before.columns, before.runs, before.groups)


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        read_comparison(tmp_path / "nowhere")


def test_a_value_written_in_two_ways_is_one_column(sweep):
    write_run(sweep / "a", **{"optimizer.momentum": 0.0})
    write_run(sweep / "b", seed=1, **{"optimizer.momentum": 0})
    write_run(sweep / "c", **{"optimizer.momentum": 0.9})
    comparison = read_comparison(sweep)
    assert comparison.columns == ["optimizer.momentum"]
    assert [len(group.runs) for group in comparison.groups] == [2, 1]


@pytest.mark.parametrize("place", ["log_every", "reference", "logger", "devices", "data.root"])
def test_places_tell_no_runs_apart(sweep, place):
    """Nor do two ways to write the same folder of images."""
    values = {"devices": ([0], [1]), "data.root": ("cats", "./cats/")}.get(place, (1, 2))
    own = {"data.name": "folder"} if place == "data.root" else {}
    for seed, value in enumerate(values):
        write_run(sweep / str(seed), seed=seed, lr=0.1, **{place: value}, **own)
        write_run(sweep / f"other {seed}", seed=seed, lr=0.2, **{place: values[0]}, **own)
    comparison = read_comparison(sweep)
    assert comparison.columns == ["lr"] and [len(group.runs) for group in comparison.groups] == [2, 2]


def test_a_record_from_before_a_setting_has_what_the_run_did(sweep):
    write_run(sweep / "old", lr=0.1)
    write_run(sweep / "a", seed=1, lr=0.1, ema=0.0)
    write_run(sweep / "b", lr=0.1, ema=0.99)
    groups = read_comparison(sweep).groups
    assert sorted((group.settings["ema"], len(group.runs)) for group in groups) == [(0.0, 2), (0.99, 1)]


def test_a_copy_beside_a_run_is_no_further_seed(sweep):
    write_run(sweep / "a", lr=0.1)
    write_run(sweep / "b", lr=0.1, seed=1)
    shutil.copytree(sweep / "b", sweep / "a copy")
    write_run(sweep / "b", lr=0.1, seed=1, status="failed")
    comparison = read_comparison(sweep)
    assert [run.name for run in comparison.runs] == ["a", "a copy"] and comparison.repeated == 1
    assert "1 folder left out" in " ".join(summarise(comparison, compare(comparison), []))
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [{"folder": "a"}, {"folder": "b"}]}))
    assert [run.name for run in read_comparison(sweep).runs] == ["a", "b"]


def test_a_run_that_a_plan_names_twice_is_no_further_seed(sweep):
    """As where a newer version names its folder otherwise."""
    write_run(sweep / "a", lr=0.1)
    write_run(sweep / "old", lr=0.2)
    write_run(sweep / "new", lr=0.2)
    write_run(sweep / "old", lr=0.2, status="interrupted")
    write_plan(sweep, {name: [f"lr={lr}", "seed=0"] for name, lr in (("a", 0.1), ("old", 0.2), ("new", 0.2))})
    assert [run.name for run in read_comparison(sweep).runs] == ["a", "new"]


@pytest.mark.parametrize(
    ("key", "written", "value"), [("compile", "True", True), ("data.root", "'my images'", "my images")]
)
def test_a_job_that_waits_has_the_value_of_its_other_seeds(sweep, key, written, value):
    """Hydra writes true as True, and a text with a space in quotes."""
    own = [f"{key}={written}", "data=folder"]
    write_run(sweep / "a", data="folder", overrides=[*own, "lr=0.1", "seed=0"], **{key: value})
    write_plan(sweep, {"b": [*own, "lr=0.1", "seed=1"], "c": [*own, "lr=0.2", "seed=0"]})
    comparison = read_comparison(sweep)
    assert comparison.columns == ["lr"] and [len(group.runs) for group in comparison.groups] == [2, 1]


def test_runs_on_images_that_changed_between_them_are_no_seeds(sweep):
    """The same folder with other images: by its settings a run is the same, or another seed of the same."""
    own = {"data.name": "folder", "data.root": "mine", "overrides": []}

    def write(name: str, seed: int, digest: str) -> None:
        result = write_run(sweep / name, seed=seed, **own)
        result.data["digest"] = digest
        result.write(sweep / name)

    write("a", 0, "1111")
    write("b", 1, "1111")
    assert [len(group.runs) for group in read_comparison(sweep).groups] == [2]
    write("c", 1, "2222")
    write_run(sweep / "d", seed=2, status="failed", **own)
    comparison = read_comparison(sweep)
    assert comparison.columns[-1] == "data.digest" and comparison.repeated == 0
    assert [(group.settings["data.digest"], len(group.runs)) for group in comparison.groups][:2] == [
        ("1111", 2),
        ("2222", 1),
    ]
    assert "The runs have different data sets" in " ".join(summarise(comparison, compare(comparison), []))


def test_a_plan_names_no_folder_elsewhere(sweep, tmp_path):
    write_run(sweep / "a")
    write_run(tmp_path / "elsewhere")
    names = ["a", "../elsewhere", str(tmp_path / "elsewhere")]
    (sweep / "sweep.json").write_text(json.dumps({"jobs": [{"folder": name} for name in names]}))
    assert [run.name for run in read_comparison(sweep).runs] == ["a"]


def test_a_value_is_the_same_in_a_record_and_in_a_job_that_waits(sweep):
    """A record says "32" of precision=32, the plan 32."""
    write_run(sweep / "a", **{"model.tag": "32"})
    write_run(sweep / "b", **{"model.tag": "bf16"})
    write_plan(sweep, {"c": ["model.tag=32", "lr=0.2"], "a": [], "b": []})
    values = [run.settings["model.tag"] for run in read_comparison(sweep).runs]
    assert values[0] == values[1] != values[2] and type(values[0]) is type(values[1])
