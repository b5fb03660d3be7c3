"""A run can be taken up again from its folder, whatever way it is named; and from nothing that could run code."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_lightning import load
from resnet_lightning.config import ConfigError, DataError, plain_settings
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.result import RunResult
from resnet_lightning.training import sealed
from resnet_lightning.training.sealed import write_sealed
from resnet_lightning.use.find import find_run


def copy(run: Path, place: Path, **changes) -> Path:
    """A copy of a run whose record says something else."""
    shutil.copytree(run, place)
    record = json.loads((place / "result.json").read_text())
    (place / "result.json").write_text(json.dumps(record | changes))
    return place


def test_loaded_network_repeats_the_recorded_test_accuracy(trained_run, digits):
    trained = load(trained_run)
    images, labels = digits
    correct = int((trained.logits(images).argmax(dim=1) == labels).sum())
    assert abs(correct - trained.result.test["accuracy"] * 10_000) <= 2  # other batches, other last bits
    assert trained.result.test["accuracy"] > 0.9
    assert trained.classes == [str(digit) for digit in range(10)] and trained.image_shape == (1, 28, 28)
    assert not trained.network.training
    assert torch.allclose(trained.probabilities(images[:3]).sum(dim=1), torch.ones(3))


def test_images_are_taken_in_batches_that_the_run_could_take(trained_run, digits):
    trained, sizes = load(trained_run), []
    trained = replace(trained, config=replace(trained.config, eval_batch=7))
    trained.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    trained.logits(digits[0][:20])
    assert sizes == [7, 7, 6]


def test_weights_or_record_will_do_as_a_name(trained_run):
    assert load(trained_run / "best.ckpt").folder == load(trained_run / "result.json").folder == trained_run


def test_best_run_of_a_sweep_is_the_one_with_the_highest_validation_accuracy(trained_run, tmp_path):
    for name, val, test in (("a", 0.5, 0.99), ("b", 0.7, 0.6), ("c", 0.7, 0.9)):
        copy(trained_run, tmp_path / "sweep" / name, val={"accuracy": val}, test={"accuracy": test})
    copy(trained_run, tmp_path / "sweep" / "d", val={"accuracy": 1}, selection="test")
    copy(trained_run, tmp_path / "sweep" / "e", val={"accuracy": 0.9}, test={}, status="failed")
    found = find_run(tmp_path / "sweep")
    assert found.folder.name == "b" and "validation accuracy 70.00 %" in found.why


def test_sweep_selected_on_test_says_so(trained_run, tmp_path):
    for name, accuracy in (("a", 0.5), ("b", 0.7)):
        copy(trained_run, tmp_path / "sweep" / name, selection="test", test={"accuracy": accuracy})
    found = find_run(tmp_path / "sweep")
    assert found.folder.name == "b" and "the test set selected it" in found.why


def test_latest_is_the_newest_with_weights(trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="There is no run with weights"):
        load("latest")
    old = copy(trained_run, tmp_path / "outputs" / "old")
    new = copy(trained_run, tmp_path / "multirun" / "sweep" / "new")
    copy(trained_run, tmp_path / "outputs" / "without").joinpath("best.ckpt").unlink()
    os.utime(old / "best.ckpt", (1, 1))
    assert load("latest").folder == Path("multirun/sweep/new") and new.exists()
    os.utime(new / "best.ckpt", (0, 0))
    assert load("latest").folder == Path("outputs/old")


def test_missing_run_is_one_sentence_with_the_nearest(trained_run, monkeypatch):
    monkeypatch.chdir(trained_run.parents[1])
    with pytest.raises(ConfigError) as caught:
        load(f"outputs/{trained_run.name[:-1]}")
    assert f"Did you mean outputs/{trained_run.name}?" in str(caught.value)
    with pytest.raises(ConfigError, match="neither a run nor a sweep"):
        load(trained_run / ".hydra")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("result.json", b"{", "cannot be read"),
        ("best.ckpt", b"PK nonsense", "best.ckpt is damaged"),
        ("best.ckpt", None, "has no best.ckpt: the run is done"),
    ],
)
def test_damaged_run_is_one_sentence(trained_run, tmp_path, file, content, sentence):
    folder = copy(trained_run, tmp_path / "run")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(folder)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


class Malicious:
    def __reduce__(self):
        return (os.system, ("touch stolen",))


def test_nothing_in_a_run_folder_runs_code(trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copy(trained_run, tmp_path / "weights")
    archive = io.BytesIO()
    torch.save({"state_dict": Malicious(), "epoch": 1, "config": {}}, archive)
    body = archive.getvalue()[:-2] + sealed.DIGEST.to_bytes(2, "little")  # with a right checksum
    (folder / "best.ckpt").write_bytes(body + sealed.hashlib.sha256(body).hexdigest().encode())
    with pytest.raises(DataError):
        load(folder)
    config = RunResult.read(trained_run).config
    config["model"] |= {"_target_": "os.system", "command": "touch stolen"}
    config["activation"] = "os.system"
    with pytest.raises(DataError, match=r"os\.system is unknown"):
        load(copy(trained_run, tmp_path / "settings", config=config))
    assert not (tmp_path / "stolen").exists()


def test_record_of_an_older_version_takes_todays_defaults(trained_run, tmp_path, digits):
    config = RunResult.read(trained_run).config
    del config["dropout"], config["model"]["zero_init_residual"]
    config["something_gone"] = 1
    trained = load(copy(trained_run, tmp_path / "run", config=config))
    assert trained.config.dropout == 0.0 and trained.config.model.zero_init_residual is False
    assert torch.equal(trained.logits(digits[0][:8]), load(trained_run).logits(digits[0][:8]))


@pytest.mark.parametrize(
    ("key", "value"), [("widths", [8, 16, 64]), ("widths", "abc"), ("depths", None), ("block", "plain")]
)
def test_settings_that_do_not_fit_are_one_sentence(trained_run, tmp_path, key, value):
    config = RunResult.read(trained_run).config
    config["model"][key] = value
    with pytest.raises(DataError):
        load(copy(trained_run, tmp_path / "run", config=config))


def test_package_is_imported_without_torch():
    code = "import sys, resnet_lightning as r; early = 'torch' in sys.modules; r.ResNet; sys.exit(early)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_of_many_stages_is_loaded_under_its_long_name(settings, tmp_path):
    """The name in the record has what differs from the file of the model; there is no room for that in a name."""
    config = settings(f"model.depths={[1] * 30}".replace(" ", ""), f"model.widths={[4] * 30}".replace(" ", ""))
    assert len(config.model.name) > 100
    network = ResNet.from_config(config, 1, 10)
    write_sealed({"state_dict": network.state_dict(), "epoch": 1}, tmp_path / "best.ckpt")
    data = {"name": "mnist", "classes": list("0123456789"), "image_shape": [1, 28, 28], "mean": [0.1], "std": [0.3]}
    RunResult("done", [], plain_settings(config), 0, data=data, test={"accuracy": 0.1}).write(tmp_path)
    assert load(tmp_path).logits(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 10)


def test_a_run_needs_no_file_of_its_optimizer_schedule_or_data(trained_run, tmp_path, digits):
    """They were somebody's own, or have other keys by now."""
    config = RunResult.read(trained_run).config
    config["optimizer"] = {"name": "mine", "algorithm": "Lion"}
    config["scheduler"] = {"name": "mine"}
    config["data"] |= {"name": "my_reader"}
    trained = load(copy(trained_run, tmp_path / "run", config=config))
    assert torch.equal(trained.logits(digits[0][:8]), load(trained_run).logits(digits[0][:8]))


def test_a_device_takes_its_share_of_the_images_of_several(trained_run):
    trained = load(trained_run)
    assert replace(trained, config=replace(trained.config, eval_batch=100, devices=2)).batch == 50
    assert replace(trained, config=replace(trained.config, eval_batch=1, devices=[0, 1])).batch == 1


def test_weights_that_find_no_memory_are_not_wrong(trained_run, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("resnet_lightning.use.trained.load_best", fail)
    with pytest.raises(torch.OutOfMemoryError):
        load(trained_run)
