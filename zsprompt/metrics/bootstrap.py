"""How sure a number is: intervals and comparisons by drawing the pictures again, with replacement.

A resample's mAP leaves out labels without positives in it. Precision counts a picture among those at or above its own
place, so a picture that is drawn twice counts for itself, and resampled APs lie above the sample's as the sample's lies
above the truth. Intervals are therefore reflected, not read off: value − (quantile − value), on the scale arcsin √AP,
which keeps them within 0..1. How often they hold the truth is measured in benchmarks/coverage.py.

Source: Davison & Hinkley 1997, Bootstrap Methods and their Application, section 5.2.1, the basic bootstrap interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsprompt.arrays import Doubles, Floats, Targets
from zsprompt.errors import UsageError
from zsprompt.metrics.ranking import Curve
from zsprompt.metrics.targets import mean_over_labels

RESAMPLES = 1000

_CELLS = 2**22  # bounds the memory: resamples × pictures held at a time


def resampled_precision(
    scores: Floats | Doubles, targets: Targets, *, resamples: int = RESAMPLES, seed: int = 0
) -> Doubles:
    """[B, C] average precision of every label in B resamples of the N pictures; NaN where it has no positives.

    Args:
        scores: [N, C].
        targets: [N, C].
        resamples: B.
        seed: of the draws; the same seed draws the same pictures for every strategy, which makes differences paired.

    Raises:
        UsageError: fewer than 2 resamples.
    """
    if resamples < 2:
        raise UsageError(f"expected at least 2 resamples, got {resamples}")
    found = np.full((resamples, scores.shape[1]), np.nan)
    curves = {c: Curve.of(scores[:, c], targets[:, c]) for c in np.flatnonzero((targets == 1).any(axis=0))}
    if not curves:
        return found
    start = 0
    for weights in _draws(len(scores), resamples, seed):
        rows = slice(start, start + len(weights))
        for c, curve in curves.items():
            found[rows, c] = curve.weighted_average_precision(weights)
        start += len(weights)
    return found


def mean_precision(resampled: Doubles) -> Doubles:
    """[B] mAP of each resample, from [B, C]; NaN where no label has positives."""
    known = ~np.isnan(resampled)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, resampled, 0.0).sum(axis=1) / known.sum(axis=1))


def interval(value: float, resampled: Doubles, *, level: float = 0.95) -> tuple[float, float]:
    """Reflected bootstrap interval of an AP or mAP.

    On very few pictures every resample can lie above the value, so that its reflection would lie below it: then the
    interval ends at the value.

    Args:
        value: of the whole sample, 0..1.
        resampled: [B] of the resamples; NaN ones are left out.
        level: share of cases in which it should hold the truth.

    Returns:
        (low, high) within 0..1; NaN if the value or every resample is.

    Raises:
        UsageError: a level outside (0, 1).
    """
    tails = _tails(level)
    drawn = resampled[~np.isnan(resampled)]
    if not len(drawn) or np.isnan(value):
        return float("nan"), float("nan")
    low, high = 2 * _stable(np.float64(value)) - _stable(np.quantile(drawn, tails[::-1]))
    return min(_share(low), float(value)), max(_share(high), float(value))


def bootstrap_interval(
    scores: Floats | Doubles, targets: Targets, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """`interval` of the mAP of [N, C] scores; see there and `resampled_precision`."""
    _tails(level)
    means = mean_precision(resampled_precision(scores, targets, resamples=resamples, seed=seed))
    whole = [Curve.of(scores[:, c], targets[:, c]).average_precision() for c in range(scores.shape[1])]
    return interval(mean_over_labels(np.array(whole)), means, level=level)


@dataclass(frozen=True)
class Difference:
    """How much higher a second number is than a first one on the same pictures.

    Attributes:
        value: second − first.
        low, high: its reflected bootstrap interval.
        p: two-sided, the chance of so large a difference if there were none; at most 1.
    """

    value: float
    low: float
    high: float
    p: float


def difference(
    first: float, second: float, first_resampled: Doubles, second_resampled: Doubles, *, level: float = 0.95
) -> Difference:
    """Paired bootstrap of a difference of APs or mAPs.

    p = (2 · min(#Δ ≤ 0, #Δ ≥ 0) + 1) / (B + 1) over the reflected differences Δ, so that but for rounding it is below
    0.05 just where the 95 % interval leaves out 0.

    Args:
        first: of the whole sample.
        second: of the whole sample.
        first_resampled: [B] of the same resamples.
        second_resampled: [B].
        level: of the interval.

    Raises:
        UsageError: the resamples are not as many, or a level outside (0, 1).
    """
    tails = _tails(level)
    if first_resampled.shape != second_resampled.shape:
        raise UsageError(f"expected as many resamples of both, got {len(first_resampled)} and {len(second_resampled)}")
    value = second - first
    drawn = 2 * value - (second_resampled - first_resampled)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Difference(value, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn, tails)
    fewer = int(min((drawn <= 0).sum(), (drawn >= 0).sum()))
    return Difference(value, float(low), float(high), min(1.0, (2 * fewer + 1) / (len(drawn) + 1)))


def false_discovery(p: Doubles) -> Doubles:
    """[n] p-values adjusted for being n: the smallest false discovery rate at which each would be called a finding.

    NaN stays NaN and does not count among the n.

    Source: Benjamini & Hochberg 1995, Controlling the False Discovery Rate.
    """
    known = np.flatnonzero(~np.isnan(p))
    adjusted = np.full(len(p), np.nan)
    if len(known):
        falling = known[np.argsort(-p[known], kind="stable")]
        ranks = np.arange(len(known), 0, -1)
        adjusted[falling] = np.minimum(1.0, np.minimum.accumulate(p[falling] * len(known) / ranks))
    return adjusted


def _draws(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """How often each picture is drawn in each resample, [b, N] at a time."""
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // max(images, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        # one row at a time, so that the draws do not depend on the block size
        rows = [np.bincount(random.integers(images, size=images), minlength=images) for _ in range(size)]
        yield np.stack(rows).astype(np.int32)


def _tails(level: float) -> Doubles:
    if not 0 < level < 1:
        raise UsageError(f"expected a level within (0, 1), got {level}")
    return np.array([(1 - level) / 2, (1 + level) / 2])


def _stable(share: Doubles | np.float64) -> Doubles:
    """Arcsine of the root: on this scale the spread of a share hardly depends on the share."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0))))


def _share(angle: np.float64) -> float:
    return float(np.sin(np.clip(angle, 0.0, np.pi / 2)) ** 2)
