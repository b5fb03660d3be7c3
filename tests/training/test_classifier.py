"""The LightningModule in somebody else's Trainer, with somebody else's loaders."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from resnet_lightning import ImageClassifier, ImageDataModule, ResNet
from resnet_lightning.config import ConfigError
from resnet_lightning.data.loader import Loader
from resnet_lightning.training.averaging import Following
from resnet_lightning.training.classifier import Diverged

STEPS = 6


@pytest.fixture
def loader() -> DataLoader:
    images = torch.randn(STEPS * 8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, (images.mean(dim=(1, 2, 3)) > 0).long()), batch_size=8)


@pytest.fixture
def trainer():
    def make(**settings) -> Trainer:
        quiet = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "num_sanity_val_steps": 0,
        }
        return Trainer(**(quiet | {"accelerator": "cpu", "max_epochs": 1, "enable_model_summary": False} | settings))

    return make


def classifier(**settings) -> ImageClassifier:
    torch.manual_seed(0)
    network = ResNet.from_name("resnet10", num_classes=2, in_channels=1, image_size=8, widths=[4, 4, 4])
    return ImageClassifier(network, 2, lr=0.01, **settings)


def test_validation_alone_logs_its_metrics(loader, trainer):
    ours = classifier()
    (logged,) = trainer().validate(ours, loader, verbose=False)
    assert set(logged) == {"val/loss", "val/accuracy"} and ours.history == []
    with torch.no_grad():
        loss = F.cross_entropy(ours.eval()(loader.dataset.tensors[0]), loader.dataset.tensors[1])
    assert logged["val/loss"] == pytest.approx(float(loss), rel=1e-4)


def test_training_without_validation_images_has_a_history(loader, trainer):
    ours, plain = classifier(), trainer(max_epochs=2)
    plain.fit(ours, loader)
    assert [row["epoch"] for row in ours.history] == [1, 2]
    assert all(row["train"]["images"] == STEPS * 8 and row["val"] == {} for row in ours.history)
    assert float(plain.callback_metrics["train/loss"]) == pytest.approx(ours.history[-1]["train"]["loss"])
    assert "val/loss" not in plain.callback_metrics


class Rates(ImageClassifier):
    """Notes the learning rate of every step."""

    def on_train_batch_start(self, batch, batch_idx) -> None:
        self.rates = [*getattr(self, "rates", []), self.trainer.optimizers[0].param_groups[0]["lr"]]


@pytest.mark.parametrize(
    ("options", "accumulate"), [({"name": "step", "step_size": 1, "gamma": 0.5, "warmup": 0}, 1), ("cosine", 2)]
)
def test_schedule_of_a_training_that_ends_by_steps_is_that_of_its_epochs(loader, trainer, options, accumulate):
    def rates(**length) -> list[float]:
        ours = Rates(classifier().network, 2, lr=0.1, scheduler=options)
        trainer(accumulate_grad_batches=accumulate, **length).fit(ours, loader)
        return ours.rates

    by_epochs = rates(max_epochs=3)
    assert len(by_epochs) == 3 * STEPS and by_epochs[-1] < 0.03 < by_epochs[0] == 0.1
    assert rates(max_epochs=-1, max_steps=3 * STEPS // accumulate) == by_epochs


def test_average_moves_once_a_step_however_many_batches_it_takes(loader, trainer, monkeypatch):
    steps = []
    monkeypatch.setattr(Following, "step", lambda self, step: steps.append(step))
    trainer(accumulate_grad_batches=2).fit(classifier(ema=0.5), loader)
    assert steps == [1, 2, 3]


def test_losses_are_summed_in_float32_whatever_the_network_computes_in(trainer):
    images = torch.zeros(600 * 2, 1, 8, 8)
    loader = DataLoader(TensorDataset(images, torch.tensor([0, 1] * 600)), batch_size=2)
    ours = classifier()
    (logged,) = trainer(precision="bf16-true").validate(ours, loader, verbose=False)
    (first,) = trainer(precision="bf16-true", limit_val_batches=1).validate(ours, loader, verbose=False)
    assert logged["val/loss"] == pytest.approx(first["val/loss"], rel=0.01)  # every batch has the same loss


def test_several_validations_in_an_epoch_are_one_row_of_the_history(loader, trainer):
    ours = classifier()
    trainer(max_epochs=2, val_check_interval=0.5).fit(ours, loader, loader)
    assert [row["epoch"] for row in ours.history] == [1, 2]
    assert all(row["train"]["images"] == row["val"]["images"] == STEPS * 8 for row in ours.history)


@pytest.mark.parametrize("validated", [False, True])
def test_somebody_elses_checkpoint_inside_an_epoch_can_be_gone_on_from(loader, trainer, tmp_path, validated):
    options = {"max_epochs": 2, "val_check_interval": 0.5 if validated else 1.0}
    saving = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=STEPS + STEPS // 2 + 1, save_top_k=-1)
    trainer(**options, enable_checkpointing=True, callbacks=[saving]).fit(classifier(), loader, loader)
    ours, (path,) = classifier(), tmp_path.iterdir()
    trainer(**options).fit(ours, loader, loader, ckpt_path=path, weights_only=True)
    assert [row["epoch"] for row in ours.history] == [1, 2]


def test_an_epoch_without_a_validation_is_a_row_of_the_history(loader, trainer):
    ours = classifier()
    for again in range(2):  # a training that begins anew goes on with it
        trainer(max_epochs=3, check_val_every_n_epoch=2).fit(ours, loader, loader)
        assert [row["epoch"] for row in ours.history] == [1, 2, 3] * (again + 1)
    assert [bool(row["val"]) for row in ours.history[:3]] == [False, True, False]


def test_predictions_are_those_that_the_test_counts(loader, trainer):
    ours, plain = classifier(ema=0.5, tta="flip"), trainer()
    plain.fit(ours, loader)
    plain.test(ours, loader, verbose=False)
    found = torch.cat(plain.predict(ours, loader))
    share = (found.argmax(dim=1) == loader.dataset.tensors[1]).double().mean()
    assert float(share) == pytest.approx(ours.test_sums["accuracy"])
    assert torch.equal(found[:8], plain.predict(ours, DataLoader(loader.dataset.tensors[0], batch_size=8))[0])
    with torch.no_grad():
        assert not torch.allclose(found[:8], ours.eval()(loader.dataset.tensors[0][:8]))


@pytest.mark.parametrize(("seed", "same"), [(None, False), (3, True)])
def test_without_a_seed_the_order_of_somebody_elses_loader_is_theirs(loader, trainer, seed, same):
    def order(own: int) -> list[float]:
        seen = []
        ours, shuffled = classifier(seed=seed), DataLoader(loader.dataset, batch_size=8, shuffle=True)
        torch.manual_seed(own)
        first = LambdaCallback(on_train_batch_start=lambda *given: seen.append(float(given[2][0][0, 0, 0, 0])))
        trainer(callbacks=[first]).fit(ours, shuffled)
        return seen

    assert (order(1) == order(2)) is same


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optimizer": {"algorithm": "Adam", "lr": 1e-3}}, r"^optimizer\.weight_decay is missing\.$"),
        (
            {"optimizer": {"algorithm": "Adam", "lr": 1, "weight_decay": 0, "betas": [2, 3]}},
            "^optimizer=Adam is not poss",
        ),
        ({"scheduler": {"name": "cosine"}}, r"^scheduler\.warmup is missing\.$"),
        ({"scheduler": {"warmup": 1}}, r"^scheduler\.name is missing\.$"),
    ],
)
def test_what_a_dictionary_lacks_is_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ImageClassifier(classifier().network, 2, **options)


def test_what_is_given_need_not_be_in_the_dictionary(loader, trainer):
    ours = ImageClassifier(classifier().network, 2, {"algorithm": "Adam"}, lr=0.01, weight_decay=0.0)
    trainer().fit(ours, loader)
    assert ours.history


def test_nothing_holds_the_networks_where_they_were_trained(loader, trainer):
    ours = classifier(ema=0.5)
    trainer().fit(ours, loader)
    assert not hasattr(ours, "following")


def test_images_go_to_the_device_of_the_next_trainer(trainer, data_root, monkeypatch):
    data = ImageDataModule.from_name("mnist", batch=16, root=data_root)
    data.setup()
    devices = []
    for device in ("cpu", "meta", "cpu"):
        data.trainer = trainer()
        monkeypatch.setattr(type(data.trainer.strategy), "root_device", torch.device(device))
        loader = data.test_dataloader()
        assert isinstance(loader, Loader)
        devices.append(data.placed("test").images.device.type)
    assert devices == ["cpu", "meta", "cpu"] and len(data._placed) == 1


def test_a_loss_that_nobody_looked_at_ends_the_epoch(loader, trainer, monkeypatch):
    """On several devices no step looks at it; on one GPU every fiftieth."""
    monkeypatch.setattr(ImageClassifier, "looks_at", lambda *_: False)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    with pytest.raises(Diverged, match=r"The loss is (nan|inf) in epoch 1, lr 1e\+38"):
        trainer().fit(ImageClassifier(network, 2, "sgd", "constant", lr=1e38), loader, loader)


def test_a_loss_that_was_no_number_some_steps_ago_is_not_said_to_be_finite(loader, trainer, monkeypatch):
    monkeypatch.setattr(ImageClassifier, "looks_at", lambda self, step: step == 1)
    ours, losses = classifier(), iter([float("nan"), 0.5])
    real = F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda *parts, **more: 0 * real(*parts, **more) + next(losses))
    with pytest.raises(Diverged, match=r"was infinite or not a number before step 2 of epoch 1"):
        trainer().fit(ours, loader)
