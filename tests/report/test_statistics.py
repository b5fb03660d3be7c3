"""What numbers over seeds and levels are, against scipy and against grids whose effects are known."""

import math

import numpy as np
import pytest
from scipy import stats

from resnet_lightning.report.frame import read_comparison
from resnet_lightning.report.labels import status_text
from resnet_lightning.report.statistics import (
    Effect,
    Estimate,
    Row,
    compare,
    is_balanced,
    main_effects,
    p_text,
    selection,
)
from tests.report.conftest import write_grid, write_plan, write_run


def rows(folder) -> list[Row]:
    return compare(read_comparison(folder))


def effects(folder) -> dict[str, Effect]:
    return {effect.key: effect for effect in main_effects(read_comparison(folder))}


def test_estimate_as_text():
    assert Estimate(0.973, None, 1).text(100) == "97.30"
    assert Estimate(0.973, 0.0012, 3).text(100) == "97.30 ± 0.12 (3)"
    assert Estimate(12.345, 0.5, 2).text(digits=0) == "12 ± 0 (2)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0004, "p < 0.001"),
        (0.0123, "p = 0.012"),
        (0.0497, "p = 0.0497"),
        (0.05, "p = 0.050"),
        (0.05002, "p = 0.05002"),
    ],
)
def test_a_p_value_is_not_rounded_onto_the_level(value, text):
    assert p_text(value) == text


def test_times_of_two_devices_have_no_mean(sweep):
    for seed, (device, seconds, memory) in enumerate([("CPU", 900, 1300), ("GPU", 30, 900)]):
        write_run(sweep / str(seed), seed=seed, device=device, seconds=seconds, peak_memory=memory)
    (row,) = rows(sweep)
    assert row.seconds is None and row.peak_memory is None
    assert row.test_accuracy is not None and row.test_accuracy.n == 2


def test_seeds_are_folded_to_mean_and_sample_standard_deviation(sweep):
    accuracies = [0.91, 0.93, 0.98]
    for seed, accuracy in enumerate(accuracies):
        write_run(sweep / str(seed), accuracy=accuracy, seed=seed)
    (row,) = rows(sweep)
    assert row.test_accuracy is not None and row.test_accuracy.n == 3
    assert row.test_accuracy.mean == pytest.approx(np.mean(accuracies))
    assert row.test_accuracy.sd == pytest.approx(np.std(accuracies, ddof=1))


def test_validation_accuracy_selects_not_test_accuracy(sweep):
    write_run(sweep / "a", accuracy=0.90, lr=0.1, val={"accuracy": 0.95})
    write_run(sweep / "b", accuracy=0.99, lr=0.2, val={"accuracy": 0.94})
    assert [row.best for row in rows(sweep)] == [True, False]


def test_without_validation_images_the_test_accuracy_selects_and_is_named(sweep):
    write_run(sweep / "a", accuracy=0.90, lr=0.1, selection="test", val={"accuracy": 0.95})
    write_run(sweep / "b", accuracy=0.99, lr=0.2)
    assert selection(read_comparison(sweep)) == "test"
    assert [row.best for row in rows(sweep)] == [False, True]
    assert rows(sweep)[0].val_accuracy is None  # it would be a test accuracy


def test_numbers_of_runs_that_are_not_done_do_not_count(sweep):
    write_run(sweep / "a", accuracy=0.5, seed=0)
    write_run(sweep / "b", status="diverged", seed=1, test={"accuracy": 0.99, "loss": 0.1}, val={"accuracy": 0.99})
    (row,) = rows(sweep)
    assert row.test_accuracy == Estimate(0.5, None, 1) and row.status == "1 of 2 done, 1 diverged"
    assert row.reason == "The training loss of epoch 2 is nan."


@pytest.mark.parametrize("value", [None, "0.9", True, [0.9], float("nan")])
def test_a_metric_that_is_no_finite_number_is_missing(sweep, value):
    write_run(sweep / "a", accuracy=0.5, seed=0)
    write_run(sweep / "b", seed=1, test={"accuracy": value})
    (row,) = rows(sweep)
    assert row.test_accuracy == Estimate(0.5, None, 1) and row.test_loss == Estimate(0.5, None, 1)


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_foreign_record_with_nan_counts_as_missing(sweep, value):
    write_run(sweep / "a", accuracy=0.5, seconds=123.25)
    path = sweep / "a" / "result.json"
    path.write_text(path.read_text().replace("123.25", value))
    assert rows(sweep)[0].seconds is None


def test_the_reason_is_that_of_the_worst_run(sweep):
    for seed, status in enumerate(["interrupted", "failed", "done", "oom"]):
        write_run(sweep / str(seed), status=status, seed=seed, reason=f"because of {status}")
    (row,) = rows(sweep)
    assert row.status == "1 of 4 done, 1 oom, 1 failed, 1 interrupted" and row.reason == "because of oom"


@pytest.mark.parametrize("status", ["failed", "oom", "diverged", "interrupted", "killed", "a later status"])
def test_status_of_runs_that_ended_alike(sweep, status):
    write_run(sweep / "a", status=status, seed=0)
    write_run(sweep / "b", status=status, seed=1)
    (row,) = rows(sweep)
    assert (row.status, row.test_accuracy, row.best) == (status, None, False)


def test_status_of_a_running_and_a_waiting_job(sweep):
    write_run(sweep / "a", status="running", epochs=2, lr=0.1)
    write_plan(sweep, {"a": ["lr=0.1"], "b": ["lr=0.2"]})
    assert [row.status for row in rows(sweep)] == ["running 2/3", "waiting"]


def test_the_p_value_is_that_of_welchs_test(sweep):
    one, other = [0.90, 0.92, 0.93], [0.95, 0.97]
    for number, (lr, accuracy) in enumerate([(0.1, value) for value in one] + [(0.2, value) for value in other]):
        write_run(sweep / str(number), accuracy=accuracy, lr=lr, seed=number)
    first, best = rows(sweep)
    assert best.best and best.p_value is None
    assert first.p_value == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue)


def test_a_difference_below_noise_is_said_to_be_one(sweep):
    noise = {0: -0.02, 1: 0.0, 2: 0.02}
    write_grid(sweep, lambda lr, seed: {0.1: 0.9, 0.2: 0.91, 0.3: 0.5}[lr] + noise[seed], seeds=3, lr=[0.1, 0.2, 0.3])
    near, best, far = rows(sweep)
    assert near.note == f"not distinguishable from the best (p = {near.p_value:.2f}, n = 3)"
    assert best.best and (best.note, far.note) == ("", "")


def test_one_seed_or_no_spread_gives_no_p_value(sweep):
    write_run(sweep / "a", accuracy=0.9, lr=0.1)
    for seed in range(2):
        write_run(sweep / f"b{seed}", accuracy=0.8, lr=0.2, seed=seed)
        write_run(sweep / f"c{seed}", accuracy=0.95, lr=0.3, seed=seed)
    assert [(row.p_value, row.note) for row in rows(sweep)] == [(None, "")] * 3


def test_shares_of_a_balanced_grid_are_those_of_its_sums_of_squares(sweep):
    write_grid(
        sweep,
        lambda lr, batch, seed: 0.5 + {0.1: 0.2, 0.2: -0.2}[lr] + {32: 0.1, 64: -0.1}[batch] + 0.01 * (-1) ** seed,
        seeds=2, lr=[0.1, 0.2], batch=[32, 64],
    )  # fmt: skip
    total = 0.04 + 0.01 + 0.0001
    found = effects(sweep)
    assert found["lr"].share == pytest.approx(0.04 / total) and found["batch"].share == pytest.approx(0.01 / total)
    assert is_balanced(read_comparison(sweep))
    write_run(sweep / "x", status="failed", lr=0.3, batch=32)
    assert is_balanced(read_comparison(sweep))  # nobody finished with this lr: the others still compare


def test_the_p_value_of_a_single_key_is_that_of_a_one_way_anova(sweep):
    random = np.random.default_rng(0)
    samples = {lr: 0.9 + 0.01 * random.normal(size=4) for lr in (0.1, 0.2, 0.3)}
    write_grid(sweep, lambda lr, seed: float(samples[lr][seed]), seeds=4, lr=[0.1, 0.2, 0.3])
    assert effects(sweep)["lr"].p_value == pytest.approx(stats.f_oneway(*samples.values()).pvalue)


def test_holes_in_the_grid_do_not_give_a_key_the_effect_of_another(sweep):
    """Only lr matters; the runs with the good lr failed at batch 64, so that the mean of batch 64 is lower."""
    write_grid(
        sweep,
        lambda lr, batch, seed: "oom" if (lr, batch, seed) in {(0.1, 64, 0), (0.1, 64, 1)} else 0.8 + lr + 0.001 * seed,
        seeds=3, lr=[0.1, 0.05], batch=[32, 64],
    )  # fmt: skip
    found = effects(sweep)
    means = {level.value: level.accuracy.mean for level in found["batch"].levels}
    assert means[64] < means[32] - 0.01
    assert found["batch"].share is not None and found["batch"].share < 0.01
    assert found["lr"].share is not None and found["lr"].share > 0.7
    assert not is_balanced(read_comparison(sweep)) and found["lr"].runs == 10


def test_keys_that_go_together_have_no_share(sweep):
    for number, (lr, batch) in enumerate([(0.1, 32), (0.1, 32), (0.2, 64), (0.2, 64)]):
        write_run(sweep / str(number), accuracy=0.5 + 0.1 * number, lr=lr, batch=batch, seed=number)
    assert [effect.share for effect in effects(sweep).values()] == [None, None]


def test_one_run_per_level_has_no_share(sweep):
    write_grid(sweep, lambda lr, seed: lr, lr=[0.1, 0.2, 0.3])
    effect = effects(sweep)["lr"]
    assert (effect.share, effect.p_value) == (None, None)
    assert [level.accuracy for level in effect.levels] == [Estimate(lr, None, 1) for lr in (0.1, 0.2, 0.3)]


def test_a_sampled_range_is_no_factor(sweep):
    for number in range(60):
        write_run(
            sweep / f"{number:02}",
            accuracy=0.5 + 0.001 * (number % 7),
            lr=0.1 + number // 2,
            batch=32 * (1 + number % 2),
        )
    found = effects(sweep)
    assert found["lr"].share is None and found["batch"].share is not None


def test_levels_are_sorted_by_their_number(sweep):
    write_grid(sweep, lambda **_: 0.9, batch=[128, 32, 64, 1000], activation=["tanh", "relu"])
    found = effects(sweep)
    assert [level.value for level in found["batch"].levels] == [32, 64, 128, 1000]
    assert [level.value for level in found["activation"].levels] == ["tanh", "relu"]
    assert found["batch"].share is None  # nothing varies


def test_runs_without_a_key_are_no_level_of_it(sweep):
    for momentum in (0.5, 0.9):
        write_run(sweep / f"{momentum}", **{"optimizer.name": "momentum", "optimizer.momentum": momentum})
    write_run(sweep / "adam", **{"optimizer.name": "adam"})
    assert [level.value for level in effects(sweep)["optimizer.momentum"].levels] == [0.5, 0.9]


def test_a_level_without_a_finished_run_is_no_level(sweep):
    write_grid(sweep, lambda lr, seed: "failed" if lr == 0.3 else 0.9 + 0.01 * seed, seeds=2, lr=[0.1, 0.2, 0.3])
    assert [level.value for level in effects(sweep)["lr"].levels] == [0.1, 0.2]
    write_grid(sweep, lambda **_: "failed", seeds=2, lr=[0.1, 0.2, 0.3])
    assert effects(sweep) == {} and not any(row.best for row in rows(sweep))


def test_estimates_are_finite(sweep):
    write_grid(sweep, lambda lr, seed: 0.9 + 1e-12 * seed, seeds=3, lr=[0.1, 0.2])
    found = rows(sweep)
    assert len(found) == 2
    for row in found:
        assert row.test_accuracy and math.isfinite(row.test_accuracy.mean + (row.test_accuracy.sd or 0))
        assert row.best or (row.p_value is not None and 0 <= row.p_value <= 1)


def test_a_run_at_chance_is_marked_and_one_above_is_not(tmp_path):
    for name, accuracy in (("a", 0.6), ("b", 0.61)):
        run = write_run(tmp_path / name, accuracy, lr=accuracy)
        run.test["confusion_matrix"] = [[60, 0], [40, 0]]  # always the first class, which has 60 of 100
        run.write(tmp_path / name)
    write_run(tmp_path / "c", 0.1, lr=0.3)  # an old record without a confusion matrix
    write_run(tmp_path / "d", status="failed", lr=0.6, seed=1)
    rows = compare(read_comparison(tmp_path))
    ends = [
        "1 of 2 done (≤ chance), 1 failed: ValueError: batch 64 is | more than 100 % of _the_ images",
        "done",
        "done",
    ]
    assert [status_text(row) for row in rows] == ends
