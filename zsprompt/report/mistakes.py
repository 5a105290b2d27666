"""Mistakes: which label is a false positive where another one is, and which images show it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.result import Result

SHOWN = 40
"""Labels in a grid of confusions at most."""

EACH = 12
"""Images of each kind per label."""

_MOST = 2000  # images of a page: more would make it larger than people open


@dataclass(frozen=True)
class Example:
    """An image that shows something about a label.

    Attributes:
        image: its position.
        label: the label's.
        kind: what it shows.
    """

    image: int
    label: int
    kind: str


def mistaken_for(result: Result) -> tuple[list[int], Doubles]:
    """Labels by position, and [n, n] for each of them (rows) the share of images where another (columns) is decided.

    The share is among images that have the row's label and lack the column's; NaN where there is none, and on the
    diagonal. With many labels, only those with most false positives.
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
    """The most frequent confusions: (label present, false positive, share 0..1, number of such images)."""
    shown, shares = mistaken_for(result)
    present, wrong = result.targets == 1, result.prediction.decisions & (result.targets == 0)
    pairs = []
    for row, column in np.argwhere(np.nan_to_num(shares) > 0):
        there, said = shown[row], shown[column]
        images = int((present[:, there] & wrong[:, said]).sum())
        pairs.append((result.labels[there], result.labels[said], float(shares[row, column]), images))
    return sorted(pairs, key=lambda pair: (-pair[3], -pair[2], pair[0], pair[1]))[:count]


def threshold_of(result: Result, label: int) -> float | None:
    """Between which scores a label's decisions change from no to yes; None where no threshold explains them."""
    scores, yes = result.prediction.scores[:, label], result.prediction.decisions[:, label]
    if yes.all() or not yes.any():
        return None
    lowest_yes, highest_no = float(scores[yes].min()), float(scores[~yes].max())
    return (lowest_yes + highest_no) / 2 if highest_no < lowest_yes else None


def examples(result: Result) -> list[Example]:
    """For each label its most confident false positives and its lowest false negatives, at most 12 of each."""
    decisions, scores, targets = result.prediction.decisions, result.prediction.scores, result.targets
    each = per_kind(len(result.labels))
    found = []
    for c in range(len(result.labels)):
        false_positives = np.flatnonzero(decisions[:, c] & (targets[:, c] == 0))
        false_negatives = np.flatnonzero(~decisions[:, c] & (targets[:, c] == 1))
        found += _examples(false_positives, -scores[:, c], each, c, "false positive")
        found += _examples(false_negatives, scores[:, c], each, c, "false negative")
    return found


def flipped(comparison: Comparison) -> list[Example]:
    """For each label the images whose decision became right or wrong, those whose rank changed most first."""
    each = per_kind(len(comparison.second.labels))
    moved = _ranks(comparison.second) - _ranks(comparison.first)
    found = []
    for c in range(len(comparison.second.labels)):
        for flip, kind in ((1, "now right"), (-1, "now wrong")):
            where = np.flatnonzero(comparison.flips[:, c] == flip)
            found += _examples(where, -np.abs(moved[:, c]), each, c, kind)
    return found


def per_kind(labels: int) -> int:
    """How many images of each kind a label gets."""
    return max(1, min(EACH, _MOST // (2 * labels)))


def names(labels: Sequence[str], mask: Bools) -> list[str]:
    """The labels where `mask` [C] is true."""
    return [label for label, yes in zip(labels, mask, strict=True) if yes]


def _examples(where: Indices, keys: Doubles | Floats, each: int, label: int, kind: str) -> list[Example]:
    first = where[np.argsort(keys[where], kind="stable")][:each]
    return [Example(int(n), label, kind) for n in first]


def _ranks(result: Result) -> Doubles:
    """[N, C] place of each image in its label's ranking, 0..1; scores of two strategies have no common scale."""
    scores = result.prediction.scores
    places = np.argsort(np.argsort(scores, axis=0, kind="stable"), axis=0, kind="stable")
    return places / max(1, len(scores) - 1)
