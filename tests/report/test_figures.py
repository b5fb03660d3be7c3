"""Which figures there are, what is in them, and what becomes of old and of impossible ones."""

import errno
import io
import shutil
from pathlib import Path

import pytest

from resnet_lightning.report import curves, figures, heatmaps, scatter
from resnet_lightning.report.frame import Comparison, read_comparison
from resnet_lightning.report.statistics import compare, main_effects
from tests.report.conftest import write_grid, write_plan, write_run


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Few pixels: quick."""
    monkeypatch.setitem(figures.FORMATS, "png", {"dpi": 30})


def draw(folder):
    comparison = read_comparison(folder)
    return figures.draw_figures(comparison, compare(comparison), main_effects(comparison), folder / "figures")


def names(folder) -> set[str]:
    return {path.name for path in (folder / "figures").iterdir()} if (folder / "figures").is_dir() else set()


def both(*stems: str) -> set[str]:
    return {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}


def test_a_grid_has_all_figures_in_both_formats_and_the_same_runs_give_the_same_bytes(sweep):
    write_grid(sweep, lambda lr, batch, seed: 0.9 + lr + 0.01 * seed, seeds=2, lr=[0.1, 0.01], batch=[32, 64])
    paths, problems = draw(sweep)
    expected = both("learning_curves", "heatmap_lr_batch", "main_effects", "accuracy_vs_time", "per_class_accuracy")
    assert names(sweep) == expected == {path.name for path in paths} and problems == []
    content = {path: path.read_bytes() for path in paths}
    for path, start in content.items():
        assert start.startswith(b"\x89PNG") if path.suffix == ".png" else b"<svg" in start
    draw(sweep)
    assert {path: path.read_bytes() for path in paths} == content


def test_figures_that_make_no_sense_are_left_out(sweep):
    write_run(sweep / "only")
    assert draw(sweep) == ([], []) and names(sweep) == set()
    write_run(sweep / "only", seed=0)
    write_run(sweep / "other", seed=1)
    draw(sweep)
    assert names(sweep) == both("learning_curves")  # one setting: nothing to compare but its seeds


def test_without_a_finished_run_there_are_the_curves_only(sweep):
    write_grid(sweep, lambda **_: "diverged", lr=[0.1, 0.2], batch=[32, 64])
    assert draw(sweep)[1] == [] and names(sweep) == both("learning_curves")


def test_figures_of_an_earlier_report_go_other_files_stay(sweep):
    write_grid(sweep, lambda lr, batch, seed: 0.9 + lr, lr=[0.1, 0.01], batch=[32, 64])
    draw(sweep)
    (sweep / "figures" / "heatmap of mine.txt").write_text("mine")
    (sweep / "figures" / "mine.png").write_text("mine")
    for folder in sweep.glob("job*[123]"):
        (folder / "result.json").unlink()
    draw(sweep)
    assert names(sweep) == {"heatmap of mine.txt", "mine.png"}


def test_a_figure_that_fails_is_a_sentence_and_the_others_are_drawn(sweep, monkeypatch):
    write_grid(sweep, lambda lr, seed: 0.9 + lr, lr=[0.1, 0.01])

    def broken(*_):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(curves, "learning_curves", broken)
    _, problems = draw(sweep)
    assert problems == ["The figure learning_curves could not be drawn (ZeroDivisionError: no luck)."]
    assert names(sweep) == both("main_effects", "accuracy_vs_time", "per_class_accuracy")


def test_an_old_figure_stays_where_the_new_one_cannot_be_made(sweep, monkeypatch):
    write_grid(sweep, lambda lr, seed: 0.9 + lr, lr=[0.1, 0.01])
    draw(sweep)
    before = names(sweep)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(figures, "atomic_write", full)
    assert len(draw(sweep)[1]) == 4 and names(sweep) == before


def test_old_figures_that_cannot_be_removed_are_a_sentence(sweep, monkeypatch):
    write_grid(sweep, lambda lr, batch, seed: 0.9 + lr, lr=[0.1, 0.01], batch=[32, 64])
    draw(sweep)

    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    for folder in sweep.glob("job*[123]"):
        shutil.rmtree(folder)
    (problem,) = draw(sweep)[1]
    assert problem.startswith("Figures of an earlier report could not be removed: ") and "Permission denied" in problem


def test_panels_say_which_images_they_are_about(sweep):
    for number, (selection, title) in enumerate(
        [("validation", "validation loss"), ("test", "validation or test loss")]
    ):
        for lr in (0.1, 0.2):
            write_run(sweep / f"{number}_{lr}", lr=lr + number, selection=selection)
        figure, _ = learning_curves(read_comparison(sweep))
        assert title in {panel.get_title() for panel in figure.axes}


def test_titles_of_scaled_down_runs_stay_within_their_figures(sweep):
    for augment in ("none", "report_geometric"):
        write_run(sweep / augment, augment=augment, scale=0.1, epochs_scale=0.2, selection="test")
    comparison = read_comparison(sweep)
    for make in figures.drawings(comparison, compare(comparison), main_effects(comparison)).values():
        figure = make()
        figures.say_scale(figure, comparison)
        figure.canvas.draw()
        title = next(text for text in figure.texts if text.get_text() == figure.get_suptitle())
        assert "10 % of the training images" in title.get_text().replace("\n", " ")
        extent = title.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1


def test_hostile_names_are_drawn(sweep):
    hostile = r"$x^2_{ $ \alpha %s <b> & 漢 $" + "\n"
    for number in range(2):
        write_run(
            sweep / str(number), lr=0.1 * number, activation=f"{hostile}{number}", device=hostile, **{"a/b $": number}
        )
    _, problems = draw(sweep)
    assert problems == [] and both("heatmap_lr_a_b__", "main_effects", "accuracy_vs_time") <= names(sweep)


@pytest.mark.parametrize(
    "text",
    ["epoch,train_loss,val_loss,val_accuracy\n1,nan,inf,nan\n2,nan,inf,nan\n", "epoch\n1\n2\n", "x,y\n1,2\n3,4\n", ""],
)
def test_curves_without_finite_numbers(sweep, text):
    write_grid(sweep, lambda lr, seed: 0.9, lr=[0.1, 0.2])
    for path in sweep.glob("*/metrics.csv"):
        path.write_text(text)
    comparison = read_comparison(sweep)
    figure = curves.learning_curves(comparison, compare(comparison))
    if figure is not None:
        figure.savefig(io.BytesIO(), dpi=30)
    assert (figure is None) == (not text)


def test_one_epoch_is_no_curve(sweep):
    write_grid(sweep, lambda lr, seed: 0.9, lr=[0.1, 0.2])
    for path in sweep.glob("*/metrics.csv"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    draw(sweep)
    assert names(sweep) and "learning_curves.svg" not in names(sweep)


def learning_curves(comparison: Comparison):
    figure = curves.learning_curves(comparison, compare(comparison))
    assert figure is not None
    return figure, [line.get_label() for line in figure.axes[0].get_lines()]


def test_of_many_settings_the_best_and_the_worst_are_drawn(sweep):
    write_grid(sweep, lambda lr, seed: lr, lr=[number / 100 for number in range(10, 40)])
    figure, labels = learning_curves(read_comparison(sweep))
    assert labels == [f"lr={number / 100}" for number in (39, 38, 37, 36, 35, 34, 33, 32, 13, 12, 11, 10)]
    assert "the best 8 and the worst 4 of 30 finished settings by validation accuracy" in figure.get_suptitle()


def test_a_curve_is_the_mean_of_its_finished_seeds(sweep):
    for seed, (status, loss) in enumerate([("done", 1.0), ("done", 3.0), ("diverged", 1000.0)]):
        write_run(sweep / str(seed), status=status, seed=seed)
        rows = [f"{epoch},{loss * epoch},{loss},0.5" for epoch in (1, 2)]
        (sweep / str(seed) / "metrics.csv").write_text("\n".join(["epoch,train_loss,val_loss,val_accuracy", *rows, ""]))
    figure, labels = learning_curves(read_comparison(sweep))
    assert list(figure.axes[0].get_lines()[0].get_ydata()) == [2.0, 4.0]
    assert labels == ["model=resnet18 data=mnist (2 of 3 done, 1 diverged)"]


def test_a_heat_map_has_the_mean_of_the_finished_runs_and_hatches_failed_cells(sweep):
    write_grid(
        sweep,
        lambda lr, batch, seed: "oom" if batch == 64 and (lr == 0.2 or seed) else 0.5 + 0.1 * seed,
        seeds=2, lr=[0.2, 0.1], batch=[64, 32],
    )  # fmt: skip
    figure = heatmaps.parameter_pair(read_comparison(sweep), "lr", "batch")
    assert figure is not None
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0.1", "0.2"]
    texts = {tuple(text.get_position()): text.get_text() for text in panel.texts}
    assert texts == {(0, 0): "55.00\n(2)", (1, 0): "55.00\n(2)", (0, 1): "50.00\n(1)", (1, 1): "out of memory"}
    assert [patch.get_xy() for patch in panel.patches if patch.get_hatch()] == [(0.5, 0.5)]


def test_no_heat_map_of_words_of_one_level_or_of_a_sampled_range(sweep):
    for number in range(30):
        write_run(
            sweep / f"{number:02}",
            lr=0.1 + number,
            batch=32,
            dropout=number % 2,
            activation=["relu", "tanh"][number % 2],
        )
    assert heatmaps.numeric_columns(read_comparison(sweep)) == ["dropout"]


def test_a_combination_that_was_never_tried_is_empty(sweep):
    for number, (lr, batch) in enumerate([(0.1, 32), (0.1, 64), (0.2, 32)]):
        write_run(sweep / str(number), lr=lr, batch=batch)
    figure = heatmaps.parameter_pair(read_comparison(sweep), "lr", "batch")
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["90.00\n(1)"] * 3 + [""]
    assert not any(patch.get_hatch() for patch in figure.axes[0].patches)


def test_no_heat_map_where_most_combinations_were_not_tried(sweep):
    for number in range(3):
        write_run(sweep / str(number), lr=0.1 * number, batch=32 * (number + 1))
    assert heatmaps.parameter_pair(read_comparison(sweep), "lr", "batch") is None


def test_main_effects_say_their_share(sweep):
    write_grid(sweep, lambda lr, batch, seed: 0.5 + lr + 0.001 * seed, lr=[0.1, 0.2], batch=[32, 64], seeds=2)
    comparison = read_comparison(sweep)
    figure = scatter.main_effects(comparison, main_effects(comparison))
    assert figure is not None
    assert [panel.get_title() for panel in figure.axes] == ["100 % of variance", "<1 % of variance"]
    assert [panel.get_xlabel() for panel in figure.axes] == ["LR", "BS"]


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.5), (2, 0.9), (3, 0.8), (4, 0.95)], [0, 1, 3]),
        ([(3, 0.9), (1, 0.9), (2, 0.9)], [1]),
        ([(1, 0.5), (1, 0.6)], [1]),
        ([], []),
    ],
)
def test_pareto_front(points, front):
    assert scatter.pareto_front(points) == front


def test_times_of_several_devices_have_a_front_each(sweep):
    for number, (device, seconds, accuracy) in enumerate(
        [("A", 10, 0.9), ("A", 20, 0.95), ("B", 99, 0.8), ("B", 100, 0.7)]
    ):
        write_run(sweep / str(number), lr=0.1 * number, device=device, seconds=seconds, accuracy=accuracy)
    comparison = read_comparison(sweep)
    figure = scatter.accuracy_vs_time(comparison, compare(comparison))
    assert figure is not None
    listed = [text.get_text() for text in figure.legends[0].get_texts()]
    assert listed == ["A", "B", "1  lr=0", "2  lr=0.1", "3  lr=0.2"]


def test_shares_of_classes_that_are_no_numbers_are_left_empty(sweep):
    for number in range(2):
        shares = [0.9, None, "x", float("nan")] if number else [None] * 4
        write_run(
            sweep / str(number), lr=0.1 * number, data="mnist", test={"accuracy": 0.9, "per_class_accuracy": shares}
        )
    comparison = read_comparison(sweep)
    figure = heatmaps.per_class_accuracy(comparison, compare(comparison))
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == [""] * 4 + ["90.0", "", "", ""]


def test_classes_of_different_data_make_no_figure(sweep):
    write_plan(sweep, {})
    write_run(sweep / "a", data="mnist", overrides=["data=mnist"])
    result = write_run(sweep / "b", data="own", overrides=["data=own"])
    comparison = read_comparison(sweep)
    assert heatmaps.per_class_accuracy(comparison, compare(comparison)) is not None
    result.data["classes"] = ["cat", "dog"]
    result.test["per_class_accuracy"] = [0.5, None]
    result.write(sweep / "b")
    comparison = read_comparison(sweep)
    assert heatmaps.per_class_accuracy(comparison, compare(comparison)) is None
