"""Rows and columns of TensorBoard's table: seeds share a row, nothing else does."""

from resnet_lightning import hparams

CHOICES = {"model": "resnet18", "data": "mnist", "augment": "normalize"}


def test_seeds_share_a_group_and_other_settings_do_not(settings):
    def group(*arguments: str) -> str:
        return hparams.group_name(settings(*arguments))

    assert group("seed=0") == group("seed=1")
    assert group("name=a") == group("name=b", "threads=1")
    for other in ("augment.rotation=10", "model.widths=[8,8,8,8]", "data.train_limit=1000", "optimizer.momentum=0.5"):
        assert group() != group(other), other


def test_columns_have_plain_values_of_one_type(settings):
    overrides = ["data.train_limit=1000", "model.widths=[8,8,8,8]", "optimizer.momentum=0.5", "name=a", "threads=2"]
    config = settings(*overrides)
    columns = hparams.columns(config, CHOICES, overrides)
    assert columns["model"] == "resnet18" and columns["augment"] == "normalize" and columns["lr"] == 0.1
    assert columns["data.train_limit"] == 1000 and columns["optimizer.momentum"] == 0.5
    assert columns["model.widths"] == "[8, 8, 8, 8]"
    assert "name" not in columns and "threads" not in columns
    assert all(isinstance(value, (bool, int, float, str)) for value in columns.values())
    assert hparams.columns(settings("model.widths.0=16"), CHOICES, ["model.widths.0=16"])["model.widths.0"] == 16
    assert hparams.columns(settings(), CHOICES, ["data.train_limit=null"])["data.train_limit"] == "null"
