"""Whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Doubles, Floats, Indices, Targets
from zsprompt.errors import UsageError

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Said against found, over all cells that are not left out.

    Attributes:
        said: [b] mean probability in each bin that is not empty, 0..1.
        found: [b] share of positives there.
        cells: [b] how many cells lie there.
        error: expected calibration error, the mean distance of said and found weighted by cells, 0..1; NaN without
            cells.
    """

    said: Doubles
    found: Doubles
    cells: Indices
    error: float


def reliability(probabilities: Floats | Doubles, targets: Targets, *, bins: int = BINS) -> Reliability:
    """Compare probabilities that a label is present with how often it is, in bins of equal width.

    Args:
        probabilities: [N, C], 0..1.
        targets: [N, C].
        bins: how many.

    Raises:
        UsageError: a probability outside 0..1, or no bin.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, applied to each cell's "is it there?".
    """
    known = targets != -1
    said, present = np.asarray(probabilities[known], dtype=np.float64), targets[known] == 1
    if bins < 1:
        raise UsageError(f"expected at least 1 bin, got {bins}")
    wrong = said[~((said >= 0) & (said <= 1))]
    if len(wrong):
        raise UsageError(f"expected probabilities within 0..1, got {wrong[0]:g} and {len(wrong) - 1} others outside")
    place = np.minimum((said * bins).astype(np.intp), bins - 1)
    cells = np.bincount(place, minlength=bins)
    full = cells > 0
    mean_said = np.bincount(place, weights=said, minlength=bins)[full] / cells[full]
    mean_found = np.bincount(place, weights=present, minlength=bins)[full] / cells[full]
    error = float((cells[full] * np.abs(mean_said - mean_found)).sum() / len(said)) if len(said) else float("nan")
    return Reliability(mean_said, mean_found, cells[full].astype(np.intp), error)
