"""Average precision in its variants: how well scores rank the images of each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices, Targets
from zsprompt.metrics.targets import prevalence


def average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] average precision, Σ (Rₙ − Rₙ₋₁) Pₙ over distinct scores.

    Equal scores are one step of the curve, so their order in the file changes nothing; equal to scikit-learn's
    `average_precision_score` on the cells that are not left out.
    """
    return np.array([curve.average_precision() for curve in _curves(scores, targets)])


def eleven_point_average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] VOC2007's interpolated AP: mean over recalls 0, 0.1 … 1 of the best precision at that recall or above.

    Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge, section 4.2.1.
    """
    return np.array([curve.eleven_point() for curve in _curves(scores, targets)])


def all_point_average_precision(scores: Floats | Doubles, targets: Targets) -> Doubles:
    """[C] VOC2010's interpolated AP: area under the best precision at each recall or above, over all recalls.

    Source: Everingham & Winn 2010, The PASCAL Visual Object Classes Challenge 2010 Development Kit, section 3.4.1.
    """
    return np.array([curve.all_point() for curve in _curves(scores, targets)])


def precision_recall(scores: Floats | Doubles, targets: Targets, label: int) -> tuple[Doubles, Doubles]:
    """Recall and precision of one label at each distinct score, highest score first, [n] each within 0..1.

    Both are empty for a label without positives.
    """
    curve = Curve.of(scores[:, label], targets[:, label])
    hits = curve.hits()
    if not len(hits) or hits[-1] == 0:
        return np.empty(0), np.empty(0)
    return hits / hits[-1], hits / (curve.ends + 1)


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
        share = positives / known.sum(axis=0)
        recall = hits / positives
        precision = hits / yes.sum(axis=0)
        area = (1 - recall) * (share + precision) / 2 + recall * (precision + 1) / 2
    one_sided = ~yes.any(axis=0) | (yes == known).all(axis=0)
    result = np.where(one_sided, (1 + share) / 2, area)
    return np.asarray(np.where(positives > 0, result, np.nan))


def seed_nothing(targets: Targets) -> Doubles:
    """[C] what predicting nothing scores under `seed_average_precision`: (1 + prevalence) / 2."""
    return (1 + prevalence(targets)) / 2


@dataclass(frozen=True)
class Curve:
    """One label's images in falling order of score, and where groups of equal scores end.

    Attributes:
        order: [n] positions of the images whose cell is not left out.
        present: [n] whether the label is there.
        ends: [groups] last position of each group of equal scores.
    """

    order: Indices
    present: Bools
    ends: Indices

    @classmethod
    def of(cls, scores: Floats | Doubles, targets: Targets) -> Curve:
        """The curve of one label, scores and targets [N]."""
        known = np.flatnonzero(targets != -1)
        order = known[np.argsort(-scores[known], kind="stable")]
        falling = scores[order].astype(np.float64)
        last = np.r_[falling[1:] != falling[:-1], True] if len(falling) else np.zeros(0, dtype=np.bool_)
        return cls(order, targets[order] == 1, np.flatnonzero(last))

    def hits(self) -> NDArray[np.int_]:
        """[groups] positives among the images up to the end of each group."""
        return np.cumsum(self.present, dtype=np.int_)[self.ends]

    def average_precision(self) -> float:
        """See the function of that name; NaN without positives, as below."""
        hits = self.hits()
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        # no `@`: BLAS starts its threads for it, which on busy cores cost more than all the rest
        return float((np.diff(hits, prepend=0) * (hits / (self.ends + 1))).sum() / hits[-1])

    def eleven_point(self) -> float:
        """See eleven_point_average_precision."""
        hits = self.hits()
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        # recall >= t/10 in whole numbers: hits * 10 >= t * positives has no rounding
        first = [int(np.argmax(hits * 10 >= t * hits[-1])) for t in range(11)]
        return float(self._best_from_here(hits)[first].mean())

    def all_point(self) -> float:
        """See all_point_average_precision."""
        hits = self.hits()
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        return float((np.diff(hits, prepend=0) * self._best_from_here(hits)).sum() / hits[-1])

    def weighted_average_precision(self, weights: NDArray[np.int32]) -> Doubles:
        """[B] average precision of B resamples, weights [B, N] being how often each image was drawn."""
        so_far = self.hits()
        gains = np.diff(so_far, prepend=0) > 0  # a group without positives adds nothing
        starts = np.r_[0, self.ends[gains] + 1]  # what stands after the last positive adds nothing either
        # rows of `take` and of `axis=1` lie together, so that sums do not depend on B to the last bit
        weights = weights.take(self.order, axis=1)
        drawn = np.add.reduceat(weights[:, : starts[-1]], starts[:-1], axis=1).cumsum(axis=1)
        hits = weights.compress(self.present, axis=1).cumsum(axis=1).take(so_far[gains] - 1, axis=1)
        gained = np.diff(hits, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = np.where(gained > 0, gained * (hits / drawn), 0.0)
            return np.asarray(steps.sum(axis=1) / hits[:, -1])

    def without_each(self, images: int) -> Doubles:
        """[N] average precision without each image in turn; NaN without the only positive.

        Taking an image out moves only the precisions at its own place and below, so two sums tell all N at once.
        """
        hits, said = self.hits().astype(np.float64), self.ends + 1.0
        gained = np.diff(hits, prepend=0)
        fewer = np.maximum(said - 1, 1)
        steps = gained * hits / said
        total, positives = steps.sum(), hits[-1] if len(hits) else 0.0
        before = np.concatenate([[0.0], np.cumsum(steps)[:-1]]) if len(steps) else steps
        less_absent, less_present = gained * hits / fewer, gained * (hits - 1) / fewer
        below = np.cumsum(less_absent[::-1])[::-1]  # from each group on
        after = np.cumsum(less_present[::-1])[::-1] - less_present
        own = (gained - 1) * (hits - 1) / fewer
        with np.errstate(invalid="ignore", divide="ignore"):
            if_absent = (before + below) / positives
            if_present = (before + own + after) / (positives - 1)
            found = np.full(images, total / positives)
        group = np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=-1))
        found[self.order] = np.where(self.present, if_present[group], if_absent[group])
        return found

    def _best_from_here(self, hits: NDArray[np.int_]) -> Doubles:
        """[groups] the best precision at this recall or above."""
        precision = hits / (self.ends + 1)
        return np.maximum.accumulate(precision[::-1])[::-1]


def _curves(scores: Floats | Doubles, targets: Targets) -> list[Curve]:
    return [Curve.of(scores[:, c], targets[:, c]) for c in range(scores.shape[1])]
