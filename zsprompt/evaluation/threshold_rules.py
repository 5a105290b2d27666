"""Rules for thresholds: best F1 or a wanted precision with targets, an expected number of labels without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices, Targets
from zsprompt.errors import UsageError
from zsprompt.metrics.ranking import Curve
from zsprompt.strategies.thresholds import decide

Kind = Literal["global", "per-label"]


@dataclass(frozen=True)
class Rule:
    """How thresholds are chosen.

    Attributes:
        kind: "global": one threshold for all labels, by F1 or precision over all decisions; "per-label": one per label.
        precision: take the lowest threshold that reaches this precision, 0..1; None takes the best F1.
    """

    kind: Kind = "per-label"
    precision: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.precision is not None and not 0 < self.precision <= 1:
            raise UsageError(f"expected a precision above 0 and at most 1, got {self.precision:g}")


def choose(scores: Floats, targets: Targets, rule: Rule) -> Doubles:
    """[C] thresholds: a label is predicted where its score exceeds its threshold; NaN means never.

    It is NaN where a label has no positives, or no threshold reaches the wanted precision.
    """
    if rule.kind == "global":
        one = _best_cut(scores.ravel(), targets.ravel(), rule.precision)
        return np.full(scores.shape[1], one)
    return np.array([_best_cut(scores[:, c], targets[:, c], rule.precision) for c in range(scores.shape[1])])


def out_of_fold(scores: Floats, targets: Targets, rule: Rule, *, folds: int = 5, seed: int = 0) -> Bools:
    """[N, C] decisions on each fold of the images, by thresholds chosen on the other folds."""
    decisions = np.zeros(scores.shape, dtype=np.bool_)
    for others, fold in split(len(scores), folds, seed):
        decisions[fold] = decide(scores[fold], choose(scores[others], targets[others], rule))
    return decisions


def split(images: int, folds: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield for each fold the positions of the other images and those of its own images, both sorted.

    Raises:
        UsageError: fewer than 2 folds, fewer images than folds, or a seed outside 0 to 2³² − 1.
    """
    from sklearn.model_selection import KFold

    if not 2 <= folds <= images:
        raise UsageError(f"expected 2 folds or more and at least as many images, got {folds} folds for {images} images")
    if not 0 <= seed < 2**32:
        raise UsageError(f"expected a seed for the folds from 0 to 4294967295, got {seed}")
    yield from KFold(folds, shuffle=True, random_state=seed).split(np.arange(images))


def expecting(scores: Floats, *, labels_per_image: float) -> Doubles:
    """[C] one threshold for all labels that predicts this many labels per image on average. Uses no targets.

    Raises:
        UsageError: `labels_per_image` is not above 0 and below the number of labels.
    """
    if not 0 < labels_per_image < scores.shape[1]:
        raise UsageError(
            f"expected labels per image above 0 and below {scores.shape[1]}, the number of labels, "
            f"got {labels_per_image:g}"
        )
    return np.full(scores.shape[1], _quantile_cut(scores.ravel(), labels_per_image / scores.shape[1]))


def sharing(scores: Floats, *, share: float) -> Doubles:
    """[C] for each label, the threshold that this share of the images exceeds. Uses no targets.

    Raises:
        UsageError: `share` is not within (0, 1).
    """
    if not 0 < share < 1:
        raise UsageError(f"expected a share of images within (0, 1), got {share:g}")
    return np.array([_quantile_cut(column, share) for column in scores.T])


def _best_cut(scores: Floats, targets: Targets, precision: float | None) -> float:
    curve = Curve.of(scores, targets)
    hits, predicted = curve.hits(), curve.ends + 1
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    falling = scores[curve.order].astype(np.float64)
    if precision is None:
        return _below(falling, int(curve.ends[np.argmax(2 * hits / (predicted + hits[-1]))]))
    reaching = np.flatnonzero((hits > 0) & (hits >= precision * predicted))
    return _below(falling, int(curve.ends[reaching[-1]])) if len(reaching) else float("nan")


def _quantile_cut(scores: Floats, share: float) -> float:
    falling = np.sort(scores.astype(np.float64))[::-1]
    wanted = round(share * len(falling))
    if wanted == 0:
        return float(falling[0])
    same = np.flatnonzero(falling == falling[wanted - 1])
    # equal scores get equal decisions: take the end of their group that is nearer to the wanted number
    end = same[-1] if same[-1] + 1 - wanted <= wanted - same[0] else same[0] - 1
    return _below(falling, int(end)) if end >= 0 else float(falling[0])


def _below(falling: Doubles, last: int) -> float:
    """A threshold that position `last` of the falling scores exceeds and the next one does not."""
    if last + 1 == len(falling):
        return float(np.nextafter(np.float32(falling[last]), np.float32(-np.inf)))
    return float((falling[last] + falling[last + 1]) / 2)
