"""Precision, recall and F1 of decisions, and of the k best labels of each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Doubles, Floats, Targets
from zsprompt.errors import UsageError

Counts = NDArray[np.int_] | Doubles


@dataclass(frozen=True)
class F1Scores:
    """Precision, recall and F1 of decisions. Ignored targets count nowhere, and 0/0 is 0.

    Attributes:
        precision, recall, f1: [C] per label.
        micro: F1 over all cells together.
        macro: mean of the per-label F1.
        sample, sample_precision, sample_recall: means over images of the per-image F1, precision and recall.
        overall: the six measures of the multi-label literature.
    """

    precision: Doubles
    recall: Doubles
    f1: Doubles
    micro: float
    macro: float
    sample: float
    sample_precision: float
    sample_recall: float
    overall: Overall


@dataclass(frozen=True)
class Overall:
    """Per-class and overall precision, recall and F1 as multi-label papers define them, each within 0..1; 0/0 is 0.

    Attributes:
        CP, CR: mean over labels of the per-label precision and recall.
        CF1: 2 · CP · CR / (CP + CR); this is not the mean of the per-label F1.
        OP, OR, OF1: over all cells together; OF1 is the micro F1.

    Source: Zhu et al. 2017, Learning Spatial Regularization with Image-level Supervisions, section 4.1.
    """

    CP: float
    CR: float
    CF1: float
    OP: float
    OR: float
    OF1: float


@dataclass(frozen=True)
class TopK:
    """Measures of the k best labels of each image.

    Attributes:
        k: labels taken per image.
        f1: micro F1 of exactly the k best labels.
        ceiling: the highest `f1` that any ranking can reach with these targets.
        passing: micro F1 of those of the k best labels that are also decided as present.
        passing_ceiling: the highest `passing` that any scores and decisions can reach with these targets.
        overall: CP to OF1 of exactly the k best labels.
    """

    k: int
    f1: float
    ceiling: float
    passing: float
    passing_ceiling: float
    overall: Overall


def f1_scores(decisions: Bools, targets: Targets) -> F1Scores:
    """Precision, recall and F1; equal to scikit-learn with zero_division=0 if no target is ignored."""
    present = targets == 1
    yes = decisions & (targets != -1)
    hits = yes & present
    per_label = _f1(hits.sum(axis=0), yes.sum(axis=0), present.sum(axis=0))
    right, predicted, positives = hits.sum(axis=1), yes.sum(axis=1), present.sum(axis=1)
    return F1Scores(
        precision=_ratio(hits.sum(axis=0), yes.sum(axis=0)),
        recall=_ratio(hits.sum(axis=0), present.sum(axis=0)),
        f1=per_label,
        micro=float(_f1(hits.sum(), yes.sum(), present.sum())),
        macro=float(per_label.mean()),
        sample=_mean(_f1(right, predicted, positives)),
        sample_precision=_mean(_ratio(right, predicted)),
        sample_recall=_mean(_ratio(right, positives)),
        overall=_overall(hits.sum(axis=0), yes.sum(axis=0), present.sum(axis=0)),
    )


def top_k(scores: Floats | Doubles, targets: Targets, decisions: Bools, k: int) -> TopK:
    """Measure the k best labels of each image; ignored targets are skipped.

    Labels that tie for the k-th place count by their chance of being drawn, so the order of the labels has no effect.

    Args:
        scores: [N, C], finite.
        targets: [N, C].
        decisions: [N, C], for `passing`.
        k: at least 1; with fewer than k labels, all are taken.

    Raises:
        UsageError: k is below 1.

    Source: Gong et al. 2014, Deep Convolutional Ranking for Multilabel Image Annotation (F1@k on NUS-WIDE); `passing`
    is the form of tables 3 and 4 of ADDS.
    """
    present = targets == 1
    chosen = among_best(scores, targets, k)
    passing = chosen * decisions
    reachable, positives = np.minimum(present.sum(axis=1), k).sum(), present.sum()
    overall = _overall((chosen * present).sum(axis=0), chosen.sum(axis=0), present.sum(axis=0))
    return TopK(
        k=k,
        f1=overall.OF1,
        ceiling=float(_f1(reachable, chosen.sum(), positives)),
        passing=float(_f1((passing * present).sum(), passing.sum(), positives)),
        passing_ceiling=float(_f1(reachable, reachable, positives)),
        overall=overall,
    )


def hit_at_one(scores: Floats | Doubles, targets: Targets) -> float:
    """Share of images whose best label is present; ties count by chance. NaN without images.

    An image whose targets are all ignored does not count. The measure is lenient: an image of five objects counts as
    solved when the easiest one is found.
    """
    images = (targets != -1).any(axis=1).sum()
    if not images:
        return float("nan")
    return float((among_best(scores, targets, 1) * (targets == 1)).sum() / images)


def among_best(scores: Floats | Doubles, targets: Targets, k: int) -> Doubles:
    """[N, C] the chance, 0..1, that a label is among the k best of its image, with ties broken at random.

    Ignored targets are skipped and have chance 0. Raises UsageError for k below 1.
    """
    if k < 1:
        raise UsageError(f"expected at least 1 best label per image, got {k}")
    counted = targets != -1
    if k >= scores.shape[1]:
        return np.asarray(counted, dtype=np.float64)
    ranked = np.where(counted, scores.astype(np.float64), -np.inf)
    last = np.partition(ranked, -k, axis=1)[:, -k][:, None]  # the k-th best score of each image
    above, level = ranked > last, ranked == last
    slots = k - above.sum(axis=1, keepdims=True)
    return np.asarray((above + level * (slots / level.sum(axis=1, keepdims=True))) * counted, dtype=np.float64)


def _overall(hits: Counts, predicted: Counts, positives: Counts) -> Overall:
    """From [C] counts of true positives, of predicted positives, and of positives."""
    precision, recall = float(_ratio(hits, predicted).mean()), float(_ratio(hits, positives).mean())
    return Overall(
        CP=precision,
        CR=recall,
        CF1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        OP=float(_ratio(hits.sum(), predicted.sum())),
        OR=float(_ratio(hits.sum(), positives.sum())),
        OF1=float(_f1(hits.sum(), predicted.sum(), positives.sum())),
    )


def _mean(per_image: Doubles) -> float:
    """Mean over images; 0 without images."""
    return float(per_image.mean()) if len(per_image) else 0.0


def _ratio(part: Any, whole: Any) -> Doubles:
    """part / whole; 0 where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0))


def _f1(hits: Any, predicted: Any, present: Any) -> Doubles:
    return _ratio(2 * hits, predicted + present)
