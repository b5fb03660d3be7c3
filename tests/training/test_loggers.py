"""``logger=``: copies of the curves for other viewers; the files of the run stay as they are."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

from resnet_lightning.config import ConfigError
from resnet_lightning.training.loggers import Loggers, MLflow, has_key
from tests.conftest import TINY
from tests.forked import run_module


def train(place: Path, data_root: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "MLFLOW"))}
    environment = kept | {"RESNET_LIGHTNING_DATA": str(data_root), "HOME": str(place)}
    done = run_module("resnet_lightning", *TINY, "epochs=2", *arguments, cwd=place, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (place / "outputs").iterdir()
    return done, folder


def test_none_keeps_only_the_files(tmp_path, data_root):
    _, folder = train(tmp_path, data_root, "logger=none")
    assert not list(folder.glob("events*")) and len((folder / "metrics.csv").read_text().splitlines()) == 3


def test_mlflow_has_the_curves(tmp_path, data_root):
    pytest.importorskip("mlflow")
    _, folder = train(tmp_path, data_root, "logger=[tensorboard,mlflow]")
    assert len(list(folder.glob("events*"))) == 1
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient((folder / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("resnet_lightning")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["batch"] == "64"
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("train_loss")
    assert [point.value for point in losses] == [float(row[column]) for row in rows[1:]]


def test_wandb_is_offline_without_a_key(tmp_path, data_root):
    pytest.importorskip("wandb")
    _, folder = train(tmp_path, data_root, "logger=wandb")
    (place,) = (folder / "wandb").glob("offline-run-*")
    assert list(place.glob("*.wandb")) and not list(folder.glob("events*"))


@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
def test_a_login_of_wandb_is_found_where_it_is_kept(tmp_path, monkeypatch, name):
    for key in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert not has_key()
    (tmp_path / name).write_text("machine api.wandb.ai login user password 1234\n")
    if name == "elsewhere":
        monkeypatch.setenv("NETRC", str(tmp_path / name))
    assert has_key()


def test_jobs_that_make_the_experiment_of_mlflow_at_the_same_time_share_it(tmp_path, monkeypatch):
    class Taken(Exception):
        pass

    class Client:
        """Of a server on which another job makes the experiment between the question and our attempt."""

        asked = 0

        def __init__(self, store: str) -> None: ...

        def get_experiment_by_name(self, name):
            Client.asked += 1
            return SimpleNamespace(experiment_id=7) if Client.asked > 1 else None

        def create_experiment(self, name):
            raise Taken

        def create_run(self, experiment, tags):
            return SimpleNamespace(info=SimpleNamespace(run_id=f"run of {experiment}"))

    for name, parts in (("", {}), (".tracking", {"MlflowClient": Client}), (".exceptions", {"MlflowException": Taken})):
        module = ModuleType(f"mlflow{name}")
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, f"mlflow{name}", module)
    assert MLflow(tmp_path, {}, "group").run_id == "run of 7"


def test_logger_that_fails_does_not_cost_the_run(caplog):
    class Broken:
        def scalars(self, metrics, epoch, moment=None):
            raise OSError("no network")

        def close(self, metrics, epoch, success):
            raise AssertionError("it was left out")

    class Kept:
        seen: ClassVar[list[int]] = []

        def scalars(self, metrics, epoch, moment=None):
            self.seen.append(epoch)

        def close(self, metrics, epoch, success):
            self.seen.append(-1)

    both = Loggers([Broken(), Kept()])
    for epoch in (1, 2):
        both.scalars({"loss": 1.0}, epoch)
    both.close({}, 2, success=True)
    assert Kept.seen == [1, 2, -1] and caplog.text.count("logger Broken is switched off from here on: no network") == 1


def test_unknown_logger_is_one_sentence(settings):
    with pytest.raises(ConfigError, match=r"logger=wandbb is unknown. Did you mean wandb\?"):
        settings("logger=[tensorboard,wandbb]")


def test_missing_package_is_one_sentence_before_any_work(monkeypatch, settings, capsys, tmp_path):
    from resnet_lightning.cli import run_command

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run_command(["logger=mlflow"]) == 2
    assert 'pip install -e ".[mlflow]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
