"""Mistakes: which labels are confused, and the images that show it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.result import Result

SHOWN = 40
"""Maximum number of labels in a grid of confusions."""

EACH = 12
"""Maximum number of images per kind and label."""

_MOST = 2000  # maximum number of images per page, to limit its size


@dataclass(frozen=True)
class Example:
    """An image that is an example for a label.

    Attributes:
        image: position of the image.
        label: position of the label.
        kind: "false positive", "false negative", "now right" or "now wrong".
    """

    image: int
    label: int
    kind: str


def mistaken_for(result: Result) -> tuple[list[int], Doubles]:
    """Positions of n labels, and [n, n] how often the column's label is a false positive where the row's label is.

    The share, 0..1, is of the images that have the row's label and lack the column's. It is NaN without such images,
    and on the diagonal. With more than `SHOWN` labels, only those with the most false positives.
    """
    present, absent = result.targets == 1, result.targets == 0
    wrong = (result.prediction.decisions & absent).astype(np.float32)
    both = present.astype(np.float32).T @ absent.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.asarray(present.astype(np.float32).T @ wrong / both, dtype=np.float64)
    np.fill_diagonal(shares, np.nan)
    busy = np.argsort(-(np.nansum(shares, axis=0) + np.nansum(shares, axis=1)), kind="stable")[:SHOWN]
    shown = sorted(int(c) for c in busy)
    return shown, shares[np.ix_(shown, shown)]


def most_mistaken(result: Result, count: int = 15) -> list[tuple[str, str, float, int]]:
    """The most frequent confusions: (true label, false positive, share 0..1, number of images)."""
    shown, shares = mistaken_for(result)
    present, wrong = result.targets == 1, result.prediction.decisions & (result.targets == 0)
    pairs = []
    for row, column in np.argwhere(np.nan_to_num(shares) > 0):
        true, false = shown[row], shown[column]
        images = int((present[:, true] & wrong[:, false]).sum())
        pairs.append((result.labels[true], result.labels[false], float(shares[row, column]), images))
    return sorted(pairs, key=lambda pair: (-pair[3], -pair[2], pair[0], pair[1]))[:count]


def threshold_of(result: Result, label: int) -> float | None:
    """The threshold that separates the decisions of a label; None where no threshold does."""
    scores, decided = result.prediction.scores[:, label], result.prediction.decisions[:, label]
    if decided.all() or not decided.any():
        return None
    lowest_yes, highest_no = float(scores[decided].min()), float(scores[~decided].max())
    return (lowest_yes + highest_no) / 2 if highest_no < lowest_yes else None


def examples(result: Result) -> list[Example]:
    """The false positives with the highest scores and the false negatives with the lowest, per label."""
    decisions, scores, targets = result.prediction.decisions, result.prediction.scores, result.targets
    each = per_kind(len(result.labels))
    chosen = []
    for c in range(len(result.labels)):
        false_positives = np.flatnonzero(decisions[:, c] & (targets[:, c] == 0))
        false_negatives = np.flatnonzero(~decisions[:, c] & (targets[:, c] == 1))
        chosen += _examples(false_positives, -scores[:, c], each, c, "false positive")
        chosen += _examples(false_negatives, scores[:, c], each, c, "false negative")
    return chosen


def flipped(comparison: Comparison) -> list[Example]:
    """The images per label whose decision became right or wrong, the largest change of rank first."""
    each = per_kind(len(comparison.second.labels))
    moved = _ranks(comparison.second) - _ranks(comparison.first)
    chosen = []
    for c in range(len(comparison.second.labels)):
        for flip, kind in ((1, "now right"), (-1, "now wrong")):
            positions = np.flatnonzero(comparison.flips[:, c] == flip)
            chosen += _examples(positions, -np.abs(moved[:, c]), each, c, kind)
    return chosen


def per_kind(labels: int) -> int:
    """Maximum number of images per kind for each label."""
    return max(1, min(EACH, _MOST // (2 * labels)))


def names(labels: Sequence[str], mask: Bools) -> list[str]:
    """The labels where `mask` [C] is true."""
    return [label for label, yes in zip(labels, mask, strict=True) if yes]


def _examples(images: Indices, keys: Doubles | Floats, each: int, label: int, kind: str) -> list[Example]:
    first = images[np.argsort(keys[images], kind="stable")][:each]
    return [Example(int(n), label, kind) for n in first]


def _ranks(result: Result) -> Doubles:
    """[N, C] rank of each image per label, 0..1; scores of two strategies have no common scale."""
    scores = result.prediction.scores
    places = np.argsort(np.argsort(scores, axis=0, kind="stable"), axis=0, kind="stable")
    return places / max(1, len(scores) - 1)
