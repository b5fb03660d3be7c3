"""The HPARAMS tab of a sweep, as TensorBoard's own server gives it out."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from resnet_lightning import hparams
from resnet_lightning.report.frame import read_comparison
from resnet_lightning.report.hparams_columns import FILE_NAME, levels_of, write_columns
from tests.report.conftest import write_grid, write_run

RUNS = 32  # of the sweep below


def write_events(folder: Path) -> None:
    """What the runs of a sweep leave: a row each, scalars, and how it ended."""
    for run in read_comparison(folder).runs:
        writer = EventFileWriter(str(folder / run.name))
        settings = {key: hparams.plain(value) for key, value in run.settings.items()}
        summaries = [hparams.session_start({**settings, "seed": run.seed or 0, "epochs": 3}, json.dumps(settings))]
        if run.result and run.status == "done":
            scalars = {"test/accuracy": run.result.test["accuracy"], "train/loss": 0.1}
            summaries += [Summary(value=[Summary.Value(tag=tag, simple_value=v)]) for tag, v in scalars.items()]
        for summary in [*summaries, hparams.session_end(run.status == "done")]:
            writer.add_event(Event(summary=summary, wall_time=1.0))
        writer.close()


@pytest.fixture
def tensorboard(sweep):
    """``tensorboard("experiment")`` -> what TensorBoard's own server answers about the sweep."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server: list[subprocess.Popen[bytes]] = []

    def ask(question: str, **body: Any) -> Any:
        if not server:
            command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(sweep), "--port", str(port)]
            output = subprocess.DEVNULL
            server.append(subprocess.Popen([*command, "--load_fast=false"], stdout=output, stderr=output))
        address = f"http://127.0.0.1:{port}/data/plugin/hparams/{question}"
        data = json.dumps({"experimentName": "", **body}).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        for _ in range(300):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    found = json.load(answer)
                groups = found.get("sessionGroups", [])
                if found.get("hparamInfos") or sum(len(group["sessions"]) for group in groups) == RUNS:
                    return found
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.1)
        raise TimeoutError(question)

    yield ask
    for process in server:
        process.terminate()
        process.wait()


def test_tensorboard_shows_the_swept_keys_and_groups_the_seeds(sweep, tensorboard):
    limits = [None, 1000]
    write_grid(
        sweep,
        lambda **s: "failed" if s["lr"] == 0.3 else 0.9 + s["lr"] / 10 + 0.01 * s["seed"],
        seeds=2, lr=[0.1, 0.3], activation=["relu", "tanh"], compile=[True, False], **{"data.train_limit": limits},
    )  # fmt: skip
    write_events(sweep)
    for _ in range(2):  # a later report replaces the record of an earlier one
        write_columns(read_comparison(sweep), sweep / FILE_NAME)
    assert len(list(sweep.glob("events*"))) == 1
    experiment = tensorboard("experiment")
    columns = {info["name"]: (info["type"], info["domainDiscrete"]) for info in experiment["hparamInfos"]}
    assert columns == {
        "lr": ("DATA_TYPE_FLOAT64", [0.1, 0.3]),
        "activation": ("DATA_TYPE_STRING", ["relu", "tanh"]),
        "compile": ("DATA_TYPE_BOOL", [False, True]),
        "data.train_limit": ("DATA_TYPE_STRING", [1000, "null"]),
    }
    assert [info["name"]["tag"] for info in experiment["metricInfos"]] == ["test/accuracy", "test/loss", "val/accuracy"]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    ticked = [{"hparam": name, "filterDiscrete": values} for name, (_, values) in columns.items()]
    accuracy = {"metric": {"group": "", "tag": "test/accuracy"}, "order": "ORDER_DESC"}
    answer = tensorboard(
        "session_groups", allowedStatuses=statuses, colParams=[*ticked, accuracy], startIndex=0, sliceSize=100
    )
    rows = answer["sessionGroups"]
    assert len(rows) == 16 and {len(row["sessions"]) for row in rows} == {2}
    for row in rows:
        (status,) = {session["status"] for session in row["sessions"]}
        if row["hparams"]["lr"] == 0.3:
            assert status == "STATUS_FAILURE" and not row.get("metricValues")
        else:
            (metric,) = row["metricValues"]
            assert status == "STATUS_SUCCESS" and metric["value"] == pytest.approx(0.915)


def test_the_domain_of_a_precision_has_what_auto_came_to(sweep):
    """A row has that; jobs without a record have nothing to add."""
    for name, asked, computed in (("a", "auto", "bf16"), ("b", "32", "32"), ("c", "16", None)):
        write_run(sweep / name, **{"precision": computed, "overrides": [f"precision={asked}"]})
        record = json.loads((sweep / name / "result.json").read_text())
        record["config"]["precision"] = asked
        (sweep / name / "result.json").write_text(json.dumps(record))
    assert levels_of(read_comparison(sweep), "precision") == ["auto", "32", "16", "bf16"]
