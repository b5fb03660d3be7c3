"""Somebody else's figures beside a sweep: matching, units, differences, every file that shows them, errors."""

import csv

import pytest

from resnet_lightning.config import ConfigError
from resnet_lightning.report import write_report
from resnet_lightning.report.__main__ import main
from resnet_lightning.report.against import against
from resnet_lightning.report.frame import read_comparison
from resnet_lightning.report.reference import FOLDER, add_reference, find_reference, read_reference
from tests.report.conftest import write_plan, write_run

PUBLISHED = """\
# Somebody's table.
# Measured long ago.
lr,batch,train_loss_over_batch,test_accuracy,seconds
0.1,32,0.0100,97.00,100
0.1,64,0.0200,72.58,Out of Memory
0.01,32,,99.00,
"""


@pytest.fixture
def published(sweep):
    path = sweep / "reference.csv"
    path.write_text(PUBLISHED)
    return path


def table(folder):
    with (folder / "beside_reference.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_setting_has_their_figure_ours_and_the_difference(sweep, published):
    write_run(sweep / "a", 0.95, lr=0.1, batch=32)
    write_run(sweep / "b", 0.75, lr=0.1, batch=64)
    write_report(sweep)
    accuracies = [(row["LR"], row["BS"], row["figure"], row["Test accuracy (%)"]) for row in table(sweep)]
    assert accuracies == [
        ("0.1", "32", "reference", "97.00"),
        ("0.1", "32", "here", "95.00"),
        ("0.1", "32", "difference", "-2.00"),
        ("0.1", "64", "reference", "72.58"),
        ("0.1", "64", "here", "75.00"),
        ("0.1", "64", "difference", "+2.42"),
    ]


def test_a_loss_over_the_batch_size_becomes_a_mean_per_image_and_a_note_says_how(sweep, published):
    write_run(sweep / "a", 0.5, lr=0.1, batch=32)  # train loss 0.6
    compared = against(read_comparison(sweep))
    reference, here, difference = table_column(compared, "Train loss")
    assert (reference, here, difference) == ("0.3200", "0.6000", "+0.2800")
    assert any("multiplied by the batch size" in note for note in compared.notes)


def table_column(compared, name):
    (one,) = compared.tables
    return [row[one.heads.index(name)] for row in one.rows[:3]]


def test_a_text_of_the_reference_is_shown_and_has_no_difference(sweep, published):
    write_run(sweep / "a", 0.5, lr=0.1, batch=64)
    write_report(sweep)
    assert [row["Time (s)"] for row in table(sweep)] == ["Out of Memory", "12.0", "-"]


def test_seeds_are_a_mean_with_its_spread(sweep, published):
    write_run(sweep / "a", 0.95, lr=0.1, batch=32, seed=0)
    write_run(sweep / "b", 0.97, lr=0.1, batch=32, seed=1)
    write_report(sweep)
    assert table(sweep)[1]["Test accuracy (%)"] == "96.00 ± 1.41 (2)"
    assert table(sweep)[2]["Test accuracy (%)"] == "-1.00"


def test_seeds_that_failed_are_counted_beside_the_mean_of_the_others(sweep, published):
    write_run(sweep / "a", 0.97, lr=0.1, batch=32, seed=0)
    write_run(sweep / "b", lr=0.1, batch=32, seed=1, status="diverged")
    write_report(sweep)
    assert table(sweep)[1]["Test accuracy (%)"] == "97.00, 1 of 2 done, 1 diverged"


def test_times_of_two_devices_have_no_mean_beside_a_reference(sweep, published):
    for seed, device in enumerate(("CPU", "GPU")):
        write_run(sweep / device, 0.97, lr=0.1, batch=32, seed=seed, device=device)
    write_report(sweep)
    assert table(sweep)[1]["Time (s)"] == "-" and table(sweep)[1]["Test accuracy (%)"] == "97.00 ± 0.00 (2)"


def test_settings_without_a_counterpart_are_counted_not_invented(sweep, published):
    write_run(sweep / "a", 0.95, lr=0.1, batch=32)
    write_run(sweep / "b", 0.95, lr=0.5, batch=32)
    compared = against(read_comparison(sweep))
    assert len(compared.tables[0].rows) == 3
    assert any(note.startswith("2 of the 3 settings of the reference") for note in compared.notes)


def test_a_job_that_waits_has_what_others_have_that_do_not_set_it(sweep, published):
    write_run(sweep / "a", 0.95, lr=0.1, batch=32, overrides=["batch=32"])
    write_plan(sweep, {"b": ["batch=64"]})
    comparison = read_comparison(sweep)
    assert comparison.columns == ["batch"]
    compared = against(comparison)
    assert [row[-1] for row in compared.tables[0].rows] == ["100.0", "12.0", "-88.0", "Out of Memory", "waiting", "-"]
    assert any(note.startswith("1 of the 3 settings of the reference") for note in compared.notes)


def test_numbers_selected_on_test_are_labelled(sweep, published):
    write_run(sweep / "a", 0.95, lr=0.1, batch=32, selection="test")
    written = write_report(sweep)
    assert "Test accuracy (%), selected on test" in (sweep / "beside_reference.csv").read_text()
    assert "ours are those of the best epoch, selected on test" in written.console


def test_epochs_and_classes_come_from_the_history_and_the_record(sweep):
    (sweep / "reference.csv").write_text(
        "lr,train_loss_epoch_1,train_loss_epoch_2,test_accuracy_class_3,final_test_accuracy\n0.1,1,1,1,1\n"
    )
    run = write_run(sweep / "a", 0.9, lr=0.1, selection="test")
    run.test["per_class_accuracy"][3] = 0.25
    run.write(sweep / "a")
    with (sweep / "a" / "metrics.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    epochs, classes, last = against(read_comparison(sweep)).tables
    assert epochs.title == "Train loss after each epoch"
    assert classes.title == "Test accuracy (%) of each class, best epoch selected on test"
    assert epochs.rows[1][-2:] == [f"{float(history[number]['train_loss']):.4f}" for number in (0, 1)]
    assert classes.heads[-1] == "3" and classes.rows[1][-1] == "25.00"
    assert last.rows[1][-1] == f"{100 * float(history[-1]['test_accuracy']):.2f}"


def test_the_reference_stands_in_markdown_console_and_page(sweep, published):
    write_run(sweep / "a", 0.95, lr=0.1, batch=32)
    console = write_report(sweep).console
    for text in (console, (sweep / "comparison.md").read_text(), (sweep / "comparison.html").read_text()):
        assert "Beside the reference" in text and "-2.00" in text and "Somebody's table." in text.replace("&#39;", "'")


def test_the_command_copies_the_reference_and_later_reports_find_it(sweep, capsys):
    write_run(sweep / "a", 0.95, model="resnet10", lr=0.1, batch=32)
    assert main([str(sweep), "reference=r1_lr_batch"]) == 0
    assert "98.55" in capsys.readouterr().out
    assert main([str(sweep)]) == 0
    assert "98.55" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_references_of_the_package_can_be_read(path):
    reference = read_reference(path)
    assert reference.title.startswith("Report R") and reference.lines and reference.metrics


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lr,tset_accuracy\n0.1,9\n", "tset_accuracy is neither a setting nor a metric. Did you mean test_accuracy?"),
        ("lr,test_accuracy\n0.1\n", "0.1 has 1 cells, the header 2"),
        ("lr,test_accuracy\n", "has no figures"),
        ("lr,test_loss_over_batch\n0.1,2\n", "needs the column batch"),
        ("batch,test_loss_over_batch\n32,2\n,3\n", "has no batch in the line ,3."),
        ("lr,final_test_accuracy_class_3\n0.1,9\n", "final_test_accuracy_class_3 is neither a setting nor a metric"),
        ("lr,test_loss_class_3\n0.1,9\n", "test_loss_class_3 is neither a setting nor a metric"),
        ("batch,test_accuracy_over_batch\n32,9\n", "test_accuracy_over_batch is neither a setting nor a metric"),
        ("lr,seed,test_accuracy\n0.1,0,9\n", "the column seed is not possible"),
    ],
)  # fmt: skip
def test_a_damaged_reference_is_refused_in_a_sentence(sweep, content, message):
    (sweep / "bad.csv").write_text(content)
    with pytest.raises(ConfigError, match=message.replace("?", r"\?").replace(".", r"\.")):
        add_reference(sweep, sweep / "bad.csv")
    assert not (sweep / "reference.csv").exists()


def test_an_unknown_reference_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean r1_lr_batch"):
        find_reference("r1_lr_bach")


def test_scaled_down_runs_say_so_wherever_the_table_stands(sweep):
    write_run(sweep / "a", 0.9, lr=0.1, scale=0.1)
    write_run(sweep / "b", 0.8, lr=0.2, scale=0.1)
    console = write_report(sweep).console
    tables = [(sweep / f"comparison.{kind}").read_text().replace("\\", "") for kind in ("md", "tex", "html")]
    for text in (console, *tables):
        assert "caled down to 10 % of the training images" in text
    figures = list((sweep / "figures").glob("*.svg"))
    assert figures and all("<!-- Scaled down to 10 % of the training images" in path.read_text() for path in figures)


def test_full_and_scaled_down_runs_are_not_mixed(sweep, capsys):
    write_run(sweep / "a", 0.9, lr=0.1, scale=0.1)
    write_run(sweep / "b", 0.9, lr=0.1)
    assert main([str(sweep)]) == 2
    assert "mixes runs of scale=0.1 epochs_scale=1, scale=1 epochs_scale=1" in capsys.readouterr().err


def test_the_speed_up_of_a_device_is_stated_from_training_steps(sweep):
    write_run(sweep / "a", 0.9, accelerator="cpu", train_seconds=441.0)
    write_run(sweep / "b", 0.9, accelerator="gpu", train_seconds=10.0, peak_memory=2141.0)
    console = write_report(sweep).console
    assert "accelerator=gpu trains 44.1 times as fast as the CPU: 10.0 s against 441.0 s" in console
    assert "peak memory 2141 MiB" in console


def test_a_device_that_is_not_there_is_a_row_and_no_failure(sweep):
    write_run(sweep / "a", 0.9, accelerator="cpu", train_seconds=441.0)
    write_run(sweep / "b", status="unavailable", accelerator="gpu", reason="torch finds no GPU here", epochs=0)
    console = write_report(sweep).console
    assert "not available here: torch finds no GPU here" in console and "did not finish" not in console
