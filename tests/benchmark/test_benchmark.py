"""Every section runs, with everything tiny, and measures what it says; no test looks at a time."""

import csv
from pathlib import Path

import pytest
import torch

from resnet_lightning.benchmark import inputs, plain
from resnet_lightning.benchmark.__main__ import main
from resnet_lightning.benchmark.ours import OurTraining
from resnet_lightning.benchmark.recommend import simplest_of_the_best
from resnet_lightning.benchmark.training import Variant, build_network, image_shape, training_flops, variants
from resnet_lightning.models.summary import multiply_accumulates


@pytest.fixture(autouse=True)
def one_thread(two_threads: None) -> None:
    torch.set_num_threads(1)


@pytest.fixture
def benchmark(tmp_path, data_root, monkeypatch):
    """``benchmark("only=input")`` -> the rows of ``benchmark.csv``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))

    def run(*arguments: str) -> list[dict[str, str]]:
        assert main(["quick=true", "threads=1", *arguments]) == 0
        folder = tmp_path / "outputs" / "benchmark"
        assert "these figures mean nothing" in (folder / "benchmark.md").read_text()
        with (folder / "benchmark.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return run


def cases(rows: list[dict[str, str]]) -> list[str]:
    assert all(float(row["minimum"]) <= float(row["median"]) <= float(row["maximum"]) for row in rows)
    return [row["case"] for row in rows]


def test_training_names_every_variant_and_its_share_of_the_peak(benchmark):
    rows = benchmark("only=training", "data=mnist", "accelerator=cpu", "batch=16")
    throughput = [row for row in rows if row["unit"] == "images/s"]
    assert [row["case"] for row in throughput] == [str(variant) for variant in variants("cpu", (False,))]
    assert all(row["note"].endswith("of the peak in this precision") for row in throughput)
    assert any(case.startswith("3x3 convolution") for case in cases(rows))


def test_plain_compares_with_ours_and_says_what_it_skipped(benchmark, capsys, data_root):
    assert cases(benchmark("only=plain", "accelerator=cpu")) == [
        "plain loop, 0 workers", "plain loop, 2 workers", "ours, precision=32", "ours, precision=auto",
    ]  # fmt: skip
    assert f"{data_root} has no CIFAR-10" in capsys.readouterr().out


def test_input_compares_every_library_that_is_here(benchmark):
    rows = benchmark("only=input", "accelerator=cpu", "batch=16", "augment=crop_flip")
    assert {"torchvision, PIL", "torchvision v2, tensors", "ours", "loader and augmentation"} <= set(cases(rows))


@pytest.mark.slow
def test_overhead_and_scaling(benchmark):
    rows = benchmark("only=overhead,scaling", "accelerator=cpu")
    groups = {row["group"] for row in rows}
    assert {"start of a run", "loading mnist", "batch"} <= groups
    step = {row["case"]: float(row["median"]) for row in rows if row["unit"] == "ms a step"}
    assert step["difference"] == pytest.approx(step["our Trainer set-up"] - step["bare loop"])
    assert all("peak memory" in row["note"] for row in rows if row["group"] == "batch")


def test_recommendation_is_a_command_that_can_be_run(benchmark, capsys):
    from resnet_lightning.cli import compose_all

    benchmark("recommend=true", "data=mnist", "accelerator=cpu")
    single, sweep = (line.split()[3:] for line in capsys.readouterr().out.splitlines() if line.startswith("python -m"))
    config = compose_all(single, multirun=False).jobs[0][1]
    assert config.model.widths == [4, 8, 8] and config.threads == 1 and config.batch in (32, 64)
    assert len(compose_all(sweep[1:], multirun=True).jobs) == 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("only=trainin", "Did you mean training?"),
        ("rounds=0", "rounds=0 is not possible"),
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


def test_plain_loop_learns_and_goes_on_after_an_epoch(settings):
    config = settings("model=resnet10", "model.widths=[4,8,8]", "data.image_size=32", "batch=16")
    data = torch.utils.data.Subset(plain.mnist(), range(128))
    image, label = data[0]
    assert image.shape == (1, 32, 32) and label == 5
    steps = plain.training_steps(build_network(config), data, config.batch, 0, torch.device("cpu"), lr=0.3)
    epochs = [[next(steps) for _ in range(8)][-1] for _ in range(8)]
    assert epochs[-1] < 0.9 * epochs[0]


def test_our_steps_are_those_of_the_run(settings, monkeypatch, data_root):
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))
    training = OurTraining(["model=resnet10", "model.widths=[4,8,8]", "batch=16", "accelerator=cpu"])
    before = [parameter.clone() for parameter in training.classifier.network.parameters()]
    assert training.step_seconds(2) > 0
    assert not all(map(torch.equal, before, training.classifier.network.parameters()))
    assert len(training.data.train_index) == 5 * 16 and not Path("lightning_logs").exists()


def test_training_counts_three_times_the_operations_of_the_forward_pass(settings):
    config = settings("model=resnet18", "data=cifar10")
    forward = 2 * multiply_accumulates(build_network(config), image_shape(config))
    first = 2 * 3 * 64 * 9 * 32 * 32  # the images need no gradient
    assert training_flops(build_network(config), image_shape(config)) == 3 * forward - first


@pytest.mark.parametrize("name", list(inputs.TOGGLES))
def test_libraries_are_asked_for_the_same_augmentation(name):
    """All give normalised batches whose mean and spread are alike: over many images of one bright colour on black."""
    augment = inputs.settings_of(inputs.TOGGLES[name])
    images = torch.zeros(256, 3, 16, 16, dtype=torch.uint8)
    images[:, 0, 2:-2, 2:-2] = 200
    cpu = torch.device("cpu")
    work = {"pil": inputs.pil(images, augment), "v2": inputs.tensors(images, augment)}
    work["ours"] = inputs.ours(images, augment, cpu)
    pytest.importorskip("kornia")
    work["kornia"] = inputs.kornia_batches(images, augment, cpu)
    batches = {name: torch.cat([step(), step()]) for name, step in work.items()}
    for batch in batches.values():
        assert batch.shape == (256, 3, 16, 16) and batch.dtype == torch.float32
    means = [float(batch.mean()) for batch in batches.values()]
    # ours turns the hue about the grey axis, the others keep the brightest channel: a pure red differs a little
    assert max(means) - min(means) < 0.25, dict(zip(batches, means, strict=True))


def test_a_simpler_setting_wins_unless_another_is_clearly_faster():
    simple, other = Variant("32", "channels_last", False), Variant("bf16", "channels_last", False)
    assert simplest_of_the_best({simple: 100.0, other: 104.0}) is simple
    assert simplest_of_the_best({simple: 100.0, other: 106.0}) is other
