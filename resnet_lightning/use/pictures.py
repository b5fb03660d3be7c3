"""The pictures of an evaluation: calibration, and the mistakes that the network was surest of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from resnet_lightning.fonts import ANY_NAME
from resnet_lightning.text import percent
from resnet_lightning.training.figures import EVAL_COLOUR, STYLE, TRAIN_COLOUR, save
from resnet_lightning.use.subject import Subject

COLUMNS, ROWS = 8, 3


def draw_reliability(record: dict[str, Any], title: str, path: Path) -> None:
    """Accuracy against confidence, and below how many images have that confidence (Guo et al. 2017, figure 1)."""
    bins = [part for part in record["calibration_bins"] if part["images"]]
    middles = [(part["low"] + part["high"]) / 2 for part in bins]
    width = 0.94 * (bins[0]["high"] - bins[0]["low"])
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.bar(middles, [part["accuracy"] for part in bins], width, color=TRAIN_COLOUR, label="accuracy of the bin")
        means = [part["confidence"] for part in bins]
        upper.plot(
            means,
            [part["accuracy"] for part in bins],
            "o",
            color="#1f3a57",
            markersize=4,
            label="at its mean confidence",
        )
        upper.plot([0, 1], [0, 1], color="#888888", linestyle=":", label="calibrated")
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        upper.legend(frameon=False, loc="upper left")
        lower.bar(middles, [part["images"] for part in bins], width, color=EVAL_COLOUR)
        lower.set(
            xlabel="confidence (probability of the predicted class)", ylabel="images", yscale="log", ylim=(0.7, None)
        )
        error = percent(record["expected_calibration_error"])
        figure.suptitle(
            f"{title}\nexpected calibration error {error} ({len(record['calibration_bins'])} bins)", fontsize=10
        )
        save(figure, path)


def draw_mistakes(subject: Subject, probabilities: Tensor, classes: Sequence[str], title: str, path: Path) -> None:
    """The wrong images with the highest confidence first; true class, predicted class and its probability."""
    confidence, predicted = probabilities.max(dim=1)
    wrong = (predicted != subject.labels).nonzero()[:, 0]
    order = wrong[confidence[wrong].argsort(descending=True, stable=True)][: COLUMNS * ROWS].tolist()
    rows = max(1, -(-len(order) // COLUMNS))
    with rc_context({"font.size": 9, **ANY_NAME}):
        figure = Figure(figsize=(COLUMNS * 1.25, rows * 1.75 + 0.7), layout="constrained")
        cells = figure.subplots(rows, COLUMNS, squeeze=False)
        shown = f"the {len(order)} most confident of {len(wrong):,} mistakes" if order else "no mistake"
        figure.suptitle(f"{title}\n{shown}: true class → predicted class, its probability", fontsize=10)
        for cell in cells.flatten():
            cell.axis("off")
        for cell, number in zip(cells.flatten(), order, strict=False):
            pixels = subject.images.batch(slice(number, number + 1))[0].permute(1, 2, 0).numpy()
            cell.imshow(pixels, cmap="gray" if pixels.shape[2] == 1 else None, vmin=0, vmax=255)
            names = f"{classes[int(subject.labels[number])]} → {classes[int(predicted[number])]}"
            cell.set_title(f"{names}\n{percent(float(confidence[number]))}", fontsize=8)
        save(figure, path)
