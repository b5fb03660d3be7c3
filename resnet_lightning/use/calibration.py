"""What shares and probabilities are worth: the interval of an accuracy, the calibration of a network."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15  # as in Guo et al. 2017


class Bin(NamedTuple):
    """The images whose confidence lies in one interval.

    Attributes:
        confidence, accuracy: means over these images; None without any.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


def wilson(correct: int, images: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): right near 0 and 1 and for few images, unlike p ± 2 sd."""
    from scipy.stats import binomtest

    interval = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def reliability(confidence: NDArray[Any], correct: NDArray[Any]) -> list[Bin]:
    """Sort images into 15 bins of equal width by their confidence, the probability of the predicted class.

    Args:
        confidence: (N,) from 0 to 1.
        correct: (N,) bool.
    """
    number = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # (low, high]: 1.0 is in the last bin
    found = []
    for index in range(BINS):
        inside = number == index
        images = int(inside.sum())
        means = (float(confidence[inside].mean()), float(correct[inside].mean())) if images else (None, None)
        found.append(Bin(index / BINS, (index + 1) / BINS, images, *means))
    return found


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance of accuracy and confidence, every bin weighing as many images as it has.

    Naeini et al. 2015 (AAAI, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"), with the 15 bins of
    Guo et al. 2017 (arXiv:1706.04599). It depends on the bins: compare only values of the same number of them.
    """
    total = sum(part.images for part in bins)
    return sum(part.images * abs((part.accuracy or 0) - (part.confidence or 0)) for part in bins) / total
