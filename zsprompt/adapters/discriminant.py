"""A linear discriminant per label, learnt from the images that a strategy scores highest; no targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Doubles, Floats

_PARTS = ("centre", "directions", "offsets", "means", "deviations", "spread")
_FEWEST_BEST = 5  # images that stand for a label, however few there are


def learn(
    features: Floats,
    scores: Floats,
    decisions: Bools,
    *,
    best: float,
    weight: float,
    shrinkage: float,
    rounds: int,
) -> dict[str, NDArray[Any]]:
    """Fit the discriminants of C labels on N images.

    The mean of a label is that of its best images by score. All labels share the covariance of all images.

    Args:
        features: [N, D], unit rows.
        scores: [N, C] of the strategy, finite.
        decisions: [N, C] of the strategy; only their number per label counts.
        best: share of the images that stand for a label.
        weight: of the discriminant beside the scores.
        shrinkage: of the covariance towards a multiple of the identity.
        rounds: each further round takes the best images by the result of the last one.

    Returns:
        centre [D], directions [D, C], offsets [C], means [C] and deviations [C] of the discriminants, spread [1] of the
        scores, and cuts [C]: a label is present where the result is above its cut. float32.

    Source: linear discriminant analysis with the shared covariance of Wang et al. 2024, "A Hard-to-Beat Baseline for
        Training-free CLIP-based Adaptation" (arXiv 2402.04087); that scores stand in for targets is ours.
    """
    x = np.asarray(features, dtype=np.float64)
    centre = x.mean(axis=0)
    centred = x - centre
    covariance = centred.T @ centred / len(x)
    covariance += shrinkage * np.trace(covariance) / len(centre) * np.eye(len(centre))
    spread = _deviation(np.asarray(scores, dtype=np.float64).reshape(-1, 1))
    count = min(len(x), max(_FEWEST_BEST, round(best * len(x))))
    ranking = scores
    for _ in range(rounds):
        rows = np.argsort(-ranking, axis=0, kind="stable")[:count]
        means = centred[rows].mean(axis=0)  # [C, D], of each label's best images
        directions = np.linalg.lstsq(covariance, means.T, rcond=None)[0]
        offsets = 0.5 * np.einsum("cd,dc->c", means, directions)
        found = centred @ directions - offsets
        parts = (centre, directions, offsets, found.mean(axis=0), _deviation(found), spread)
        lesson = {name: part.astype(np.float32) for name, part in zip(_PARTS, parts, strict=True)}
        ranking = combined(lesson, features, scores, weight)
    return {**lesson, "cuts": _cuts(ranking, decisions.sum(axis=0))}


def standard_discriminants(lesson: Mapping[str, NDArray[Any]], features: Floats) -> Doubles:
    """[N, C] discriminants of images with features [N, D], in deviations from their mean over the training images."""
    centred = np.asarray(features, dtype=np.float64) - lesson["centre"]
    found = centred @ lesson["directions"].astype(np.float64) - lesson["offsets"]
    return np.asarray((found - lesson["means"]) / lesson["deviations"])


def combined(lesson: Mapping[str, NDArray[Any]], features: Floats, scores: Floats, weight: float) -> Floats:
    """[N, C] float32: the strategy's scores in deviations, and `weight` times the discriminants."""
    own = np.asarray(scores, dtype=np.float64) / lesson["spread"]
    return np.asarray(own + weight * standard_discriminants(lesson, features), dtype=np.float32)


def for_labels(lesson: Mapping[str, NDArray[Any]], order: Sequence[int]) -> dict[str, NDArray[Any]]:
    """The lesson for the labels at positions `order`, in that order."""
    of_labels = ("directions", "offsets", "means", "deviations", "cuts")
    return {name: value[..., order] if name in of_labels else value for name, value in lesson.items()}


def principal_components(rows: Floats, count: int) -> tuple[Floats, Floats]:
    """The mean [K] and the first components [K, at most `count`] of rows [N, K]."""
    wide = np.asarray(rows, dtype=np.float64)
    mean = wide.mean(axis=0)
    centred = wide - mean
    vectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return mean.astype(np.float32), np.ascontiguousarray(vectors[:, :count], dtype=np.float32)


def _cuts(results: Floats, counts: NDArray[np.intp]) -> Floats:
    """[C] float32: between the result of the last of each label's `counts` best images and that of the next."""
    ordered = -np.sort(-results, axis=0)
    labels = np.arange(len(counts))
    last = ordered[np.maximum(counts, 1) - 1, labels]
    following = ordered[np.minimum(counts, len(ordered) - 1), labels]
    middle = np.minimum((last + following) / 2, np.nextafter(last, -np.inf))  # rounding must not leave out the last
    cuts = np.where(counts == 0, last, np.where(counts == len(ordered), last - 1, middle))
    return np.asarray(cuts, dtype=np.float32)


def _deviation(values: Doubles) -> Doubles:
    """The standard deviation of each column; 1 where it is rounding noise, because what is constant says nothing."""
    found = values.std(axis=0)
    return np.where(found > 1e-7 * np.abs(values).max(axis=0), found, 1.0)
