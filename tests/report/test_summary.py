"""The sentences: computed from the numbers, and no more than these carry."""

import re
import shutil
from pathlib import Path

from resnet_lightning.report.frame import read_comparison
from resnet_lightning.report.statistics import compare, main_effects
from resnet_lightning.report.summary import summarise
from tests.report.conftest import write_grid, write_plan, write_run


def sentences(folder: Path) -> str:
    comparison = read_comparison(folder)
    return "\n".join(summarise(comparison, compare(comparison), main_effects(comparison)))


def test_the_best_setting_with_its_numbers_and_what_they_are_of(sweep):
    write_grid(sweep, lambda lr, seed: 0.9 + lr + 0.01 * seed, seeds=3, lr=[0.01, 0.05])
    assert (
        "Best of 2 settings by validation accuracy is lr=0.05: validation accuracy 95.00 ± 1.00 % (n = 3) on 6,000 "
        "validation images, test accuracy 96.00 ± 1.00 % (n = 3) on 10,000 test images." in sentences(sweep)
    )
    assert "each differs from the best (Welch's t-test on validation accuracy" in sentences(sweep)


def test_the_effect_of_each_key(sweep):
    write_grid(sweep, lambda lr, batch, seed: 0.5 + lr + 0.01 * seed, seeds=2, lr=[0.1, 0.3], batch=[32, 64])
    text = sentences(sweep)
    assert re.search(r"lr explains 100 % of the .*\(p < 0.001\): mean 60.50 % at 0.1 \(n = 4\), 80.50 % at 0.3", text)
    assert re.search(r"batch explains less than 1 % .* not distinguishable from noise \(p = 1.00\)", text)
    assert "8 finished runs; interactions and noise account for less than 1 %." in text and "holes" not in text


def test_one_seed_carries_no_claim(sweep):
    write_grid(sweep, lambda lr, seed: 0.9 + lr, lr=[0.01, 0.02, 0.03])
    text = sentences(sweep)
    assert "Every setting has one finished run: nothing tells a difference from the noise between seeds." in text
    assert "standard error of 0.26 percentage points (binomial, n = 10,000)" in text  # sqrt(0.93 * 0.07 / 10,000)
    assert "explains" not in text and "cannot be told from these runs" in text


def test_settings_within_noise_are_named(sweep):
    noise = {0: -0.02, 1: 0.0, 2: 0.02}
    write_grid(sweep, lambda lr, seed: {0.1: 0.9, 0.2: 0.91, 0.3: 0.5}[lr] + noise[seed], seeds=3, lr=[0.1, 0.2, 0.3])
    assert (
        "Of the 2 other settings with two or more finished runs, 1 cannot be told from the best: lr=0.1"
        in sentences(sweep)
    )


def test_selected_on_test_is_said(sweep):
    for number in range(2):
        write_run(sweep / str(number), accuracy=0.9 + 0.01 * number, lr=0.1 * number, selection="test")
    assert "by test accuracy is lr=0.1, with a test accuracy of 91.00 % (n = 1) on 10,000 test images" in sentences(
        sweep
    )
    assert "it is selected on test (no validation images were held out), so that it is too good" in sentences(sweep)
    write_run(sweep / "held out", accuracy=0.8, lr=0.5)
    assert "(2 of 3 runs held no validation images out, which favours them)" in sentences(sweep)


def test_failures_are_counted_with_their_reasons(sweep):
    write_grid(sweep, lambda lr, seed: {0.1: 0.9, 0.2: "oom", 0.3: "failed"}[lr], seeds=2, lr=[0.1, 0.2, 0.3])
    write_plan(sweep, {"new": ["lr=0.4"]})
    text = sentences(sweep)
    assert "4 of 7 runs did not finish: 2 out of memory (OutOfMemoryError: CUDA out of memory." in text
    assert "2 failed (ValueError: batch 64" in text and "1 of 7 runs waiting." in text
    assert "holes" not in text  # there is but one key


def test_holes_in_a_grid_are_said(sweep):
    write_grid(sweep, lambda lr, batch, seed: "oom" if (lr, batch) == (0.1, 64) else 0.9, lr=[0.1, 0.2], batch=[32, 64])
    assert "The grid has holes: the means above are over different combinations" in sentences(sweep)


def test_a_single_key_has_no_other_settings_to_average_over(sweep):
    write_grid(sweep, lambda lr, seed: "oom" if (lr, seed) == (0.1, 1) else 0.9, seeds=2, lr=[0.1, 0.2])
    assert "holes" not in sentences(sweep)


def test_all_failed(sweep):
    write_grid(sweep, lambda **_: "failed", lr=[0.1, 0.2])
    text = sentences(sweep)
    assert (
        text.startswith("No run has finished: there is") and "Best" not in text and "2 of 2 runs did not finish" in text
    )


def test_different_samples_of_the_test_images_are_said(sweep):
    for seed, sample in enumerate(("1111", "1111", None)):
        result = write_run(sweep / str(seed), seed=seed, **{"data.name": "mnist", "data.test_limit": 100})
        result.data["test_sample"] = sample
        result.write(sweep / str(seed))
    assert "different samples of the test images" in sentences(sweep)
    shutil.rmtree(sweep / "2")
    assert "different samples" not in sentences(sweep)


def test_other_validation_images_are_said(sweep):
    for seed in range(2):
        write_run(sweep / str(seed), **{"data.name": "mnist", "data.val_seed": seed})
    assert "selected on different validation images (data.val_seed)" in sentences(sweep)
    for seed in range(2):
        write_run(sweep / str(seed), selection="test", **{"data.name": "mnist", "data.val_seed": seed})
    assert "different validation images" not in sentences(sweep)


def test_the_best_of_which_seeds_failed_says_so(sweep):
    write_grid(sweep, lambda lr, seed: "diverged" if (lr, seed) == (1, 2) else 0.8 + lr / 10, seeds=3, lr=[0.1, 1])
    assert "is lr=1 (2 of 3 done, 1 diverged): validation accuracy 89.00" in sentences(sweep)


def test_no_error_on_few_images_is_no_certainty(sweep):
    write_run(sweep / "a", accuracy=1.0, test={"accuracy": 1.0, "images": 100})
    assert "its test accuracy an error of up to 3.00 percentage points (95 %, rule of three, n = 100)" in sentences(
        sweep
    )


def test_accuracies_on_different_data_are_no_ranking(sweep):
    write_run(sweep / "a", data="mnist", overrides=["data=mnist"])
    write_run(sweep / "b", data="cifar10", overrides=["data=cifar10"])
    assert "The runs have different data sets" in sentences(sweep)
    shutil.rmtree(sweep / "a")
    assert "different data" not in sentences(sweep)
    for root in ("cats", "dogs"):
        write_run(sweep / root, **{"data.name": "folder", "data.root": root}, data="folder")
    shutil.rmtree(sweep / "b")
    assert "The runs have different data sets" in sentences(sweep)
