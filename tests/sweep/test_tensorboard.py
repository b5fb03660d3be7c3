"""The HPARAMS tab of a sweep, as TensorBoard's own server shows it."""

import pytest

from tests.conftest import HPARAMS_QUERY


def test_one_row_per_setting_with_real_metrics_and_failures_as_failures(sweep, tensorboard):
    sweep.run("lr=0.1,0.2,0.3", "seed=0,1", faults={"0.2": "raise", "0.3": "signal9"})
    ask = tensorboard(sweep.folder)
    experiment = ask("hparams/experiment", {"experimentName": ""})
    assert [info["name"] for info in experiment["hparamInfos"]] == ["lr"]
    metrics = {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert metrics == {"test/accuracy", "test/loss", "val/accuracy"}

    groups = {group["hparams"]["lr"]: group for group in ask("hparams/session_groups", HPARAMS_QUERY)["sessionGroups"]}
    assert set(groups) == {0.1, 0.2, 0.3}
    assert {lr: len(group["sessions"]) for lr, group in groups.items()} == {0.1: 2, 0.2: 2, 0.3: 2}
    status = {lr: {session["status"] for session in group["sessions"]} for lr, group in groups.items()}
    assert status == {0.1: {"STATUS_SUCCESS"}, 0.2: {"STATUS_FAILURE"}, 0.3: {"STATUS_FAILURE"}}
    accuracies = [r.test["accuracy"] for r in sweep_results(sweep) if r.config["lr"] == 0.1]
    shown = {metric["name"]["tag"]: metric["value"] for metric in groups[0.1]["metricValues"]}
    assert shown["test/accuracy"] == pytest.approx(sum(accuracies) / 2, rel=1e-5)


def sweep_results(sweep):
    from resnet_lightning.result import RunResult

    return [RunResult.read(path.parent) for path in sweep.folder.glob("*/result.json")]
