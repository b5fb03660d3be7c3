"""The split: stratified, fixed by its own seed, never overlapping; and statistics that fit the images."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import nn

from resnet_lightning.checks import check_batch, held_out
from resnet_lightning.config import ConfigError, DataError
from resnet_lightning.data.augment import Augment
from resnet_lightning.data.datamodule import ImageDataModule, refuse_lost_classes, stratified
from resnet_lightning.result import RunResult
from resnet_lightning.run import prepare


@pytest.fixture
def module(settings):
    def make(*arguments: str) -> ImageDataModule:
        config = settings(*arguments)
        data = ImageDataModule(config.data, config.augment, config.batch, config.eval_batch, config.seed)
        data.prepare_data()
        data.setup()
        return data

    return make


def test_five_thousand_validation_images_with_the_shares_of_the_classes(module):
    data = module()
    assert (len(data.train_index), len(data.val_index), len(data.test_index)) == (55_000, 5_000, 10_000)
    assert not set(data.train_index.tolist()) & set(data.val_index.tolist())
    labels = data.data.train.labels
    share, of_the_split = (torch.bincount(part) / len(part) for part in (labels, labels[data.val_index]))
    assert float((share - of_the_split).abs().max()) < 2 / 5_000


def test_split_is_fixed_whatever_the_seed_of_the_run(module):
    assert torch.equal(module("seed=0").val_index, module("seed=1").val_index)
    assert not torch.equal(module("data.val_seed=0").val_index, module("data.val_seed=1").val_index)


def test_train_limit_is_stratified_and_leaves_validation_alone(module):
    data = module("data.train_limit=1000")
    assert len(data.train_index) == 1000
    counts = torch.bincount(data.data.train.labels[data.train_index])
    expected = torch.bincount(data.data.train.labels) / 60
    assert float((counts - expected).abs().max()) <= 1.5
    assert torch.equal(data.val_index, module().val_index)


def test_the_test_images_are_the_same_however_many_are_trained_on(module):
    limits = ((), ("data.train_limit=1000",), ("data.val_size=0",), ("data.val_size=0", "data.train_limit=500"))
    first, *others = [module("data.test_limit=1000", *limit).test_index.tolist() for limit in limits]
    assert len(set(first)) == 1000 and all(other == first for other in others)


class Linear(LightningModule):
    """Notes the images that arrive."""

    def __init__(self):
        super().__init__()
        self.layer, self.arrived = nn.Linear(28 * 28, 10), []

    def training_step(self, batch):
        self.arrived.append(batch.images)
        return nn.functional.cross_entropy(self.layer(batch.images.flatten(1)), batch.labels)

    def validation_step(self, batch):
        self.training_step(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_images_have_the_precision_of_somebody_elses_trainer(data_root):
    def arrived(precision: str) -> list[torch.Tensor]:
        switches = {"random_crop": 4, "rotation": 30, "random_erasing": 0.5}
        data = ImageDataModule.from_name("mnist", batch=512, augment=switches, root=data_root)
        module = Linear()
        trainer = Trainer(
            accelerator="cpu", precision=precision, max_epochs=1, limit_train_batches=2, limit_val_batches=1,
            num_sanity_val_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, data)
        return module.arrived

    expected = arrived("32-true")
    assert len(expected) == 3
    for precision, kind in (("bf16-true", torch.bfloat16), ("64-true", torch.float64), ("bf16-mixed", torch.float32)):
        for images, exact in zip(arrived(precision), expected, strict=True):
            assert images.dtype == kind and torch.equal(images, exact.to(kind)), precision


def test_no_more_images_are_held_out_than_there_are(settings):
    data = ImageDataModule(replace(settings().data, val_size=60_000), settings().augment, 64, 500, 0)
    with pytest.raises(
        ConfigError, match=r"data\.val_size=60000 is not possible: it must be fewer than the 60,000 training"
    ):
        data.setup()


def test_home_is_where_the_tilde_says(settings, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert settings('data.root="~/images"').data.root == "/home/somebody/images"
    assert replace(settings().data, root="a~/b").root == "a~/b"


def test_share_below_one_is_a_share(module):
    assert len(module("data.val_size=0.25").val_index) == 15_000


def test_without_validation_the_test_set_selects(module):
    data = module("data.val_size=0")
    assert data.selection == "test" and len(data.train_index) == 60_000
    assert module().selection == "validation"


@pytest.mark.parametrize(
    ("images", "eval_batch", "devices", "sizes"),
    [
        (1000, 500, 1, [500] * 2),
        (504, 500, 1, [252] * 2),
        (10, 4, 1, [4, 3, 3]),
        (9, 1, 1, [3, 2, 2, 2]),
        (2, 500, 1, [2]),
        (1000, 500, 2, [250] * 4),
        (10, 5, 2, [3, 3, 2, 2]),
        (9, 4, 8, [3, 2, 2, 2]),
    ],
)
def test_plain_training_images_come_in_batches_that_count_the_same(module, images, eval_batch, devices, sizes):
    data = module(f"data.train_limit={images}", f"eval_batch={eval_batch}", "batch=2")
    data.trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")), world_size=devices)
    assert [len(batch) for batch in data.plain_training_images(10_000)] == sizes


def test_scale_leaves_two_images_on_each_device(settings):
    few = ("data.train_limit=40", "batch=16")
    with pytest.raises(ConfigError, match=r"scale=0\.1 .* it leaves only 4; each of 8 devices needs two"):
        settings(*few, "devices=8", "scale=0.1")
    assert settings(*few, "devices=8", "scale=0.4").scale == 0.4
    known_later = settings(*few, "devices=auto", "scale=0.1")
    check_batch(known_later, 60_000, processes=2)
    with pytest.raises(ConfigError, match="each of 3 devices needs two"):
        check_batch(known_later, 60_000, processes=3)


def test_stratified_fills_up_to_the_exact_count():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    for count in range(11):
        chosen = stratified(labels, count, torch.Generator().manual_seed(0))
        assert len(chosen) == len(set(chosen.tolist())) == count


def test_a_class_whose_images_are_all_held_out_is_refused():
    labels, left = torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1])
    with pytest.raises(ConfigError, match=r"^data\.val_size=5 leaves no image of the class b and 1 more to train on"):
        refuse_lost_classes(labels, left, ["a", "b", "none", "d"], 5)
    refuse_lost_classes(labels, torch.tensor([0, 2, 3]), ["a", "b", "none", "d"], 5)


def test_a_share_holds_out_an_image_at_least():
    assert [held_out(0.1, total) for total in (3, 60_000)] == [1, 6000] and held_out(0, 3) == 0


def test_grey_images_need_no_numbers_for_colours(settings):
    config = settings("augment=report_color").augment
    grey, colour = (Augment(config, [0.5] * channels, [0.5] * channels) for channels in (1, 3))
    assert grey.draws < colour.draws and "saturation" not in grey.counts and "brightness" in grey.counts


def test_statistics_of_another_number_of_channels_are_refused(module):
    with pytest.raises(ConfigError, match="each channel of the images: 1 of them"):
        module("data.mean=[0.5,0.5,0.5]", "data.std=[0.2,0.2,0.2]")


def test_folder_takes_its_statistics_from_its_images(module, image_folder):
    data = module("data=folder", f"data.root={image_folder}", "data.image_size=16")
    assert data.statistics == (data.data.mean, data.data.std)
    assert len(data.val_index) == 8  # a tenth of 80


def test_images_of_one_class_are_not_trained_on(settings, tmp_path):
    """The folders of the classes lie one deeper. To evaluate a network on one class makes sense."""
    for split in ("train", "test"):
        (tmp_path / split / "images" / "cat").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / split / "images" / "cat" / f"{number}.png")
    small = ["data.image_size=8", "batch=2", "data.val_size=1"]
    with pytest.raises(DataError, match=r"has one class only, images: data=folder reads <data\.root>/train/<class>"):
        prepare(settings("data=folder", f"data.root={tmp_path}", *small), RunResult("running", [], {}, 0), processes=1)
