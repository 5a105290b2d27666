"""Calibration of probabilities: how well they match the observed frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Doubles, Floats, Indices, Targets
from zsprompt.errors import UsageError

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Predicted probability against observed frequency, over all targets that are not ignored.

    Attributes:
        said: [b] mean predicted probability in each non-empty bin, 0..1.
        found: [b] share of positives in the bin, 0..1.
        cells: [b] number of cells in the bin.
        error: expected calibration error, the mean of |said − found| weighted by cells, 0..1; NaN without cells.
    """

    said: Doubles
    found: Doubles
    cells: Indices
    error: float


def reliability(probabilities: Floats | Doubles, targets: Targets, *, bins: int = BINS) -> Reliability:
    """Compare probabilities with the observed frequency of the labels, in bins of equal width.

    Args:
        probabilities: [N, C] that a label is present, 0..1.
        targets: [N, C].
        bins: number of bins.

    Raises:
        UsageError: a probability outside 0..1, or fewer than 1 bin.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, applied to every cell as a binary decision.
    """
    counted = targets != -1
    predicted, present = np.asarray(probabilities[counted], dtype=np.float64), targets[counted] == 1
    if bins < 1:
        raise UsageError(f"expected at least 1 bin, got {bins}")
    wrong = predicted[~((predicted >= 0) & (predicted <= 1))]
    if len(wrong):
        raise UsageError(f"expected probabilities within 0..1, got {wrong[0]:g} and {len(wrong) - 1} others outside")
    place = np.minimum((predicted * bins).astype(np.intp), bins - 1)
    cells = np.bincount(place, minlength=bins)
    full = cells > 0
    mean_predicted = np.bincount(place, weights=predicted, minlength=bins)[full] / cells[full]
    observed = np.bincount(place, weights=present, minlength=bins)[full] / cells[full]
    distance = (cells[full] * np.abs(mean_predicted - observed)).sum()
    error = float(distance / len(predicted)) if len(predicted) else float("nan")
    return Reliability(mean_predicted, observed, cells[full].astype(np.intp), error)
