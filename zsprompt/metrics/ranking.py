"""Variants of average precision: how well scores rank the images of each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices, Targets
from zsprompt.metrics.targets import prevalence


def average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over distinct scores.

    Equal scores form one step of the curve, so their order has no effect. The result equals scikit-learn's
    `average_precision_score` on the targets that are not ignored.
    """
    return np.array([curve.average_precision() for curve in _curves(scores, targets)])


def eleven_point_average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] interpolated AP of VOC2007: mean over recalls 0, 0.1 … 1 of the best precision at that recall or above.

    Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge, section 4.2.1.
    """
    return np.array([curve.eleven_point() for curve in _curves(scores, targets)])


def all_point_average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] interpolated AP of VOC2010: area under the best precision at each recall or above.

    Source: Everingham & Winn 2010, The PASCAL Visual Object Classes Challenge 2010 Development Kit, section 3.4.1.
    """
    return np.array([curve.all_point() for curve in _curves(scores, targets)])


def precision_recall(scores: Floats | Doubles, targets: Targets, label: int) -> tuple[Doubles, Doubles]:
    """Recall [n] and precision [n] of one label at each distinct score, highest score first, within 0..1.

    Both are empty for a label without positives.
    """
    curve = Curve.of(scores[:, label], targets[:, label])
    hits = curve.hits()
    if not len(hits) or hits[-1] == 0:
        return np.empty(0), np.empty(0)
    return hits / hits[-1], hits / (curve.ends + 1)


def seed_average_precision(decisions: Bools, targets: Targets) -> Doubles:
    """[C] the measure of the mmm-clip report: trapezoid area under the precision-recall points of 0/1 decisions.

    The points are (recall 1, prevalence), the point of the decisions, and (recall 0, precision 1). A label that is
    always or never predicted scores (1 + prevalence) / 2, so compare with `seed_nothing`.
    """
    counted, present = targets != -1, targets == 1
    yes = decisions & counted
    hits = (yes & present).sum(axis=0)
    positives = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = positives / counted.sum(axis=0)
        recall = hits / positives
        precision = hits / yes.sum(axis=0)
        area = (1 - recall) * (share + precision) / 2 + recall * (precision + 1) / 2
    one_sided = ~yes.any(axis=0) | (yes == counted).all(axis=0)
    result = np.where(one_sided, (1 + share) / 2, area)
    return np.asarray(np.where(positives > 0, result, np.nan))


def seed_nothing(targets: Targets) -> Doubles:
    """[C] `seed_average_precision` of predicting nothing: (1 + prevalence) / 2."""
    return (1 + prevalence(targets)) / 2


@dataclass(frozen=True)
class Curve:
    """The images of one label in descending order of score, and the ends of groups of equal scores.

    Attributes:
        order: [n] positions of the images whose target is not ignored.
        present: [n] whether the label is present.
        ends: [groups] last position of each group of equal scores.
    """

    order: Indices
    present: Bools
    ends: Indices

    @classmethod
    def of(cls, scores: Floats | Doubles, targets: Targets) -> Curve:
        """The curve of one label, scores and targets [N]."""
        counted = np.flatnonzero(targets != -1)
        order = counted[np.argsort(-scores[counted], kind="stable")]
        falling = scores[order].astype(np.float64)
        last = np.r_[falling[1:] != falling[:-1], True] if len(falling) else np.zeros(0, dtype=np.bool_)
        return cls(order, targets[order] == 1, np.flatnonzero(last))

    def hits(self) -> NDArray[np.int_]:
        """[groups] positives among the images up to the end of each group."""
        return np.cumsum(self.present, dtype=np.int_)[self.ends]

    def average_precision(self) -> float:
        """See the function average_precision; NaN without positives, as below."""
        hits = self.hits()
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        # no `@`: it starts BLAS threads, which cost more than everything else on busy cores
        return float((np.diff(hits, prepend=0) * (hits / (self.ends + 1))).sum() / hits[-1])

    def eleven_point(self) -> float:
        """See eleven_point_average_precision."""
        hits = self.hits()
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        # recall >= t/10 in integers: hits * 10 >= t * positives does not round
        first = [int(np.argmax(hits * 10 >= t * hits[-1])) for t in range(11)]
        return float(self._best_from_here(hits)[first].mean())

    def all_point(self) -> float:
        """See all_point_average_precision."""
        hits = self.hits()
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        return float((np.diff(hits, prepend=0) * self._best_from_here(hits)).sum() / hits[-1])

    def weighted_average_precision(self, weights: NDArray[np.int32]) -> Doubles:
        """[B] average precision of B resamples; weights [B, N] count how often each image was drawn."""
        so_far = self.hits()
        gains = np.diff(so_far, prepend=0) > 0  # a group without positives adds nothing
        starts = np.r_[0, self.ends[gains] + 1]  # images after the last positive add nothing either
        # `take` with axis=1 keeps rows contiguous, so sums do not depend on B to the last bit
        weights = weights.take(self.order, axis=1)
        drawn = np.add.reduceat(weights[:, : starts[-1]], starts[:-1], axis=1).cumsum(axis=1)
        hits = weights.compress(self.present, axis=1).cumsum(axis=1).take(so_far[gains] - 1, axis=1)
        gained = np.diff(hits, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = np.where(gained > 0, gained * (hits / drawn), 0.0)
            return np.asarray(steps.sum(axis=1) / hits[:, -1])

    def without_each(self, images: int) -> Doubles:
        """[N] average precision without each image in turn; NaN without the only positive.

        Removing an image changes only the precisions at its rank and below, so two sums give all N values.
        """
        hits, ranks = self.hits().astype(np.float64), self.ends + 1.0
        gained = np.diff(hits, prepend=0)
        fewer = np.maximum(ranks - 1, 1)
        steps = gained * hits / ranks
        total, positives = steps.sum(), hits[-1] if len(hits) else 0.0
        before = np.concatenate([[0.0], np.cumsum(steps)[:-1]]) if len(steps) else steps
        less_absent, less_present = gained * hits / fewer, gained * (hits - 1) / fewer
        below = np.cumsum(less_absent[::-1])[::-1]  # from each group on
        after = np.cumsum(less_present[::-1])[::-1] - less_present
        at_rank = (gained - 1) * (hits - 1) / fewer
        with np.errstate(invalid="ignore", divide="ignore"):
            if_absent = (before + below) / positives
            if_present = (before + at_rank + after) / (positives - 1)
            precisions = np.full(images, total / positives)
        group = np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=-1))
        precisions[self.order] = np.where(self.present, if_present[group], if_absent[group])
        return precisions

    def _best_from_here(self, hits: NDArray[np.int_]) -> Doubles:
        """[groups] the best precision at this recall or above."""
        precision = hits / (self.ends + 1)
        return np.maximum.accumulate(precision[::-1])[::-1]


def _curves(scores: Floats | Doubles, targets: Targets) -> list[Curve]:
    return [Curve.of(scores[:, c], targets[:, c]) for c in range(scores.shape[1])]
