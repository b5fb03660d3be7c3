"""Names of folders, and what of the command line is the sweep's and not its jobs'."""

import shutil

import pytest
from PIL import Image

from resnet_lightning.compose import compose_all
from resnet_lightning.config import ADDED, ConfigError, config_hash, differing_keys, plain_settings
from resnet_lightning.data import cache
from resnet_lightning.overrides import parse
from resnet_lightning.report.frame import read_comparison, read_plan
from resnet_lightning.result import RunResult
from resnet_lightning.resume import with_resumed
from resnet_lightning.sweep.plan import plan_jobs, refuse_other_images, single_run, write_plan


def test_launcher_and_name_are_no_part_of_a_job(settings, tmp_path):
    own = ["lr=0.2", "batch=64"]
    of_the_sweep = ["name=s", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "launcher.retries=1"]
    (job,) = plan_jobs(tmp_path, [([*of_the_sweep, *own], settings(*own))])
    assert job.overrides == own and job.name.startswith("lr-0.2_batch-64_")


def test_a_waiting_job_and_a_finished_one_agree_on_a_list(settings, tmp_path):
    arguments = [["model=resnet10", "model.widths=[4,4,4]", f"lr={lr}"] for lr in (0.1, 0.2)]
    jobs = plan_jobs(tmp_path, [(overrides, settings(*overrides)) for overrides in arguments])
    write_plan(tmp_path, "python -m resnet_lightning --multirun lr=0.1,0.2", jobs)
    (tmp_path / jobs[0].name).mkdir()
    config = {"model": {"widths": [4, 4, 4]}, "lr": 0.1}
    RunResult("done", jobs[0].overrides, config, 0, choices={"model": "resnet10"}).write(tmp_path / jobs[0].name)
    assert read_comparison(tmp_path).columns == ["lr"]


def test_a_part_of_a_sweep_finds_the_jobs_that_the_whole_one_planned(settings, tmp_path):
    def plan(models):
        grid = [[f"model={model}", f"lr={lr}"] for model in models for lr in (0.1, 0.2)]
        jobs = plan_jobs(tmp_path, [(overrides, settings(*overrides)) for overrides in grid])
        write_plan(tmp_path, "python -m resnet_lightning --multirun", jobs)
        return [job.name for job in jobs]

    whole = plan(["resnet18", "resnet34"])
    assert plan(["resnet34"]) == whole[2:]  # although within this part no model differs
    assert [run.name for run in read_comparison(tmp_path).runs] == whole


def test_a_plan_leads_no_job_out_of_its_folder(settings, tmp_path):
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (job,) = plan_jobs(sweep, [(["lr=0.2"], settings("lr=0.2"))])
    write_plan(sweep, "python -m resnet_lightning --multirun", [job])
    plan = sweep / "sweep.json"
    plan.write_text(plan.read_text().replace(job.name, f"../elsewhere_{job.name}"))
    assert plan_jobs(sweep, [(["lr=0.2"], settings("lr=0.2"))])[0].name == job.name


def test_the_same_settings_on_other_images_are_another_job(tmp_path, settings):
    own = [([f"data.root={root}"], settings("data=folder", f"data.root={root}")) for root in ("cats", "dogs")]
    assert [job.name.rpartition("_")[0] for job in plan_jobs(tmp_path, own)] == ["data.root-cats", "data.root-dogs"]
    elsewhere = [([f"data.root={root}"], settings(f"data.root={root}")) for root in ("here", "there")]
    assert len(plan_jobs(tmp_path, elsewhere)) == 1  # MNIST is the same everywhere
    same = [(["data.root=./cats/"], settings("data=folder", "data.root=./cats/")), own[0]]
    assert len(plan_jobs(tmp_path, same)) == 1


def test_a_finished_job_on_images_that_have_changed_is_refused(tmp_path, settings, image_folder):
    root = shutil.copytree(image_folder, tmp_path / "images")
    config = settings("data=folder", f"data.root={root}", "data.image_size=8")
    (job,) = plan_jobs(tmp_path, [([], config)])
    digest = cache.load(config.data).digest
    record = RunResult("done", [], plain_settings(config), 0, data={"digest": digest})
    (tmp_path / job.name).mkdir()
    record.write(tmp_path / job.name)
    for path in root.rglob("*.png"):
        path.touch()  # the same images, whatever their times say
    planned = plan_jobs(tmp_path, [([], config)])
    refuse_other_images(tmp_path, planned)
    assert planned[0].finished
    Image.new("RGB", (30, 30)).save(root / "train" / "grass" / "new.png")
    with pytest.raises(ConfigError, match=r"holds a run on images other than those now in data\.root="):
        refuse_other_images(tmp_path, planned)
    record.status = "interrupted"  # it would begin anew
    record.write(tmp_path / job.name)
    refuse_other_images(tmp_path, planned)
    (tmp_path / job.name / "last.ckpt").touch()  # now it would go on
    with pytest.raises(ConfigError, match="holds a run on images other"):
        refuse_other_images(tmp_path, planned)
    shutil.rmtree(root)  # nobody can tell, and nothing needs them
    refuse_other_images(tmp_path, planned)


def test_a_copy_beside_a_job_is_not_taken_for_it(settings, tmp_path):
    (job,) = plan_jobs(tmp_path, [(["lr=0.2"], settings("lr=0.2"))])
    write_plan(tmp_path, "python -m resnet_lightning --multirun", [job])
    for name in (job.name, f"a backup_{job.name}", f"zz_{job.name}"):
        (tmp_path / name).mkdir()
    (tmp_path / f"zzz.tar_{job.name}").touch()
    assert plan_jobs(tmp_path, [(["lr=0.2"], settings("lr=0.2"))])[0].name == job.name


def test_which_gpus_train_a_run_is_no_part_of_it(settings):
    one, other, two = (plain_settings(settings(f"devices={devices}")) for devices in ("[1]", "[0]", "[0,1]"))
    assert config_hash(one) == config_hash(other) == config_hash(plain_settings(settings())) != config_hash(two)
    assert not differing_keys(one, other)


@pytest.mark.parametrize("name", ["first", "größe", "lr (2)", "a,b", "it's", "[x]", "50%=half"])
def test_the_command_of_a_job_in_any_folder_is_understood(settings, tmp_path, name):
    folder = tmp_path / name
    (job,) = plan_jobs(folder, [(["lr=0.2"], settings("lr=0.2"))])
    assert [override.value() for override in parse(single_run(folder, job))] == [0.2, str(folder / job.name)]


def test_the_command_of_a_job_of_a_list_of_ones_own_is_understood(tmp_path):
    """The experiment has another list in its file, which the job must not be asked for."""
    own = ["experiment=r2_variants", "hydra.sweeper.rows=[{stem: imagenet}, {model.widths: [4,4,4,4]}]"]
    for job in plan_jobs(tmp_path, compose_all(own, multirun=True).jobs):
        ((_, config),) = compose_all(single_run(tmp_path, job), multirun=False).jobs
        assert config_hash(plain_settings(config)) == job.digest
        RunResult("interrupted", job.overrides, {}, 0).write(tmp_path)
        assert with_resumed([f"resume={tmp_path}"])[:-1] == single_run(tmp_path, job)[:-1]


def test_a_sweep_of_an_older_version_goes_on(settings):
    """Settings that were added since, at the values that change nothing, are no part of what a run is."""
    now = plain_settings(settings())
    old = {key: value for key, value in now.items() if key not in ADDED}
    old["model"] = {key: value for key, value in now["model"].items() if key != "init"}
    old["data"] = {key: value for key, value in now["data"].items() if key != "test_limit"}
    assert config_hash(old) == config_hash(now) and not differing_keys(old, now)
    for change in ("scale=0.5", "model.init=torch", "data.test_limit=10", "batchnorm=reestimated", "epochs_scale=0.5"):
        assert config_hash(plain_settings(settings(change))) != config_hash(now), change
    assert config_hash(plain_settings(settings("log_style=report", "log_every=5"))) == config_hash(now)


def test_a_plan_that_cannot_be_read_is_put_aside(settings, tmp_path, capsys):
    jobs = plan_jobs(tmp_path, [(["lr=0.1"], settings("lr=0.1"))])
    (tmp_path / "sweep.json").write_text('{"jobs": [{"fol')
    write_plan(tmp_path, "the command", jobs)
    assert (tmp_path / "sweep.json.bad").read_text() == '{"jobs": [{"fol'
    assert read_plan(tmp_path).commands == ["the command"] and "put aside as sweep.json.bad" in capsys.readouterr().out


def test_a_plan_that_does_not_answer_is_not_put_aside(settings, tmp_path):
    jobs = plan_jobs(tmp_path, [(["lr=0.1"], settings("lr=0.1"))])
    (tmp_path / "sweep.json").mkdir()  # stands for a disk that does not answer
    with pytest.raises(IsADirectoryError):
        write_plan(tmp_path, "the command", jobs)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_the_command_of_a_job_has_the_threads_that_the_sweep_gives_it(settings, tmp_path):
    own = ["launcher.threads_per_job=1"]
    (job,) = plan_jobs(tmp_path, [(["lr=0.2"], settings("lr=0.2", *own))])
    assert single_run(tmp_path, job)[-1] == "threads=1"
    (job,) = plan_jobs(tmp_path, [(["lr=0.2", "threads=2"], settings("lr=0.2", "threads=2", *own))])
    assert single_run(tmp_path, job).count("threads=2") == 1 and "threads=1" not in single_run(tmp_path, job)


def test_a_reference_in_the_folder_that_cannot_be_read_is_refused_before_any_job(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "reference.csv").write_text("lr;test_accuracy\n0.1;99\n")
    with pytest.raises(ConfigError, match=r"reference\.csv"):
        compose_all(["name=first", f"hydra.sweep.dir={tmp_path}/first", "lr=0.1,0.2"], multirun=True)
