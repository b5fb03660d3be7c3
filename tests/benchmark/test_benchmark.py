"""Every section runs, with everything tiny, and measures what it says; no test looks at a time."""

import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from resnet_lightning import hardware
from resnet_lightning.benchmark import against_plain, inputs, launcher, ours, overhead, plain, scaling, training
from resnet_lightning.benchmark.__main__ import STANDARD, TINY, main, parse
from resnet_lightning.benchmark.ours import WARM_UP, OurTraining, compose
from resnet_lightning.benchmark.overhead import ALONE, BARE
from resnet_lightning.benchmark.overhead import OURS as TRAINER
from resnet_lightning.benchmark.rounds import Effort
from resnet_lightning.benchmark.timing import command_seconds
from resnet_lightning.benchmark.training import build_network, image_shape, training_flops, variants
from resnet_lightning.benchmark.write import times
from resnet_lightning.build import build_trainer
from resnet_lightning.models.convolutions import Conv3x3
from resnet_lightning.models.summary import multiply_accumulates
from resnet_lightning.result import RunResult
from resnet_lightning.training.console import Console
from resnet_lightning.training.interrupt import StopOnSignal

QUICK = Effort(1, 0.01, quick=True)
CASE, OURS, AUTO = next(iter(against_plain.CASES)), "ours, precision=32", "ours, precision=auto"
PLAIN = ["plain loop, 0 workers", "plain loop, 2 workers"]


def cases(rows: list[dict[str, str]]) -> list[str]:
    assert all(float(row["minimum"]) <= float(row["median"]) <= float(row["maximum"]) for row in rows)
    return [row["case"] for row in rows]


def test_training_names_every_variant_and_its_share_of_the_peak(benchmark):
    rows = benchmark("only=training", "data=mnist", "accelerator=cpu", "batch=16")
    throughput = [row for row in rows if row["unit"] == "images/s"]
    assert [row["case"] for row in throughput] == [str(variant) for variant in variants("cpu", (False,))]
    shares = [row for row in rows if row["unit"] == "%"]
    assert [row["case"] for row in shares] == [row["case"] for row in throughput]
    assert all(row["group"].endswith("share of the peak in that precision") for row in shares)
    assert any(case.startswith("3x3 convolution") for case in cases(rows))


def test_plain_compares_with_ours_and_says_what_it_skipped(benchmark, capsys, data_root):
    assert cases(benchmark("only=plain", "accelerator=cpu")) == [*PLAIN, *against_plain.our_cases("cpu", False)]
    assert f"CIFAR-10 is missing or damaged in {data_root}" in capsys.readouterr().out


def test_the_plain_loop_has_torchs_convolutions(monkeypatch):
    monkeypatch.setattr(Conv3x3, "faster", True)
    config = compose(["model=resnet10", "data=mnist"])
    network = against_plain.plain_network(config)
    assert not any(module.faster for module in network.modules() if isinstance(module, Conv3x3))
    images, ours = torch.randn(2, 1, 28, 28), build_network(config)
    torch.testing.assert_close(network.eval()(images), ours.eval()(images))


@pytest.mark.parametrize(("bf16", "auto"), [(True, [f"{AUTO} (bf16)"]), (False, [])])
def test_auto_is_measured_where_it_is_something_else(bf16, auto, monkeypatch):
    monkeypatch.setattr(hardware, "computes_in_bf16", lambda *_: bf16)
    assert list(against_plain.our_cases("cpu", False)) == [OURS, *auto]
    fastest = f"{AUTO} compile=true (bf16)" if bf16 else f"{OURS} compile=true"
    assert list(against_plain.our_cases("cpu", True)) == [OURS, *auto, fastest]


def test_input_compares_every_library_that_is_here(benchmark):
    rows = benchmark("only=input", "accelerator=cpu", "batch=16", "augment=crop_flip")
    assert {"torchvision, PIL", "torchvision v2, tensors", "ours", "loader and augmentation"} <= set(cases(rows))
    shares = [row["group"] for row in rows if row["case"] == "loader and augmentation"]
    assert shares == ["data path of resnet10-w4.8.8, batch 16", f"data path of {CASE}"]


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


def test_memory_that_grows_in_proportion_is_a_flat_figure():
    peaks = {"32": 600.0, "64": 632.0, "256": 824.0}
    found = scaling.memory_rows("batch", "KiB an image", peaks, {"32": 32, "64": 64, "256": 256})
    assert [(row.case, row.median, row.ratio, row.note) for row in found] == [
        ("64", 1024, 1, "peak memory 632 MiB"),
        ("256", 1024, 1, "peak memory 824 MiB"),
    ]
    assert "beyond that of 32 (600 MiB)" in found[0].group
    assert not scaling.memory_rows("batch", "KiB an image", {}, {"32": 32})


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("only=trainin", "Did you mean training?"),
        ("rounds=2.5", "rounds=2.5 is not possible: it must be a whole number from 1."),
        ("devices=[1]", "devices=[1] is not possible: one device is measured"),
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


def test_plain_loop_learns_and_goes_on_after_an_epoch(settings):
    config = settings("model=resnet10", "model.widths=[4,8,8]", "data.image_size=32", "batch=16")
    data = torch.utils.data.Subset(plain.mnist(), range(128))
    image, label = data[0]
    assert image.shape == (1, 32, 32) and label == 5
    steps = plain.training_steps(build_network(config), data, config.batch, 0, torch.device("cpu"), lr=0.3)
    epochs = [[next(steps) for _ in range(8)][-1] for _ in range(8)]
    assert epochs[-1] < 0.9 * epochs[0]


@pytest.fixture
def our_training(monkeypatch, data_root):
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(data_root))
    return OurTraining(["model=resnet10", "model.widths=[4,8,8]", "batch=16", "accelerator=cpu"])


def test_our_steps_are_those_of_the_run(our_training, monkeypatch):
    trainers = []
    monkeypatch.setattr(ours, "build_trainer", lambda *parts: trainers.append(build_trainer(*parts)) or trainers[-1])
    before = [parameter.clone() for parameter in our_training.classifier.network.parameters()]
    assert our_training.step_seconds(2) > 0
    assert not all(map(torch.equal, before, our_training.classifier.network.parameters()))
    assert len(our_training.data.train_index) == 5 * 16 and not Path("lightning_logs").exists()
    assert all(any(isinstance(c, kind) for c in trainers[0].callbacks) for kind in (StopOnSignal, Console))


def test_an_interrupt_during_our_steps_interrupts_the_benchmark(our_training, monkeypatch):
    monkeypatch.setattr(ours.StepClock, "on_train_batch_end", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        our_training.step_seconds(2)


def test_training_counts_three_times_the_operations_of_the_forward_pass(settings):
    config = settings("model=resnet18", "data=cifar10")
    forward = 2 * multiply_accumulates(build_network(config), image_shape(config))
    first = 2 * 3 * 64 * 9 * 32 * 32  # the images need no gradient
    assert training_flops(build_network(config), image_shape(config)) == 3 * forward - first


@pytest.mark.parametrize("name", list(inputs.TOGGLES))
def test_libraries_are_asked_for_the_same_augmentation(name):
    """All give normalised batches that are alike over many images of one bright colour on black, left of the middle."""
    torch.manual_seed(0)
    augment = inputs.settings_of(inputs.TOGGLES[name])
    images = torch.zeros(256, 3, 16, 16, dtype=torch.uint8)
    images[:, 0, 2:-2, 1:-5] = 200
    cpu = torch.device("cpu")
    work = {"pil": inputs.pil(images, augment), "v2": inputs.tensors(images, augment)}
    work["ours"] = inputs.our_batches(images, augment, cpu)
    if find_spec("kornia"):
        work["kornia"] = inputs.kornia_batches(images, augment, cpu)
    batches = {name: torch.cat([step(), step()]) for name, step in work.items()}
    for batch in batches.values():
        assert batch.shape == (256, 3, 16, 16) and batch.dtype == torch.float32
    # ours turns the hue about the grey axis, the others keep the brightest channel: a pure red differs a little
    allowed = 0.25 if augment.color_jitter.hue else 0.035
    for statistic in (torch.mean, torch.std):
        found = {name: float(statistic(batch)) for name, batch in batches.items()}
        assert max(found.values()) - min(found.values()) < allowed, found
    # by how much the left half is brighter: 0.4, with mirror images 0 but for chance
    found = {name: float(batch[..., :8].mean() - batch[..., 8:].mean()) for name, batch in batches.items()}
    assert max(found.values()) - min(found.values()) < 0.2, found


def test_only_whole_batches_are_counted():
    assert [len(part) for part in inputs.shuffled(300)] == [128, 128]


def test_a_place_that_hydra_would_not_read_is_quoted(settings, monkeypatch, tmp_path):
    """The commands that are measured have the absolute place of the data, whatever its name is."""
    calls = []
    monkeypatch.setattr(launcher, "command_seconds", lambda *call: calls.append(call[0]) or 1.0)
    monkeypatch.setattr(launcher, "interleave", lambda *_: {})
    odd = tmp_path / "müller, (a)=1"
    config = settings()
    config.data.root = str(odd)
    launcher.measure_launcher(config, [], Effort(rounds=1))
    assert compose([argument for argument in calls[0] if argument.startswith("data.root=")]).data.root == str(odd)


def test_a_small_share_is_no_zero():
    assert [times(ratio) for ratio in (12.345, 0.5, 0.00039)] == ["12.35", "0.50", "0.00039"]


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


def test_scaling_uses_the_accelerator_that_was_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(scaling, "compose", lambda arguments: asked.append(arguments) or compose(arguments))
    monkeypatch.setattr(scaling, "peaks_of", lambda group, makers, *_: [make() for make in makers.values()] and {})
    found, missing = scaling.measure_scaling(["accelerator=cpu"], QUICK)
    assert len(found) == 4 and not missing
    assert all("accelerator=cpu" in arguments for arguments in asked)


def test_the_stem_is_the_same_for_every_image_size():
    stems = [compose(settings).stem for settings in scaling.STEPS["image size"][1].values()]
    assert all(stem == stems[0] for stem in stems)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_turn_of_the_plain_loop_has_workers_of_its_own(workers, settings, monkeypatch):
    turns = []

    def training_steps(*_):
        turns.append([])
        try:
            while True:
                turns[-1].append("step")
                yield 0.0
        finally:
            turns[-1].append("closed")

    monkeypatch.setattr(plain, "training_steps", training_steps)
    way = against_plain.plain_way(settings("model=resnet10"), workers, Effort(1, 1e-9))
    assert way() > 0 and way() > 0
    untimed = WARM_UP + 2 * workers
    assert turns == [["step"] * (untimed + count) + ["closed"] for count in (3, 4, 4)]


def test_a_step_has_the_optimizer_of_the_settings(settings, monkeypatch):
    made = []
    build = training.build_optimizer
    monkeypatch.setattr(training, "build_optimizer", lambda *options: made.append(build(*options)) or made[-1])
    config = settings("model=resnet10", "model.widths=[4,8,8]", "optimizer=adam", "weight_decay=0.1", "batch=4")
    training.variant_step(config, training.Variant("32", "contiguous", False), torch.device("cpu"))()
    assert isinstance(made[0], torch.optim.Adam) and made[0].param_groups[0]["weight_decay"] == 0.1
    assert len(made[0].state) > 0


def test_compiled_ways_keep_their_shapes(settings):
    from torch._dynamo import config as dynamo

    config = settings("model=resnet10", "model.widths=[4,8,8]", "batch=4")
    with dynamo.patch(automatic_dynamic_shapes=True, recompile_limit=8):  # monkeypatch would leave it without them
        training.variant_step(config, training.Variant("32", "contiguous", True), torch.device("cpu"))  # only prepares
        assert not dynamo.automatic_dynamic_shapes and dynamo.recompile_limit == 64


@pytest.mark.parametrize(("gpus", "device"), [(["3", "4"], "3"), ([], None)])
def test_launchers_are_compared_on_one_device(gpus, device, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(launcher, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(launcher, "command_seconds", lambda *call: calls.append(call) or 1.0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert launcher.Sweeps(tmp_path, ["threads=1"], 3).basic() == 1.0
    ((arguments, _, environment),) = calls
    assert environment.get("CUDA_VISIBLE_DEVICES") == device and {"seed=0,1,2", "threads=1"} <= set(arguments)


def test_launchers_take_turns_and_only_the_records_of_ours_count(settings, monkeypatch):
    ways = []

    def command_seconds(arguments, place, environment):
        if "--multirun" in arguments:
            jobs = next(argument for argument in arguments if argument.startswith("seed=")).count(",") + 1
            ways.append("basic" if "hydra/launcher=basic" in arguments else f"ours, {jobs}")
            for seed in range(jobs):
                seconds = 1.0 if ways[-1] == "basic" else 2.0
                record = RunResult("done", [], {}, seed, seconds=seconds, startup_seconds=0.5 + (seed == 0))
                folder = place / "multirun" / "sweep" / str(seed)
                folder.mkdir(parents=True)
                record.write(folder)
            return 10.0 if jobs == 4 else 3.5
        return 10.0

    monkeypatch.setattr(launcher, "command_seconds", command_seconds)
    rows, missing = launcher.measure_launcher(settings(), [], Effort())
    once = ["ours, 4", "ours, 1", "basic"]
    assert ways == [*once, *once[::-1], *once] and not missing
    assert all(row.minimum == row.median == row.maximum and row.rounds == 3 for row in rows)
    assert {row.case: row.median for row in rows} == {
        "our launcher": 10,
        "Hydra's basic launcher": 10,
        "single commands": 40,
        "the first job": 1.5,
        "later jobs (median)": 0.5,
        "4 jobs": 2,  # with one job it is 1.5
        "for each job": pytest.approx(0.5 / 3),
        "once": pytest.approx(1.5 - 0.5 / 3),
    }


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="epochs=0 is not possible"):
        command_seconds(["epochs=0"], tmp_path)


def test_large_images_are_fewer():
    assert inputs.noise((3, 32, 32), 128).shape == (4096, 3, 32, 32)
    assert inputs.noise((3, 512, 512), 128).shape == (341, 3, 512, 512)
    assert len(inputs.noise((3, 1024, 1024), 2)) == 85


def test_data_are_loaded_where_they_are_if_they_are_whole(settings, tmp_path, monkeypatch):
    """A half-unpacked archive would be fetched and unpacked once more."""
    half, caches = tmp_path / "cifar-10-batches-py", []
    half.mkdir()
    (half / "data_batch_1").write_bytes(b"half of it")
    monkeypatch.setattr(overhead, "measure_step", lambda *_: [])
    monkeypatch.setattr(overhead, "measure_start", lambda *_: [])
    monkeypatch.setattr(overhead.cache, "load", lambda data: caches.append(Path(data.root)))
    rows, missing = overhead.measure_overhead(settings(f"data.root={tmp_path}"), [], Effort(rounds=1))
    assert {row.group for row in rows} == {"loading mnist"} and {folder.parent for folder in caches} == {tmp_path}
    assert f"Loading cifar10: skipped. {half}/data_batch_1 is missing or damaged." in missing and len(missing) == 3
    assert [path.name for path in tmp_path.rglob("*")] == [half.name, "data_batch_1"]


def test_image_size_and_depth_say_what_an_image_takes(monkeypatch):
    monkeypatch.setattr(scaling, "compare", lambda *_: {"16": [1000.0], "32": [250.0]})
    monkeypatch.setattr(scaling, "peaks_of", lambda *_: {"16": 300.0, "32": 512.0})
    small, large, memory = scaling.measure_steps("image size", ["accelerator=cpu"], QUICK, [])
    assert (small.note, large.note) == ("1,000 us an image", "4,000 us an image")
    assert small.unit == "ns a MFLOP" and large.median == pytest.approx(small.median, rel=0.05)
    assert (memory.case, memory.unit, memory.note) == ("32", "KiB a MFLOP", "peak memory 512 MiB")
