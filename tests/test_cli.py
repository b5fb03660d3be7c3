"""The command line as a user meets it: help, and one sentence for every mistake, before any work."""

import re
import shutil
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from resnet_lightning import config, help
from resnet_lightning.compose import compose_all
from resnet_lightning.config import ConfigError, conf_folder
from resnet_lightning.hydra_errors import unknown_key
from resnet_lightning.info import data_found
from resnet_lightning.settings import read_config

BAD = [
    ("lrr=0.1", "There is no setting lrr. Did you mean lr?"),
    ("augment.rotate=15", "Did you mean augment.rotation?"),
    ("optimizer.momentun=0.9", "Did you mean optimizer.momentum?"),
    ("scheduler.step_size=4", "scheduler.step_size is a setting of scheduler=step only"),
    ("+foo=1", "There is no setting foo"),
    ("lr", "settings are written key=value"),
    ("name=实验", "such a value needs quotes of its own, as in 'name=\"实验\"'"),
    ("data.root=~/images", "as in 'data.root=\"~/images\"'"),
    ("model.widths=[4,8", "settings are written key=value"),
    ("model.name=a/b", "model.name=a/b is not possible: it must be at most 100 characters"),
    ("optimizer.lr=-5 lr=0.1", "optimizer.lr=-5 has no effect, since lr=0.1 is used: set lr= instead."),
    ("=5", "settings are written key=value"),
    ("hydra/launcher=5", "must be a string"),
    ("lr=abc", "lr=abc is not possible: it must be a number"),
    ("lr=-1", "a number above 0"),
    ("lr=0", "a number above 0"),
    ("lr=nan", "a number above 0"),
    ("lr=inf", "a number above 0"),
    ("lr=0.1,0.2", "add --multirun"),
    ("batch=0", "batch=0 is not possible"),
    ("batch=1", "BatchNorm needs two images"),
    ("batch=60000", "at most the 55,000 training images"),
    ("batch=2.5", "a whole number"),
    ("epochs=0", "epochs=0 is not possible"),
    ("seed=-1", "from 0 to 4294967295"),
    ("activation=reluu", "Did you mean relu? Allowed: relu, leaky_relu"),
    ("model=resnet99", "Allowed: resnet10, resnet18, resnet20"),
    ("optimizer=adm", "Did you mean adam?"),
    ("data=minst", "Did you mean mnist?"),
    ("stem=_base", "stem=_base is unknown"),
    ("precision=8", "Allowed: auto, 32, bf16, 16"),
    ("accelerator=tpu", "Allowed: auto, cpu, gpu, cuda, mps"),
    ("devices=0", "a number of devices from 1"),
    ("devices=true", "a number of devices from 1"),
    ("devices=[0,0]", "a list of different device numbers"),
    ("devices=3", "cannot be divided evenly among 3 devices"),
    ("dropout=1", "from 0 to below 1"),
    ("name=a/b", "without /"),
    ("name=", "name= is not possible"),
    ("model.depths=[1,2]", "same number of stages"),
    ("model.depths=[a,b,c,d]", "a list of whole numbers"),
    ("model.block=plain", "Allowed: basic, bottleneck"),
    ("stem.kernel_size=4", "an odd number"),
    ("data.val_size=60000", "fewer than the 60,000 training images"),
    ("data.train_limit=56000", "at most the 55,000 images"),
    ("data.std=[0]", "above 0"),
    ("data.mean=null", "go together"),
    ("data.mean=[nan]", "a number for each channel"),
    ("data.mean=[]", "a number for each channel"),
    ("data=cifar10 data.mean=[0.1] data.std=[0.3]", "a number for each channel of the images: 3 of them"),
    ("optimizer=asgd optimizer.alpha=high", "optimizer.alpha=high is not possible: it must be a number"),
    ("batch=2 devices=2", "BatchNorm needs two"),
    ("stem.kernel_size=41 stem.padding=0", "at most 28, the size of the padded image"),
    ("scheduler.name=stp", "Did you mean step?"),
    ("+scheduler.foo=1", "scheduler.foo is not a setting of scheduler=cosine"),
    ("~scheduler.warmup", "scheduler.warmup is missing"),
    ("~batch", "~batch is not possible: every run needs batch. Give it a value"),
    ("~dropout=0", "every run needs dropout"),
    ("~model.depths", "every run needs model.depths"),
    ("augment.random_crop=100000", "at most data.image_size=28"),
    (f"name='{90 * '跑'}'", "at most 100 characters (200 bytes)"),
    ("dry_run=true", "add --multirun"),
    ("launcher.retries=-1", "a whole number from 0"),
    ("launcher.devices=7", "auto or a list"),
    ("optimizer.momentum=1.5", "from 0 to below 1"),
    ("scheduler.warmup=10", "from 0 to below epochs=10"),
    ("augment.horizontal_flip=2", "a probability"),
    ("compile=perhaps", "true or false"),
]


@pytest.mark.parametrize(("argument", "sentence"), BAD, ids=[argument for argument, _ in BAD])
def test_bad_setting_is_one_sentence(settings, argument, sentence):
    with pytest.raises(ConfigError) as caught:
        settings(*argument.split(" "))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_crops_are_refused(settings):
    with pytest.raises(ConfigError, match="both choose the crop"):
        settings("augment=crop_flip", "augment.random_resized_crop=0.5")


def test_every_job_of_a_grid_is_checked(data_root):
    assert len(compose_all(["lr=0.1,0.01", "batch=32,64"], multirun=True).jobs) == 4
    with pytest.raises(ConfigError, match="lr=-1"):
        compose_all(["batch=32,64", "lr=0.1,-1"], multirun=True)
    with pytest.raises(ConfigError, match="resnet99"):
        compose_all(["model=resnet10,resnet99"], multirun=True)


def test_jobs_of_a_grid_are_what_hydra_makes_of_each_alone():
    fixed = ["model.widths=[8,16,32,64]", "experiment=r1_lr_batch", "name='a b'", "batch=64"]
    asked = compose_all([*fixed, "model=resnet18,resnet34", "optimizer=adam,momentum", "lr=0.1,0.01"], multirun=True)
    assert len(asked.jobs) == 8
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        for overrides, found in asked.jobs:
            alone = compose("config", overrides)
            OmegaConf.resolve(alone)
            assert read_config(alone) == found


@pytest.mark.parametrize("argument", ["model=glob(resnet*)", "lr=interval(0.001,0.1)"])
def test_a_sweep_that_lists_no_values_is_refused(argument):
    with pytest.raises(ConfigError, match="a sweep lists its values"):
        compose_all([argument], multirun=True)


@pytest.mark.parametrize(
    ("argument", "reason"), [("seed=range(5,1)", "it has no values"), ("seed=range(0,5,0)", "must not be zero")]
)
def test_a_range_without_values_is_refused(argument, reason):
    with pytest.raises(ConfigError, match=rf"^seed=range\(.*\) is not possible: .*{reason}\.$"):
        compose_all([argument], multirun=True)


def test_a_list_of_runs_is_no_single_run():
    with pytest.raises(ConfigError, match=r"hydra.sweeper compares several runs: add --multirun, or set stem"):
        compose_all(["hydra.sweeper.rows=[{stem: cifar}, {stem: imagenet}]"], multirun=False)


def test_info_finds_files_and_no_empty_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LIGHTNING_DATA", str(tmp_path))
    (tmp_path / "FashionMNIST" / "raw").mkdir(parents=True)  # left by a download that failed
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").touch()
    assert data_found() == [f"mnist, cifar100 (data.root={tmp_path})", "not yet downloaded: fashion_mnist, cifar10"]


def test_seed_zero_is_a_seed(settings):
    assert settings("seed=0").seed == 0


def test_optimizer_brings_its_learning_rate_unless_told(settings):
    assert settings("optimizer=adam").lr == 0.001
    assert settings("optimizer=adam", "lr=0.5").lr == 0.5


@pytest.mark.parametrize("group", config.GROUPS)
def test_every_option_of_every_group_composes(settings, group):
    for option in help.options(group):
        settings(f"{group}={option}")


def test_bad_setting_ends_with_code_2_and_leaves_no_folder(command, tmp_path):
    result = command("lr=-1")
    assert result.returncode == 2
    assert result.stderr == "Error: lr=-1.0 is not possible: it must be a number above 0.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["accelerator=gpu", "devices=[7]"], "is not possible"),
        (["+optimizer.nonsense=1"], "optimizer.nonsense is not an option of SGD"),
        (["accelerator=cpu", "precision=16"], "use bf16, 32 or auto"),
        (["accelerator=cpu", "devices=[1]"], "a list names GPUs"),
        (["optimizer=nesterov", "optimizer.momentum=0"], "is not possible with these options"),
        (["--cfg", "job", "lrr=1"], "Did you mean lr?"),
        (["--multirun", "--cfg", "job", "lr=1,2"], "leave --multirun out"),
    ],
)
def test_what_the_machine_cannot_do_is_refused_before_a_folder_is_made(command, tmp_path, arguments, sentence):
    result = command(*arguments)
    assert result.returncode == 2 and sentence in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


WINDOWS = """
import multiprocessing.context, sys
from resnet_lightning.cli import run_command
del multiprocessing.context.ForkServerContext, multiprocessing.context.ForkServerProcess  # Windows has none
import resnet_lightning.benchmark.__main__, resnet_lightning.sweep.process
sys.platform = "win32"
sys.exit(run_command(["--multirun", "lr=0.1,0.2"]))
"""


def test_on_windows_a_sweep_is_refused_in_a_sentence(tmp_path):
    done = subprocess.run([sys.executable, "-c", WINDOWS], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Error: A sweep needs Linux, macOS or WSL")
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_key_with_its_default_and_meaning(command):
    result = command("--help")
    assert result.returncode == 0
    text = " ".join(result.stdout.split())
    for key in [*help.type_names(), *help.UNTYPED]:
        owner = key.split(".")[0]
        if key not in config.GROUPS and not key.endswith(".name") and owner not in ("optimizer", "scheduler"):
            assert re.search(rf"(^| ){re.escape(key)} ", text), key
    for group in config.GROUPS:
        assert ", ".join(help.options(group)) in text
    assert "CPUs with AMX or AVX512-BF16, else 32" in text


def test_every_flat_key_has_a_meaning():
    found = {entry.key: entry for entry in help.entries(config.conf_folder() / "config.yaml")}
    for key in [*help.type_names(), *help.UNTYPED, *(f"defaults.{group}" for group in config.GROUPS)]:
        if key.split(".")[0] not in config.GROUPS:
            assert found[key].meaning, key


def test_help_needs_no_torch(command):
    code = "import sys, resnet_lightning.cli as c; c.run_command(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_settings_of_a_command_can_be_printed(command):
    result = command("--cfg", "job", "--resolve", "lr=0.25")
    assert result.returncode == 0 and "lr: 0.25" in result.stdout


def test_help_may_be_read_in_part():
    command = [sys.executable, "-m", "resnet_lightning", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # as head does
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_model_file_of_ones_own_that_lacks_a_key_is_one_sentence():
    settings = OmegaConf.create({"model": {"name": "mine", "init": "???"}})
    with pytest.raises(ConfigError, match=r"model.init is missing: a file in conf/model begins with"):
        read_config(settings)


def test_a_model_file_of_ones_own_may_leave_keys_to_another(tmp_path, monkeypatch):
    files = shutil.copytree(conf_folder(), tmp_path / "conf")
    (files / "model" / "mine.yaml").write_text("defaults: [_base]\nname: mine\nwidths: [8, 8, 8, 8]\n")
    (files / "scheduler" / "mine.yaml").write_text("name: mine\n")
    (files / "optimizer" / "mine.yaml").write_text("name: mine\nalgorithm: SGD\nweight_decay: 0.0\n")
    for module in ("compose", "checks", "help"):
        monkeypatch.setattr(f"resnet_lightning.{module}.conf_folder", lambda: files)
    assert compose_all(["model=mine"], multirun=False).jobs[0][1].model.depths == [2, 2, 2, 2]
    for group, key in (("scheduler", "warmup"), ("optimizer", "lr")):
        with pytest.raises(ConfigError, match=f"{group}.{key} is missing"):
            compose_all([f"{group}=mine"], multirun=False)


def test_a_key_that_only_the_refused_file_has_is_nobodys():
    assert unknown_key("scheduler.rise") == "scheduler.rise is a setting of scheduler=onecycle only."
    assert unknown_key("scheduler.rise", "scheduler/onecycle").startswith("There is no setting scheduler.rise.")
