"""Optimizers get the right parameters; schedules have the right shape."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader, TensorDataset

from resnet_lightning.config import ConfigError
from resnet_lightning.help import options
from resnet_lightning.models.resnet import ResNet
from resnet_lightning.training.classifier import ImageClassifier
from resnet_lightning.training.optimizers import (
    ALGORITHMS,
    build_optimizer,
    build_scheduler,
    check_options,
    lr_factor,
)

STEPS = 10  # per epoch


@pytest.fixture
def network(settings):
    config = settings("model=resnet20", "model.widths=[4,4,4]")
    return ResNet(config.model, config.stem, 3, 10, config.activation)


@pytest.mark.parametrize("name", options("optimizer"))
def test_every_optimizer_lowers_the_loss(settings, network, name):
    config = settings(f"optimizer={name}")
    optimizer = build_optimizer(network, config.optimizer, config.lr, config.weight_decay)
    images, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 10
    losses = []
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_momentum_and_nesterov_are_what_they_are_called(settings, network):
    groups = {
        name: build_optimizer(network, settings(f"optimizer={name}").optimizer, 0.1, 0.0).param_groups[0]
        for name in ("sgd", "momentum", "nesterov")
    }
    assert [groups[name]["momentum"] for name in groups] == [0, 0.9, 0.9]
    assert [groups[name]["nesterov"] for name in groups] == [False, False, True]


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_fused_steps_are_the_ordinary_ones(settings, name):
    weights = []
    for fused in (True, False):
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 8)
        optimizer = build_optimizer(layer, settings(f"optimizer={name}").optimizer, 0.1, 0.01, fused)
        assert bool(optimizer.param_groups[0]["fused"]) == fused
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(4, 8)).square().sum().backward()
            optimizer.step()
        weights.append(layer.weight.detach())
    torch.testing.assert_close(*weights)


@pytest.fixture
def new_memory_is_nan():
    """torch fills it so, where it is asked to be deterministic."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_a_first_step_that_is_skipped_leaves_nothing_behind(settings, new_memory_is_nan, name):
    weights = []
    for fused in (True, False):
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 8)
        optimizer = build_optimizer(layer, settings(f"optimizer={name}").optimizer, 0.1, 0.01, fused)
        scaler = torch.amp.GradScaler("cpu")
        for factor in (float("inf"), 1.0, 1.0):
            optimizer.zero_grad()
            scaler.scale(factor * layer(torch.ones(4, 8)).square().sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        weights.append(layer.weight.detach())
    assert weights[0].isfinite().all()
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("more", [{}, {"fused": True}])
def test_dampening_is_that_of_the_ordinary_step(settings, more):
    options = {**settings("optimizer=momentum").optimizer, "dampening": 0.5, **more}
    layer = torch.nn.Linear(1, 1, bias=False)
    optimizer, before = build_optimizer(layer, options, 0.1, 0.0), layer.weight.item()
    layer.weight.grad = torch.ones(1, 1)
    optimizer.step()  # torch damps no first step
    assert layer.weight.item() == pytest.approx(before - 0.1)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped(settings, network, precision, tmp_path):
    trainer = Trainer(
        accelerator="cpu", precision=precision, gradient_clip_val=1e-3, max_steps=1, default_root_dir=tmp_path,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    before = torch.cat([p.detach().flatten() for p in network.parameters()])
    data = TensorDataset(torch.randn(16, 3, 16, 16), torch.arange(16) % 10)
    trainer.fit(ImageClassifier(network, 10, "sgd", "constant", lr=10.0, weight_decay=0.0), DataLoader(data, 16))
    change = torch.cat([p.detach().flatten() for p in network.parameters()]) - before
    assert change.norm().item() == pytest.approx(10 * 1e-3, rel=1e-3)


@pytest.mark.parametrize(("device", "precision", "fused"), [("mps", "16-mixed", False), ("mps", "32-true", True)])
def test_what_is_scaled_on_an_apple_gpu_is_unscaled(network, monkeypatch, device, precision, fused):
    """Torch's fused step leaves the gradients there as large as ``GradScaler`` has made them."""
    trainer = SimpleNamespace(gradient_clip_val=None, precision=precision, estimated_stepping_batches=9)
    monkeypatch.setattr(ImageClassifier, "trainer", trainer)
    monkeypatch.setattr(ImageClassifier, "device", torch.device(device))
    optimizer = ImageClassifier(network, 10, schedule_epochs=1).configure_optimizers()["optimizer"]
    assert bool(optimizer.defaults["fused"]) == fused
    assert all(weights.is_contiguous() for weights in network.parameters())  # and not channels last, see memory_format


@pytest.mark.parametrize("wrong", [{"tta": "Flip"}, {"ema": 1.0}, {"label_smoothing": -0.1}])
def test_impossible_values_from_python_are_one_sentence(network, wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{key}={value} is "):
        ImageClassifier(network, 10, **wrong)


def test_weight_decay_spares_biases_and_batchnorm(settings, network):
    optimizer = build_optimizer(network, settings().optimizer, 0.1, 0.01)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        is_weight = parameter.ndim > 1
        assert decay[id(parameter)] == (0.01 if is_weight else 0.0), name
    assert decay[id(network.fc.bias)] == decay[id(network.bn1.weight)] == 0.0


def test_unknown_option_is_refused(settings):
    with pytest.raises(ConfigError, match=r"optimizer\.momentun is not an option of SGD\. Did you mean momentum"):
        check_options({**settings().optimizer, "momentun": 0.9})


def factors(settings, epochs, *arguments):
    scheduler = settings(f"epochs={epochs}", *arguments).scheduler
    return [lr_factor(scheduler, step, STEPS, epochs) for step in range(epochs * STEPS)]


def torch_factors(epochs, make):
    """The same from a scheduler of torch stepped once an epoch or a step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, per_step = make(optimizer)
    values = []
    for step in range(epochs * STEPS):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if per_step or (step + 1) % STEPS == 0:
            scheduler.step()
    return values


@pytest.mark.parametrize(
    ("arguments", "make"),
    [
        (["scheduler=constant"], lambda o: (torch.optim.lr_scheduler.ConstantLR(o, 1.0), True)),
        (
            ["scheduler=step", "scheduler.step_size=2", "scheduler.gamma=0.5"],
            lambda o: (torch.optim.lr_scheduler.StepLR(o, 2, 0.5), False),
        ),
        (
            ["scheduler=multistep", "scheduler.milestones=[2,3]"],
            lambda o: (torch.optim.lr_scheduler.MultiStepLR(o, [2, 3], 0.1), False),
        ),
        (["scheduler=cosine"], lambda o: (torch.optim.lr_scheduler.CosineAnnealingLR(o, 5 * STEPS), True)),
    ],
    ids=["constant", "step", "multistep", "cosine"],
)
def test_schedule_is_torchs(settings, arguments, make):
    assert factors(settings, 5, *arguments) == pytest.approx(torch_factors(5, make))


def test_onecycle_rises_to_the_peak_and_falls_to_nothing(settings):
    values = factors(settings, 10, "scheduler=onecycle")
    peak = values.index(max(values))
    assert values[0] == pytest.approx(0.04) and max(values) == pytest.approx(1.0) and peak == 30
    assert values[: peak + 1] == sorted(values[: peak + 1]) and values[peak:] == sorted(values[peak:], reverse=True)
    assert values[-1] < 0.001


@pytest.mark.parametrize("name", options("scheduler"))
def test_warmup_rises_in_a_line_to_where_the_schedule_begins(settings, name):
    values, top = factors(settings, 6, f"scheduler={name}", "scheduler.warmup=2"), 0.04 if name == "onecycle" else 1.0
    assert values[:20] == pytest.approx([(step + 1) / 21 * top for step in range(20)])
    assert values[20] == pytest.approx(top)


@pytest.mark.parametrize("name", ["step", "multistep"])
def test_a_step_of_the_schedule_comes_at_its_epoch_however_long_that_is(settings, name):
    """33 steps of 1.1 an epoch are 30 epochs, of which floating point makes a little less."""
    stones = "scheduler.milestones=[30,60]" if name == "multistep" else "scheduler.step_size=30"
    options = settings(f"scheduler={name}", stones, "scheduler.gamma=0.5", "epochs=100").scheduler
    assert [lr_factor(options, step, 1.1, 100) for step in (32, 33, 65, 66)] == [1, 0.5, 0.5, 0.25]


def test_scheduler_moves_the_learning_rate_of_every_group(settings, network):
    optimizer = build_optimizer(network, settings().optimizer, 0.2, 0.01)
    scheduler = build_scheduler(optimizer, settings("scheduler=step", "scheduler.step_size=1").scheduler, 1, 3)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def stepped(device: str, options: dict, saved: dict | None = None) -> torch.optim.Optimizer:
    """After a step, of tensors that only say they are on a GPU where ``device`` is one."""
    layer = torch.nn.Linear(2, 2, device=device)
    optimizer = build_optimizer(layer, options, 0.1, 0.0)
    if saved is not None:
        optimizer.load_state_dict(saved)
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def test_asgd_does_not_wait_for_a_gpu(settings):
    """A step that asks for a value would be an error here: a fake tensor has none."""
    with FakeTensorMode():
        optimizer = stepped("cuda", settings("optimizer=asgd").optimizer)
    assert all(group["capturable"] for group in optimizer.param_groups)


def test_asgd_goes_on_where_the_checkpoint_was_not_made(settings):
    options = settings("optimizer=asgd").optimizer
    saved = stepped("cpu", options).state_dict()
    for group in saved["param_groups"]:
        group["capturable"] = True  # as a GPU writes it
    optimizer = stepped("cpu", options, saved)
    assert [float(state["step"]) for state in optimizer.state.values()] == [2.0, 2.0]


class Mine(torch.optim.SGD):
    def __init__(self, params, lr, weight_decay=0.0, nudge=1.0):
        super().__init__(params, lr=lr, weight_decay=weight_decay)


def test_an_optimizer_of_ones_own_needs_a_name_in_the_table(monkeypatch):
    options = {"name": "mine", "algorithm": "Mine", "lr": 0.3, "weight_decay": 0.0, "nudge": 2.0}
    network = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="algorithm=Mine is unknown"):
        ImageClassifier(network, 2, options)
    monkeypatch.setitem(ALGORITHMS, "Mine", Mine)
    assert ImageClassifier(network, 2, options).lr == 0.3
    assert isinstance(build_optimizer(network, options, 0.3, 0.0), Mine)
    with pytest.raises(ConfigError, match=r"optimizer.nugde is not an option of Mine. Did you mean nudge"):
        ImageClassifier(network, 2, options | {"nugde": 1})


def test_a_schedule_that_nothing_computes_is_refused():
    with pytest.raises(ConfigError, match=r"scheduler=onecylce is unknown. Did you mean onecycle"):
        ImageClassifier(torch.nn.Linear(2, 2), 2, scheduler={"name": "onecylce", "warmup": 0})


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_impossible_numbers_are_refused_from_python_too(key):
    with pytest.raises(ConfigError, match=f"{key}=-1.0 is not possible"):
        ImageClassifier(torch.nn.Linear(2, 2), 2, **{key: -1})
