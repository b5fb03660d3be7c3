"""comparison.html: what it draws and does in a browser (skipped where there is no Chromium)."""

from pathlib import Path

import pytest

from resnet_lightning.report.frame import Run
from resnet_lightning.result import RunResult
from tests.report.browser import Browser, needs_chromium
from tests.report.page_runs import comparison_of, grid, make_run, write

HOSTILE = """<b>&lt;ü</b></script><script>window.hacked=1</script><img src=x onerror="hacked=1">'" 漢 %{x} ${y}"""
MISSING = "\N{EN DASH}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Folder of all pages: at the same address the browser compiles plotly once."""
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture
def grid_page(browser, place) -> Browser:
    """The browser at the page of the grid, without a filter, a row for every run."""
    if len(browser.texts("#one option")) != 36:
        browser.open(write(grid(place)))
    browser.click("#clear")
    if browser.run("return document.getElementById('grouped').checked"):
        browser.click("#grouped")
    return browser


def small_sweeps() -> dict[str, list[Run]]:
    waiting = Run("a", {"lr": 0.1}, None, "waiting", None, None, [], "")
    running = Run("b", {"lr": 0.2}, 0, "running", None, RunResult("running", [], {}, 0), [], "")
    return {
        "none": [],
        "one": [make_run({"model": "resnet18", "data": "mnist"})],
        "none finished": [waiting, running, make_run({"lr": 0.3}, accuracy=None)],
        "missing value": [make_run({"lr": 0.1, "widths": None}), make_run({"lr": 0.2, "widths": "[4,8]"})],
    }


@needs_chromium
@pytest.mark.parametrize("name", list(small_sweeps()))
def test_any_sweep_loads_without_an_error_and_without_a_request(browser, place, name):
    runs = small_sweeps()[name]
    path = write(comparison_of(place, runs))
    browser.open(path)
    assert len(browser.column(1)) == len(runs)
    assert browser.errors() == [] and browser.requests() == [path.as_uri()]


@needs_chromium
def test_of_a_thousand_runs_the_best_fifty_curves_are_drawn(browser, place):
    settings = [{"lr": 10.0**-k, "batch": 2 + b} for k in range(4) for b in range(250)]
    runs = [make_run(one, accuracy=0.5 + one["batch"] / 999) for one in settings]
    browser.open(write(comparison_of(place, runs)))
    assert len(browser.column(1)) == 1000
    batches = browser.run("return document.getElementById('curves-figure').data.map(d => Number(d.name.split(' ')[2]))")
    assert len(batches) == 50 and min(batches) == 239  # four learning rates each
    assert browser.texts("#curves-note")[0].startswith("The best 50 of 1000 runs")
    assert browser.errors() == []


@needs_chromium
def test_what_is_as_good_as_the_best_is_marked_and_what_is_at_chance_is_not(browser, place):
    guesses = {"confusion_matrix": [[300, 0], [200, 0]]}  # always the first class, which has 300 of 500
    runs = [
        make_run({"lr": lr}, seed, accuracy + seed / 50, result={"test": {"accuracy": 0.6, "images": 500} | guesses})
        if lr == 10
        else make_run({"lr": lr}, seed, accuracy + seed / 50)
        for lr, accuracy in ((0.1, 0.9), (0.2, 0.91), (10, 0.6))
        for seed in (0, 1, 2)
    ]
    browser.open(write(comparison_of(place, runs)))
    assert browser.column(1) == ["2★", "1≈", "3"]
    assert "≤ chance" in browser.texts("#runs tbody tr:nth-child(3)")[0]
    assert "≈ not distinguishable from the best" in browser.texts("#shown")[0]
    browser.open(write(comparison_of(place, runs[3:])))
    assert browser.column(1) == ["1★", "2"] and "≈" not in browser.texts("#shown")[0]
    browser.open(write(comparison_of(place, [runs[0], runs[-1]])))  # a run each: they are the lines of the table
    assert "≤ chance" in browser.texts("#runs tbody tr:nth-child(2)")[0]


@needs_chromium
def test_a_metric_is_compared_as_it_is_shown(browser, place):
    browser.open(
        write(comparison_of(place, [make_run({"lr": 0.1}, accuracy=0.57), make_run({"lr": 0.2}, accuracy=0.58)]))
    )
    browser.put("#text", "test_accuracy>=57")
    assert browser.column(2) == ["0.2", "0.1"]


@needs_chromium
def test_before_a_run_has_finished_they_stand_in_their_order(browser, place):
    waiting = [Run(f"{lr}", {"lr": lr}, 0, "waiting", None, None, [], "") for lr in (0.1, 0.2, 0.3)]
    browser.open(write(comparison_of(place, waiting)))
    assert browser.column(2) == ["0.1", "0.2", "0.3"]


@needs_chromium
def test_the_page_draws_every_figure_and_fetches_nothing(browser, place):
    path = write(grid(place))
    browser.open(path)
    browser.see_parallel()
    drawn = "return [...document.querySelectorAll('.figure')].map(node => !node.hidden && node.data.length > 0)"
    assert browser.run(drawn) == [True] * 6
    buttons = browser.run("return [...document.querySelectorAll('.modebar-btn')].map(n => n.dataset.title)")
    harmless = {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert set(buttons) == harmless  # plotly has a button that uploads the figure
    assert browser.errors() == [] and browser.requests() == [path.as_uri()]


@needs_chromium
def test_the_policy_stops_requests_and_added_scripts(grid_page):
    script = "const s = document.createElement('script'); s.textContent = 'window.added = 1'; document.body.append(s);"
    script += "return [window.added ?? null, await fetch(arguments[0], {mode: 'no-cors'}).catch(error => error.name)]"
    assert grid_page.run(script, grid_page.address) == [None, "TypeError"]
    assert len(grid_page.errors()) >= 2


@needs_chromium
def test_numbers_sort_as_numbers_and_failed_runs_stay_last(grid_page):
    grid_page.click("th[data-id='setting batch'] button")
    assert grid_page.column(4) == ["9"] * 12 + ["10"] * 12 + ["100"] * 12
    grid_page.click("th[data-id='setting batch'] button")
    assert grid_page.column(4)[0] == "100"
    grid_page.click("th[data-id='test_accuracy'] button")
    finished, failed = grid_page.column(9)[:-3], grid_page.column(9)[-3:]
    assert failed == [MISSING] * 3 and finished == sorted(finished, key=float, reverse=True)
    assert grid_page.run("return document.querySelector('th[data-id=test_accuracy]').ariaSort") == "descending"
    grid_page.click("th[data-id='test_accuracy'] button")
    assert grid_page.column(9) == [*sorted(finished, key=float), *failed]


@needs_chromium
def test_accuracy_that_selects_against_time_has_a_front_for_each_device(browser, place):
    made = [("CPU", 99, 0.8, 0.9), ("CPU", 100, 0.7, 0.95), ("GPU", 10, 0.85, 0.6), ("GPU", 20, 0.9, 0.5)]
    runs = [
        make_run({"lr": number}, result={"device": device, "seconds": seconds, "val": {"accuracy": val}}, accuracy=test)
        for number, (device, seconds, val, test) in enumerate(made)
    ]
    browser.open(write(comparison_of(place, runs)))
    drawn = browser.run("return document.getElementById('time-figure').data.map(({ name, x }) => [name, x])")
    assert drawn == [["others", [100]], ["Pareto front on CPU", [99]], ["Pareto front on GPU", [10, 20]]]


@needs_chromium
def test_the_best_of_every_column_is_marked_where_it_differs(grid_page):
    marked = grid_page.texts("#runs td.top")
    assert set(marked) == {"97.10", "10.0 s"}  # accuracy and time; all losses are the same
    assert marked.count("97.10") == 1  # validation selects, so that the best test accuracy is not marked
    assert set(grid_page.texts("#runs tr.best th")) == {"6★", "5★"}


@needs_chromium
def test_seeds_are_folded_into_mean_and_deviation(grid_page):
    grid_page.click("#grouped")
    assert len(grid_page.column(1)) == 18 and grid_page.texts("#runs tr.best th") == ["3★"]
    grid_page.put("#text", "model=resnet18 lr=0.1 batch=10")
    assert grid_page.column(9) == ["96.25 ± 0.07"] and grid_page.column(5) == ["2"]
    grid_page.put("#text", "model=resnet10 lr=0.1 batch=9")
    assert grid_page.column(9) == ["95.18"] and grid_page.column(5) == ["1"]
    assert grid_page.texts("#runs .status") == ["1 of 2 done, 1 failed"]
    grid_page.click("#grouped")
    assert len(grid_page.column(1)) == 2


@needs_chromium
def test_text_filter(grid_page):
    expected = {
        "resnet18": 18, "RESNET18 lr=0.01": 6, "lr<0.1": 24, "lr<=0.01 batch>10": 8, "seed=1": 18,
        "a reason": 3, "test_accuracy>95": 9, "model=resnet1": 36, "nothing": 0,
    }  # fmt: skip
    found = {}
    for words in expected:
        grid_page.put("#text", words)
        found[words] = len(grid_page.column(1))
    assert found == expected
    assert grid_page.texts("#shown")[0].startswith("0 of 36 runs")


@needs_chromium
def test_status_filter_shows_status_and_reason_and_clears(grid_page):
    grid_page.put("#status", "failed")
    assert grid_page.texts("#runs .status") == ["failed"] * 3
    assert grid_page.texts("#runs .remark") == ["ValueError: a reason"] * 3
    grid_page.click("#clear")
    assert len(grid_page.column(1)) == 36


@needs_chromium
def test_heat_map_shows_means_and_failed_cells(grid_page):
    grid_page.put("#heatmap-x", "batch")
    grid_page.put("#heatmap-y", "lr")
    grid_page.put("#text", "model=resnet18")
    means = grid_page.run("return document.getElementById('heatmap-figure').data[0].z[2]")  # lr 0.1; batch 9, 10, 100
    assert means == [pytest.approx(96.23), pytest.approx(96.25), None]
    marks = "return document.getElementById('heatmap-figure').layout.annotations.map(a => [a.x, a.y, a.text])"
    assert grid_page.run(marks) == [[2, 2, "✕ 2 failed"]]


@needs_chromium
def test_difference_shows_the_keys_that_differ_side_by_side(grid_page):
    grid_page.put("#one", "0")
    grid_page.put("#other", "3")
    assert grid_page.texts("#differences tbody tr") == ["batch910", "seed01"]
    names = ["model=resnet10,lr=0.1,batch=9,seed=0", "model=resnet10,lr=0.1,batch=10,seed=1"]
    assert grid_page.texts("#differences thead th") == ["setting", *names]
    grid_page.put("#other", "0")
    assert grid_page.texts("#differences tbody tr") == []


@needs_chromium
def test_arrow_keys_go_from_row_to_row(grid_page):
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}));"
    row = "return document.activeElement.closest('tr').rowIndex"
    grid_page.run("document.querySelector('.pick[tabindex=\"0\"]').focus()")
    assert [grid_page.run(press + row, key) for key in ("ArrowDown", "ArrowDown", "ArrowUp")] == [2, 3, 2]
    assert len(grid_page.texts(".pick[tabindex='0']")) == 1


@needs_chromium
def test_nothing_overflows_the_page_and_every_control_has_a_label(grid_page):
    too_wide = "const {scrollWidth, clientWidth} = document.documentElement; return scrollWidth - clientWidth"
    grid_page.click("#runs .pick")
    wide = grid_page.run(too_wide)
    grid_page.resize(500)  # the narrowest window of Chromium
    narrow = grid_page.run(too_wide)
    grid_page.resize(1400)
    assert (wide, narrow) == (0, 0)
    unlabelled = "return [...document.querySelectorAll('input, select')].filter(n => !n.labels.length).map(n => n.id)"
    assert grid_page.run(unlabelled) == []


@needs_chromium
def test_a_brush_on_the_parallel_coordinates_filters_table_and_curves(grid_page):
    grid_page.see_parallel()
    brush = (
        "return Plotly.restyle('parallel-figure', {'dimensions[1].constraintrange': [arguments[0]]}, [0]).then(Boolean)"
    )
    grid_page.run(brush, [-2.1, -1.9])  # the axis of lr is logarithmic
    assert grid_page.column(3) == ["0.01"] * 12
    assert "brushed: lr" in grid_page.texts("#shown")[0]
    assert grid_page.run("return document.getElementById('curves-figure').data.length") == 12
    grid_page.click("#clear")
    ranges = "return document.getElementById('parallel-figure').data[0].dimensions.map(d => d.constraintrange ?? null)"
    assert len(grid_page.column(1)) == 36 and not any(grid_page.run(ranges))
    grid_page.run(brush, [-3, -2.0000001])  # an end that snapped to a value takes it in
    assert set(grid_page.column(3)) == {"0.001", "0.01"}
    grid_page.run(brush, [-1.9999999, 0])
    assert set(grid_page.column(3)) == {"0.01", "0.1"}


@needs_chromium
def test_details_repeat_the_run_and_link_its_log(browser, place):
    run = make_run({"lr": 0.1, "batch": 9})
    (place / run.name).mkdir()
    (place / run.name / "run.log").write_text("what happened")
    browser.open(write(comparison_of(place, [run, make_run({"lr": 0.2, "batch": 9}, accuracy=None)])))
    browser.put("#text", "lr=0.1")
    browser.click("#runs .pick")
    assert browser.texts("#details pre") == [run.command]
    assert browser.texts("#details .classes li") == ["cat90.00", f"dog{MISSING}"]
    assert "optimizer.momentum0.9" in browser.texts("#details details tr")
    browser.click("#details .links a")
    browser.wait_for("return document.body.textContent === 'what happened'")


@needs_chromium
def test_hostile_names_are_shown_as_they_are_and_run_nothing(browser, place):
    failed = {"reason": HOSTILE, "status": HOSTILE, "command": HOSTILE}
    runs = [
        make_run({HOSTILE: HOSTILE, "lr": 0.1}, name=HOSTILE),
        make_run({HOSTILE: "b", "lr": 0.2}, name="2", **failed),
        make_run({HOSTILE: "b", "lr": 0.3}, name="3", result={"data": {"classes": [HOSTILE, "\udcff"]}}),
    ]
    browser.open(write(comparison_of(place, runs), (HOSTILE,)))
    browser.see_parallel()
    browser.put("#one", "0")
    for number in (1, 2, 3):
        browser.click(f"#runs tbody tr:nth-child({number}) .pick")
    shown = {
        **dict.fromkeys((".summary li", "#runs .remark", "#runs thead button", "#runs td"), HOSTILE),
        **dict.fromkeys(("#curve-colour option", "#differences th", "#details pre"), HOSTILE),
        "#one option": f"1: {HOSTILE}",
        "#curves-figure .legendtext": HOSTILE[:59],
        "#heatmap-figure .xtick text": HOSTILE[:23],
        "#parallel-figure .axis-title": HOSTILE[:25],
        "#parallel-figure .tick text": HOSTILE[:17],
        "#levels-figure .ytick text": HOSTILE[:25],
    }
    for selector, text in shown.items():
        assert any(found.startswith(text) for found in browser.texts(selector)), selector
    assert browser.run("return [document.scripts.length, document.images.length, window.hacked ?? null]") == [
        3,
        0,
        None,
    ]
    assert browser.errors() == []
