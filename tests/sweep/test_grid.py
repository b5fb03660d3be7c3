"""Lists and grids of settings, from the command line and from experiment files."""

import pytest

from resnet_lightning.compose import compose_all
from resnet_lightning.config import ConfigError
from resnet_lightning.help import options
from resnet_lightning.overrides import parse
from resnet_lightning.sweep.grid import expand


def jobs(*arguments, params=None, rows=()):
    return expand(parse(arguments), params or {}, rows)


def test_a_grid_has_every_combination_the_last_key_fastest():
    assert jobs("lr=0.1,0.2", "batch=32,64") == [
        ["lr=0.1", "batch=32"], ["lr=0.1", "batch=64"], ["lr=0.2", "batch=32"], ["lr=0.2", "batch=64"],
    ]  # fmt: skip


def test_each_row_of_a_list_is_a_job_and_with_a_grid_a_grid():
    rows = [{"stem": "cifar", "model.widths": [4, 8]}, {"stem": "imagenet", "model.zero_init_residual": True}]
    assert jobs("seed=0,1", rows=rows) == [
        ["stem=cifar", "model.widths=[4,8]", "seed=0"], ["stem=cifar", "model.widths=[4,8]", "seed=1"],
        ["stem=imagenet", "model.zero_init_residual=True", "seed=0"],
        ["stem=imagenet", "model.zero_init_residual=True", "seed=1"],
    ]  # fmt: skip


def test_the_command_line_replaces_what_a_file_says():
    assert jobs("lr=1", params={"lr": "0.1,0.2", "batch": "32,64"}) == [["lr=1", "batch=32"], ["lr=1", "batch=64"]]
    assert jobs("epochs=1", rows=[{"epochs": 10}, {"epochs": 20}]) == [["epochs=1"], ["epochs=1"]]


def test_a_list_on_the_command_line_is_swept():
    asked = compose_all(["hydra.sweeper.rows=[{lr: 0.1, batch: 64}, {lr: 0.2}]", "seed=0,1"], multirun=True)
    found = [(config.lr, config.batch, config.seed) for _, config in asked.jobs]
    assert found == [(0.1, 64, 0), (0.1, 64, 1), (0.2, 128, 0), (0.2, 128, 1)]


def test_a_list_on_the_command_line_may_hold_lists_and_any_text():
    rows = "[{model.widths: [4,8,16,32]}, {model.widths: [8,8,8,8], data.root: 'cats (old), größe'}]"
    found = [config for _, config in compose_all([f"hydra.sweeper.rows={rows}"], multirun=True).jobs]
    assert [config.model.widths for config in found] == [[4, 8, 16, 32], [8, 8, 8, 8]]
    assert found[1].data.root == "cats (old), größe"


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes_and_selects_as_its_report_did(name):
    """The recipes of our own select on validation images."""
    asked = compose_all([f"experiment={name}"], multirun=True)
    of_a_report = not name.endswith("_fast")
    assert all((config.data.val_size == 0) == of_a_report for _, config in asked.jobs)
    assert all(bool(config.reference) == of_a_report for _, config in asked.jobs)
    assert asked.folder.name == name


COUNTS = {
    "r1_lr_batch": 27,
    "r3_adam": 5,
    "r2_variants": 3,
    "r3_activation_lr_batch": 5,
    "r4_batch_epochs": 5,
    "r5_optimizer": 7,
}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_an_experiment_has_the_rows_of_its_table(name, count):
    configs = [config for _, config in compose_all([f"experiment={name}"], multirun=True).jobs]
    assert len(configs) == count


def test_a_row_may_choose_a_group_and_change_its_keys():
    configs = [config for _, config in compose_all(["experiment=r5_optimizer"], multirun=True).jobs]
    assert [c.optimizer.get("momentum") for c in configs[1:3]] == [0.5, 0.9]
    stems = [config.stem for _, config in compose_all(["experiment=r2_variants"], multirun=True).jobs]
    assert [(s.kernel_size, s.max_pool, s.activation) for s in stems[:2]] == [
        (7, True, "leaky_relu"), (3, True, "leaky_relu"),
    ]  # fmt: skip


def test_scaled_down_sweeps_have_folders_of_their_own():
    asked = compose_all(["experiment=r1_lr_batch", "scale=0.1", "epochs_scale=0.5"], multirun=True)
    assert asked.folder.name == "r1_lr_batch_scale-0.1_epochs-0.5"
    asked = compose_all(["experiment=r1_lr_batch", "data.test_limit=1000"], multirun=True)
    assert asked.folder.name == "r1_lr_batch_test-1000"


@pytest.mark.parametrize(
    ("arguments", "multirun", "message"),
    [
        (["experiment=r1_lr_batch"], False, "compares several runs: add --multirun, or set model, lr, batch"),
        (["experiment=r1_lr_batch", "lr=0.1"], False, "add --multirun, or set model, batch to run one of them"),
        (["experiment=r1_lr_batch,r2_variants"], True, "a sweep can have only one experiment"),
        (["experiment=r1_lr_bach"], True, r"Did you mean r1_lr_batch\?"),
        (["scale=0.1,1"], True, "a sweep can have only one scale"),
        (["reference=nothing"], True, "reference=nothing is not a file"),
        (["scale=0.00001"], False, "scale=1e-05 is not possible"),
        (["batchnorm=reestimate"], False, r"Did you mean reestimated\?"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, multirun, message):
    with pytest.raises(ConfigError, match=message):
        compose_all(arguments, multirun)


def test_one_run_of_an_experiment_can_be_chosen():
    ((_, config),) = compose_all(
        ["experiment=r1_lr_batch", "model=resnet18", "lr=0.1", "batch=64"], multirun=False
    ).jobs
    assert (config.model.name, config.lr, config.epochs, config.data.image_size) == ("resnet18", 0.1, 1, 32)
