"""comparison.html as a file: data, links, header; test_page_in_browser.py has what it does."""

import re

from tests.report.page_runs import comparison_of, data_of, grid, make_run, write


def test_the_page_names_no_file_or_address_to_fetch(tmp_path):
    text = write(grid(tmp_path)).read_text("utf-8")
    markup = re.sub(r"(<script[^>]*>|<style>).*?(</script>|</style>)", r"\1\2", text, flags=re.DOTALL)
    addresses = re.findall(r"""\b(?:src|href|action)=["']?([^"'>\s]*)""", markup)
    assert {address[0] if address != "data:," else address for address in addresses} == {"#", "data:,"}
    assert "url(" not in text.split("<style>")[1].split("</style>")[0]
    assert len(text) < 6_000_000


def test_a_number_that_is_none_becomes_null(tmp_path):
    nan = float("nan")
    history = [{"epoch": 1.0, "train_loss": nan, "val_loss": float("inf"), "val_accuracy": 0.123456789}]
    run = make_run({"lr": 0.1}, history=history, result={"seconds": nan, "config": {"lr": nan}})
    (run_data,) = data_of(write(comparison_of(tmp_path, [run])))["runs"]
    assert run_data["history"] == {
        "epoch": [1.0], "train_loss": [None], "val_loss": [None], "val_accuracy": [0.123457],
    }  # fmt: skip
    assert run_data["metrics"]["seconds"] is None and run_data["metrics"]["test_accuracy"] == 0.9


def test_links_lead_to_the_files_that_exist_from_where_the_page_is(tmp_path):
    run = make_run({"lr": 0.1}, name="ü #1?/lr=0.1")
    (tmp_path / run.name).mkdir(parents=True)
    (tmp_path / run.name / "run.log").write_text("log")
    (run_data,) = data_of(write(comparison_of(tmp_path, [run])))["runs"]
    assert run_data["links"] == {"run.log": "%C3%BC%20%231%3F/lr%3D0.1/run.log"}


def test_where_the_test_set_selects_the_curves_are_those_of_the_test_set(tmp_path):
    history = [{"epoch": 1.0, "train_loss": 1.0, "test_loss": 2.0, "test_accuracy": 0.25}]
    path = write(comparison_of(tmp_path, [make_run({"lr": 0.1}, history=history, result={"selection": "test"})]))
    data = data_of(path)
    assert data["selection"] == "test" and data["runs"][0]["metrics"]["val_accuracy"] is None
    assert data["runs"][0]["history"]["val_accuracy"] == [0.25]
    assert "selected on test" in path.read_text("utf-8").split("<nav")[0]


def test_header_says_what_the_numbers_are_numbers_of(tmp_path):
    header = write(grid(tmp_path)).read_text("utf-8").split("<nav")[0]
    for text in (
        "36 runs of 18 settings, 33 done",
        "500 test and 500 validation images",
        "Trained on 5,000 images",
        "cpu",
    ):
        assert text in header
    assert "<li>A sentence.</li>" in header and "Validation accuracy selects" in header
