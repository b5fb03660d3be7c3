"""The three pictures of a run: learning curves, confusion matrix, predictions on test images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from resnet_lightning.data.cache import ImageSet
from resnet_lightning.files import atomic_write
from resnet_lightning.fonts import ANY_NAME

TRAIN_COLOUR, EVAL_COLOUR, WRONG_COLOUR = "#4878a8", "#d1605e", "#c0392b"
CURVES = (  # split, label ("" for the images that select), colour, line
    ("train", "train", TRAIN_COLOUR, "-"),
    ("train_eval", "train, evaluated", TRAIN_COLOUR, "--"),
    ("val", "", EVAL_COLOUR, "-"),
)
STYLE: dict[Any, Any] = {
    **ANY_NAME,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "figure.constrained_layout.h_pad": 0.08,  # inches
    "figure.constrained_layout.w_pad": 0.08,
}
COLUMNS, ROWS = 8, 2  # of each half of predictions.png
COLUMN, ROW, HEADING, IMAGE = 1.25, 1.6, 0.3, 1.1  # inches: a cell, a line of text, the side of an image


def save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, dpi=130, format="png")


def draw_curves(
    history: Sequence[dict[str, Any]], best_epoch: int | None, selection: str, title: str, path: Path
) -> None:
    """Loss and accuracy against epoch, on training and validation (or test) images.

    Args:
        history: for each epoch ``{"epoch", "train": {"loss", "accuracy"}, "val": {...}, "train_eval": {...} or {}}``.
        selection: ``validation``, or ``test`` where the test set chose the best epoch.
    """
    epochs = [row["epoch"] for row in history]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        panels = figure.subplots(1, 2)
        for panel, key, name, scale in zip(
            panels, ("loss", "accuracy"), ("loss", "accuracy (%)"), (1, 100), strict=True
        ):
            for split, label, colour, line in CURVES:
                values = [row[split][key] * scale for row in history if row[split]]
                if values:
                    size = 3 if len(epochs) < 40 else 0
                    panel.plot(
                        epochs, values, line, color=colour, label=label or selection, marker="o", markersize=size
                    )
            if best_epoch is not None:
                panel.axvline(
                    best_epoch, color="#888888", linewidth=0.8, linestyle=":", label=f"best epoch ({selection})"
                )
            panel.set(xlabel="epoch", ylabel=name)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panels[0].set_ylim(bottom=0)
        panels[1].legend(frameon=False)
        figure.suptitle(title, fontsize=11)
        save(figure, path)


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: Path) -> None:
    """The confusion matrix (rows: true class), coloured by share of the true class, with counts up to 30 classes."""
    shares = [[count / max(sum(row), 1) for count in row] for row in confusion]
    side = min(3 + 0.42 * len(classes), 16)
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        panel = figure.subplots()
        picture = panel.imshow(
            shares, cmap="Blues", norm=PowerNorm(0.4, 0, 1)
        )  # so that one mistake in a hundred is seen
        panel.set(xlabel="predicted class", ylabel="true class", title=title)
        ticks = range(0, len(classes), 1 if len(classes) <= 40 else 5)
        panel.set_xticks(ticks, [classes[tick] for tick in ticks], rotation=90 if max(map(len, classes)) > 2 else 0)
        panel.set_yticks(ticks, [classes[tick] for tick in ticks])
        if len(classes) <= 30:
            for true, row in enumerate(confusion):
                for predicted, count in enumerate(row):
                    colour = "white" if shares[true][predicted] > 0.25 else "#222222" if count else "#bbbbbb"
                    panel.text(
                        predicted, true, str(count), ha="center", va="center", fontsize=8, color=colour, in_layout=False
                    )
        figure.colorbar(picture, ticks=[0, 0.01, 0.1, 0.5, 1], label="share of the true class", shrink=0.8)
        save(figure, path)


def draw_predictions(
    test: ImageSet,
    positions: Tensor,
    predicted: Tensor,
    wrong_count: int,
    classes: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Above the first test images, below the first wrong ones; true and predicted class, wrong ones framed in red.

    Args:
        positions: (N,) of the images in ``test``, which are more than fit into memory: only what is drawn is read.
        predicted: (N,) class numbers.
        wrong_count: of the whole test set; one of several processes has its share of the images only.
    """
    count, labels = COLUMNS * ROWS, test.labels[positions]
    wrong = (labels != predicted).nonzero()[:, 0]
    halves = [
        (
            f"the first {min(count, len(labels))} test images: true class, predicted class",
            list(range(min(count, len(labels)))),
        )
    ]
    if len(wrong):
        halves.append((f"the first {min(count, len(wrong))} of {wrong_count:,} wrong ones", wrong[:count].tolist()))
    heights = [HEADING + -(-len(chosen) // COLUMNS) * ROW for _, chosen in halves]
    width, height = COLUMNS * COLUMN, HEADING + sum(heights)
    with rc_context(ANY_NAME):
        figure = Figure(figsize=(width, height))
        page = figure.add_axes((0, 0, 1, 1), autoscale_on=False, xlim=(0, width), ylim=(height, 0))
        page.axis("off")
        page.text(width / 2, HEADING / 2, title, ha="center", va="center", fontsize=11)
        top = HEADING
        for (name, chosen), size in zip(halves, heights, strict=True):
            page.text(width / 2, top + HEADING / 2, name, ha="center", va="center", fontsize=9, color="#555555")
            for place, number in enumerate(chosen):
                row, column = divmod(place, COLUMNS)
                corner = (column * COLUMN, top + HEADING + row * ROW)
                image = test.images[positions[number]]
                draw_image(page, corner, image, classes[int(labels[number])], classes[int(predicted[number])])
            top += size
        save(figure, path)


def draw_image(page: Axes, corner: tuple[float, float], image: Tensor, true: str, predicted: str) -> None:
    """An image under its true and its predicted class, in a cell of ``page``, of which a unit is an inch."""
    pixels, right = image.permute(1, 2, 0).numpy(), true == predicted
    left, top = corner[0] + (COLUMN - IMAGE) / 2, corner[1] + 0.38
    page.imshow(
        pixels, cmap="gray" if pixels.shape[2] == 1 else None, vmin=0, vmax=255,
        extent=(left, left + IMAGE, top + IMAGE, top), aspect="auto",
    )  # fmt: skip
    page.text(
        left + IMAGE / 2, top - 0.06, f"{true}\n{'=' if right else '→'} {predicted}", ha="center", va="bottom",
        fontsize=8, color="#222222" if right else WRONG_COLOUR,
    )  # fmt: skip
    if not right:
        page.add_patch(Rectangle((left, top), IMAGE, IMAGE, fill=False, edgecolor=WRONG_COLOUR, linewidth=2))
