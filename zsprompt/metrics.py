"""Average precision and F1 families: pure functions on numpy arrays.

Letters: N images, C labels. Scores [N, C] are any finite numbers, higher = more likely present; decisions [N, C] are
the yes or no of a strategy; targets [N, C] are 1 present, 0 absent, −1 left out. All results are within 0..1.
A label without positives has no average precision: NaN, left out of means.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zsprompt.arrays import Bools, Doubles, Floats, Targets
from zsprompt.errors import UsageError

Difficult = Literal["ignore", "negative", "positive"]

DIFFICULT: dict[str, int] = {"ignore": -1, "negative": 0, "positive": 1}
"""What a left-out cell (−1) counts as under each convention: official VOC, the mmm-clip seed, CLIP_benchmark."""

_RESAMPLE_CELLS = 2**22  # bounds the bootstrap's memory: resamples × images held at a time


def resolve_targets(targets: Targets, difficult: Difficult) -> Targets:
    """[N, C] targets with −1 read by one of the three conventions; "ignore" leaves them −1."""
    return np.where(targets == -1, DIFFICULT[difficult], targets).astype(np.int8)


def average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over distinct scores.

    Equal scores are one step of the curve, so their order in the file changes nothing; equal to scikit-learn's
    `average_precision_score` on the cells that are not left out.
    """
    return np.array([_curve(*_column(scores, targets, c)).average_precision() for c in range(scores.shape[1])])


def eleven_point_average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] VOC2007's interpolated AP: mean over recalls 0, 0.1 … 1 of the best precision at that recall or above.

    Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge, section 4.2.1.
    """
    return np.array([_curve(*_column(scores, targets, c)).eleven_point() for c in range(scores.shape[1])])


def seed_average_precision(decisions: Bools, targets: Targets) -> Doubles:
    """[C] the mmm-clip seed's own number: trapezoid area under the precision-recall points of 0/1 decisions.

    Those points are (recall 1, prevalence), the decisions' own, and (recall 0, precision 1); a label always or never
    predicted scores (1 + prevalence) / 2, so compare with `seed_nothing`.
    """
    known, present = targets != -1, targets == 1
    yes = decisions & known
    hits = (yes & present).sum(axis=0)
    positives = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        prevalence = positives / known.sum(axis=0)
        recall = hits / positives
        precision = hits / yes.sum(axis=0)
        area = (1 - recall) * (prevalence + precision) / 2 + recall * (precision + 1) / 2
    one_sided = ~yes.any(axis=0) | (yes == known).all(axis=0)
    result = np.where(one_sided, (1 + prevalence) / 2, area)
    return np.asarray(np.where(positives > 0, result, np.nan))


def prevalence(targets: Targets) -> Doubles:
    """[C] share of positives among the cells not left out; NaN for a label without positives."""
    positives = (targets == 1).sum(axis=0)
    known = (targets != -1).sum(axis=0)
    return np.where(positives > 0, positives / np.maximum(known, 1), np.nan)


def seed_nothing(targets: Targets) -> Doubles:
    """[C] what predicting nothing scores under `seed_average_precision`: (1 + prevalence) / 2."""
    return (1 + prevalence(targets)) / 2


def mean_over_labels(values: Doubles) -> float:
    """Mean over the labels that have a value; NaN if none has."""
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if len(finite) else float("nan")


@dataclass(frozen=True)
class F1Scores:
    """Precision, recall and F1 of decisions; cells left out count nowhere, and 0/0 is 0.

    Attributes:
        precision, recall, f1: [C] per label.
        micro: F1 over all cells together.
        macro: mean of the per-label F1.
        sample: mean over images of each image's F1.
    """

    precision: Doubles
    recall: Doubles
    f1: Doubles
    micro: float
    macro: float
    sample: float


def f1_scores(decisions: Bools, targets: Targets) -> F1Scores:
    """The F1 family, equal to scikit-learn's with zero_division=0 where nothing is left out."""
    present = targets == 1
    yes = decisions & (targets != -1)
    hits = yes & present
    per_label = _f1(hits.sum(axis=0), yes.sum(axis=0), present.sum(axis=0))
    per_image = _f1(hits.sum(axis=1), yes.sum(axis=1), present.sum(axis=1))
    return F1Scores(
        precision=_ratio(hits.sum(axis=0), yes.sum(axis=0)),
        recall=_ratio(hits.sum(axis=0), present.sum(axis=0)),
        f1=per_label,
        micro=float(_f1(hits.sum(), yes.sum(), present.sum())),
        macro=float(per_label.mean()),
        sample=float(per_image.mean()) if len(per_image) else 0.0,
    )


def bootstrap_interval(
    scores: Floats | Doubles, targets: Targets, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of mAP over images drawn with replacement.

    A label without positives in a resample leaves that resample's mean.

    Args:
        scores: [N, C].
        targets: [N, C].
        resamples: how many draws.
        level: share of the resampled mAPs inside the interval.
        seed: of the draws; the same seed draws the same images for every strategy.

    Returns:
        (low, high), NaN if no label has positives in any resample.

    Raises:
        UsageError: fewer than 2 resamples, or a level outside (0, 1).
    """
    if resamples < 2 or not 0 < level < 1:
        raise UsageError(f"expected at least 2 resamples and a level within (0, 1), got {resamples} and {level}")
    labels = [c for c in range(scores.shape[1]) if (targets[:, c] == 1).any()]
    usable = [(_order(scores, targets, c), _curve(*_column(scores, targets, c))) for c in labels]
    if not usable:
        return float("nan"), float("nan")
    means = np.concatenate([_mean_ap(usable, weights) for weights in _draws(len(scores), resamples, seed)])
    if np.isnan(means).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Curve:
    """One label's images in falling order of score, and where groups of equal scores end."""

    present: Bools  # [n]
    ends: NDArray[np.intp]  # [groups] last position of each group of equal scores

    def average_precision(self) -> float:
        hits = np.cumsum(self.present)[self.ends]
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        # no `@`: BLAS starts its threads for it, which on busy cores cost more than all the rest
        return float((np.diff(hits, prepend=0) * (hits / (self.ends + 1))).sum() / hits[-1])

    def eleven_point(self) -> float:
        hits = np.cumsum(self.present)[self.ends]
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        best_from_here = np.maximum.accumulate((hits / (self.ends + 1))[::-1])[::-1]
        # recall >= t/10 in whole numbers: hits * 10 >= t * positives has no rounding
        first = [int(np.argmax(hits * 10 >= t * hits[-1])) for t in range(11)]
        return float(best_from_here[first].mean())

    def weighted_average_precision(self, weights: NDArray[np.int32]) -> Doubles:
        """[B] average precision of B resamples, weights [B, n] being how often each image was drawn."""
        so_far = np.cumsum(self.present)[self.ends]
        gains = np.diff(so_far, prepend=0) > 0  # a group without positives adds nothing
        starts = np.r_[0, self.ends[gains] + 1]  # what stands after the last positive adds nothing either
        drawn = np.add.reduceat(weights[:, : starts[-1]], starts[:-1], axis=1).cumsum(axis=1)
        hits = weights.compress(self.present, axis=1).cumsum(axis=1).take(so_far[gains] - 1, axis=1)
        gained = np.diff(hits, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = np.where(gained > 0, gained * (hits / drawn), 0.0)
            return np.asarray(steps.sum(axis=1) / hits[:, -1])


def _column(scores: Floats | Doubles, targets: Targets, label: int) -> tuple[Doubles, Bools]:
    """One label's scores and presences, left-out cells removed, in falling order of score."""
    order = _order(scores, targets, label)
    return scores[order, label].astype(np.float64), targets[order, label] == 1


def _order(scores: Floats | Doubles, targets: Targets, label: int) -> NDArray[np.intp]:
    known = np.flatnonzero(targets[:, label] != -1)
    return known[np.argsort(-scores[known, label], kind="stable")]


def _curve(falling: Doubles, present: Bools) -> _Curve:
    last = np.r_[falling[1:] != falling[:-1], True] if len(falling) else np.zeros(0, dtype=np.bool_)
    return _Curve(present, np.flatnonzero(last))


def _draws(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """How often each image is drawn in each resample, [b, N] at a time."""
    random = np.random.default_rng(seed)
    block = max(1, _RESAMPLE_CELLS // max(images, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        # one row at a time, so that the draws do not depend on the block size
        rows = [np.bincount(random.integers(images, size=images), minlength=images) for _ in range(size)]
        yield np.stack(rows).astype(np.int32)


def _mean_ap(usable: list[tuple[NDArray[np.intp], _Curve]], weights: NDArray[np.int32]) -> Doubles:
    """[b] mAP of each resample."""
    # rows of `take` and of `axis=1` lie together, so that sums do not depend on the block size to the last bit
    aps = [curve.weighted_average_precision(weights.take(order, axis=1)) for order, curve in usable]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample in which no label has positives
        return np.asarray(np.nanmean(np.stack(aps, axis=1), axis=1))


def _ratio(part: NDArray[np.int_], whole: NDArray[np.int_]) -> Doubles:
    return np.asarray(part / np.maximum(whole, 1), dtype=np.float64)


def _f1(hits: NDArray[np.int_], predicted: NDArray[np.int_], present: NDArray[np.int_]) -> Doubles:
    return _ratio(2 * hits, predicted + present)
