"""Choosing thresholds: by F1 or a wanted precision where there are targets, by how many yeses to expect where not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices, Targets
from zsprompt.errors import UsageError
from zsprompt.metrics.ranking import Curve
from zsprompt.strategies.thresholds import decide

Kind = Literal["global", "per-label"]


@dataclass(frozen=True)
class Rule:
    """How thresholds are chosen.

    Attributes:
        kind: "global": one for all labels, by the F1 or precision of all cells together; "per-label": one each.
        precision: the lowest threshold from which on at least this share of yeses is right; the best F1 where None.
    """

    kind: Kind = "per-label"
    precision: float | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and not 0 < self.precision <= 1:
            raise UsageError(f"expected a precision above 0 and at most 1, got {self.precision:g}")


def choose(scores: Floats, targets: Targets, rule: Rule) -> Doubles:
    """[C] thresholds, a label being present where its score exceeds its own; NaN where it should never be said.

    That is where a label has no positives, or no threshold reaches the wanted precision.
    """
    if rule.kind == "global":
        one = _best_cut(scores.ravel(), targets.ravel(), rule.precision)
        return np.full(scores.shape[1], one)
    return np.array([_best_cut(scores[:, c], targets[:, c], rule.precision) for c in range(scores.shape[1])])


def out_of_fold(scores: Floats, targets: Targets, rule: Rule, *, folds: int = 5, seed: int = 0) -> Bools:
    """[N, C] decisions on each fold of the images by thresholds that were chosen on the others."""
    decisions = np.zeros(scores.shape, dtype=np.bool_)
    for chosen_on, judged in split(len(scores), folds, seed):
        decisions[judged] = decide(scores[judged], choose(scores[chosen_on], targets[chosen_on], rule))
    return decisions


def split(images: int, folds: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """For each fold the positions of the other images, and its own, both in order.

    Raises:
        UsageError: fewer than 2 folds, fewer images than folds, or a seed outside 0 to 2³² − 1.
    """
    from sklearn.model_selection import KFold

    if not 2 <= folds <= images:
        raise UsageError(f"expected 2 folds or more and at least as many images, got {folds} folds of {images}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"expected a seed of the folds from 0 to 4294967295, got {seed}")
    yield from KFold(folds, shuffle=True, random_state=seed).split(np.arange(images))


def expecting(scores: Floats, *, labels_per_image: float) -> Doubles:
    """[C] one threshold for all labels, under which images have this many labels on average. Looks at no target.

    Raises:
        UsageError: not above 0 and below the number of labels.
    """
    if not 0 < labels_per_image < scores.shape[1]:
        raise UsageError(
            f"expected more than 0 and fewer than {scores.shape[1]} labels per image, as many as there are, "
            f"got {labels_per_image:g}"
        )
    return np.full(scores.shape[1], _quantile_cut(scores.ravel(), labels_per_image / scores.shape[1]))


def sharing(scores: Floats, *, share: float) -> Doubles:
    """[C] a threshold for each label that this share of the images exceeds. Looks at no target.

    Raises:
        UsageError: not within (0, 1).
    """
    if not 0 < share < 1:
        raise UsageError(f"expected a share of images within (0, 1), got {share:g}")
    return np.array([_quantile_cut(column, share) for column in scores.T])


def _best_cut(scores: Floats, targets: Targets, precision: float | None) -> float:
    curve = Curve.of(scores, targets)
    hits, said = curve.hits(), curve.ends + 1
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    falling = scores[curve.order].astype(np.float64)
    if precision is None:
        return _below(falling, int(curve.ends[np.argmax(2 * hits / (said + hits[-1]))]))
    reaching = np.flatnonzero((hits > 0) & (hits >= precision * said))
    return _below(falling, int(curve.ends[reaching[-1]])) if len(reaching) else float("nan")


def _quantile_cut(scores: Floats, share: float) -> float:
    falling = np.sort(scores.astype(np.float64))[::-1]
    wanted = round(share * len(falling))
    if wanted == 0:
        return float(falling[0])
    same = np.flatnonzero(falling == falling[wanted - 1])
    # equal scores stand or fall together: the end of their group that is nearer to the wanted number
    end = same[-1] if same[-1] + 1 - wanted <= wanted - same[0] else same[0] - 1
    return _below(falling, int(end)) if end >= 0 else float(falling[0])


def _below(falling: Doubles, last: int) -> float:
    """A threshold that position `last` of the falling scores exceeds and the next one does not."""
    if last + 1 == len(falling):
        return float(np.nextafter(np.float32(falling[last]), np.float32(-np.inf)))
    return float((falling[last] + falling[last + 1]) / 2)
