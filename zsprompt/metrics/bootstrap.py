"""Confidence intervals and paired comparisons of AP and mAP, by bootstrap and jackknife over the images.

The precision at an image counts the image itself, so an image that is drawn twice raises its own precision. Resampled
APs therefore lie above the AP of the sample, just as that lies above the truth. A plain percentile interval is wrong by
twice this bias. Here the bootstrap gives the shape of the distribution. The jackknife gives its location and, where the
bootstrap is narrower, its width. Intervals are computed on the scale arcsin √AP, which keeps them within 0..1.
benchmarks/coverage.py measures their coverage.

Source: Davison & Hinkley 1997, Bootstrap Methods and their Application, sections 2.7.3 (the jackknife) and 5.2.1
(reflection).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Doubles, Floats, Targets
from zsprompt.errors import UsageError
from zsprompt.metrics.ranking import Curve

RESAMPLES = 1000

_CELLS = 2**22  # bounds memory: resamples × images at a time


def resampled_precision(
    scores: Floats | Doubles, targets: Targets, *, resamples: int = RESAMPLES, seed: int = 0
) -> Doubles:
    """[B, C] average precision of every label in B resamples of the N images; NaN without positives.

    Args:
        scores: [N, C].
        targets: [N, C].
        resamples: B.
        seed: the same seed draws the same images for every strategy, which makes differences paired.

    Raises:
        UsageError: fewer than 2 resamples.
    """
    if resamples < 2:
        raise UsageError(f"expected at least 2 resamples, got {resamples}")
    precisions = np.full((resamples, scores.shape[1]), np.nan)
    curves = {c: Curve.of(scores[:, c], targets[:, c]) for c in np.flatnonzero((targets == 1).any(axis=0))}
    if not curves:
        return precisions
    start = 0
    for weights in _draws(len(scores), resamples, seed):
        rows = slice(start, start + len(weights))
        for c, curve in curves.items():
            precisions[rows, c] = curve.weighted_average_precision(weights)
        start += len(weights)
    return precisions


def mean_precision(resampled: Doubles) -> Doubles:
    """[B] mAP of each resample, from [B, C]; NaN where no label has positives."""
    finite = ~np.isnan(resampled)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(finite, resampled, 0.0).sum(axis=1) / finite.sum(axis=1))


def mean_without_each(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[N] mAP without each image in turn; a label that loses its only positive drops out of the mean."""
    images = len(scores)
    total, count = np.zeros(images), np.zeros(images)
    for c in range(scores.shape[1]):
        without = precision_without_each(scores, targets, c)
        total += np.nan_to_num(without)
        count += ~np.isnan(without)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def precision_without_each(scores: Floats | Doubles, targets: Targets, label: int) -> Doubles:
    """[N] average precision of one label without each image in turn."""
    return Curve.of(scores[:, label], targets[:, label]).without_each(len(scores))


@dataclass(frozen=True, eq=False)
class Sampling:
    """The variation of an AP or mAP from sample to sample.

    Attributes:
        value: on the whole sample, 0..1; NaN for a label without positives.
        resampled: [B] on images drawn with replacement; NaN without positives.
        without: [N] without each image in turn; NaN without positives.
    """

    value: float
    resampled: Doubles
    without: Doubles


def interval(sampling: Sampling, *, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of an AP or mAP.

    It always contains the value, even where nearly every sample would lie above the truth (many labels, few images).

    Args:
        sampling: the value and its resamples.
        level: share of intervals that should contain the truth, 0..1.

    Returns:
        (low, high) within 0..1; NaN if the value or every resample is NaN.

    Raises:
        UsageError: a level outside (0, 1).
    """
    tails, value = _tails(level), sampling.value
    if np.isnan(value):
        return float("nan"), float("nan")
    # on the scale where the spread hardly depends on the value
    drawn = _placed(_stable(value), _stable(sampling.resampled), _stable(sampling.without))
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, tails)
    return min(_share(low), value), max(_share(high), value)


@dataclass(frozen=True)
class Difference:
    """The difference between two APs or mAPs on the same images.

    Attributes:
        value: second − first.
        low, high: its confidence interval.
        p: two-sided p-value, at most 1.
    """

    value: float
    low: float
    high: float
    p: float


def difference(first: Sampling, second: Sampling, *, level: float = 0.95) -> Difference:
    """Paired bootstrap of the difference between two APs or mAPs on the same images.

    p = (2 · min(#Δ ≤ 0, #Δ ≥ 0) + 1) / (B + 1). The differences Δ are centred like the interval, so p is below 0.05
    exactly where the 95 % interval excludes 0, up to rounding.

    Raises:
        UsageError: different numbers of resamples or images, or a level outside (0, 1).
    """
    tails = _tails(level)
    if first.resampled.shape != second.resampled.shape or first.without.shape != second.without.shape:
        raise UsageError(
            "expected the same number of resamples and images for both, got "
            f"{len(first.resampled)} and {len(second.resampled)} resamples, "
            f"{len(first.without)} and {len(second.without)} images"
        )
    value = second.value - first.value
    drawn = _placed(np.asarray(value), second.resampled - first.resampled, second.without - first.without)
    if not len(drawn) or np.isnan(value):
        return Difference(value, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn, tails)
    fewer = int(min((drawn <= 0).sum(), (drawn >= 0).sum()))
    return Difference(value, float(low), float(high), min(1.0, (2 * fewer + 1) / (len(drawn) + 1)))


def _placed(value: Doubles, resampled: Doubles, without: Doubles) -> Doubles:
    """Draws of the truth: resamples reflected about the bias-corrected value, at least as wide as the jackknife."""
    drawn, left = resampled[~np.isnan(resampled)], without[~np.isnan(without)]
    if not len(drawn):
        return drawn
    offsets = drawn - drawn.mean()
    bias, width = drawn.mean() - value, offsets.std()
    if len(left) > 1:
        bias = (len(left) - 1) * (left.mean() - value)
        error = np.sqrt((len(left) - 1) * left.var())
        offsets = offsets * max(1.0, error / width) if width > 0 else offsets
    return np.asarray(value - bias - offsets)


def false_discovery(p: Doubles) -> Doubles:
    """[n] p-values adjusted for n tests: the smallest false discovery rate at which each is significant.

    NaN stays NaN and does not count as a test.

    Source: Benjamini & Hochberg 1995, Controlling the False Discovery Rate.
    """
    from scipy.stats import false_discovery_control

    tested = ~np.isnan(p)
    adjusted = np.full(len(p), np.nan)
    if tested.any():
        adjusted[tested] = false_discovery_control(p[tested], method="bh")
    return adjusted


def _draws(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """The number of times each image is drawn in each resample, [b, N] at a time."""
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // max(images, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        # one row at a time: the draws must not depend on the block size
        rows = [np.bincount(random.integers(images, size=images), minlength=images) for _ in range(size)]
        yield np.stack(rows).astype(np.int32)


def _tails(level: float) -> Doubles:
    if not 0 < level < 1:
        raise UsageError(f"expected a level within (0, 1), got {level}")
    return np.array([(1 - level) / 2, (1 + level) / 2])


def _stable(share: Doubles | float) -> Doubles:
    """arcsin √share; NaN stays NaN."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0))))


def _share(angle: np.float64) -> float:
    return float(np.sin(np.clip(angle, 0.0, np.pi / 2)) ** 2)
