"""Calibration: from scores to probabilities by one curve per label. scikit-learn fits it; numpy applies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zsprompt._utils.arrays import Bools, Doubles, Floats, Targets

Method = Literal["platt", "isotonic"]

Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""platt: ((slope,), (intercept,)) of the logit. isotonic: scores and their probabilities, linear in between."""

_ALMOST_NO_PENALTY = 1e6  # scikit-learn's C: the smoothed targets keep the fit finite, so it needs no penalty


@dataclass(frozen=True)
class Calibration:
    """How the scores of each label become probabilities.

    Attributes:
        method: "platt" (a logistic curve) or "isotonic" (any rising curve; it needs a few hundred positives).
        curves: C curves, one per label.
    """

    method: Method
    curves: tuple[Curve, ...]

    def probabilities(self, scores: Floats) -> Floats:
        """[N, C] scores as probabilities, 0..1."""
        columns = [self._apply(curve, scores[:, c].astype(np.float64)) for c, curve in enumerate(self.curves)]
        return np.stack(columns, axis=1).astype(np.float32)

    def _apply(self, curve: Curve, scores: Doubles) -> Doubles:
        first, second = (np.array(part, dtype=np.float64) for part in curve)
        if self.method == "isotonic":
            return np.interp(scores, first, second)
        return 1 / (1 + np.exp(-np.clip(first * scores + second, -700, 700)))


def fit(scores: Floats, targets: Targets, method: Method) -> Calibration:
    """Fit one curve per label to its scores and targets, both [N, C]; ignored targets (−1) are excluded.

    Source: Platt 1999, Probabilistic Outputs for Support Vector Machines (with its smoothed targets); Zadrozny & Elkan
    2002, Transforming Classifier Scores into Accurate Multiclass Probability Estimates (isotonic).
    """
    fitted = _platt if method == "platt" else _isotonic
    curves = []
    for c in range(scores.shape[1]):
        counted = targets[:, c] != -1
        curves.append(fitted(scores[counted, c].astype(np.float64), targets[counted, c] == 1))
    return Calibration(method, tuple(curves))


def _platt(scores: Doubles, present: Bools) -> Curve:
    from sklearn.linear_model import LogisticRegression

    positives, negatives = int(present.sum()), int((~present).sum())
    target = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = (scores.mean(), scores.std()) if len(scores) else (0.0, 0.0)
    if not spread > 0:
        share = target.mean() if len(scores) else 0.5
        return (0.0,), (float(np.log(share / (1 - share))),)
    standard = (scores - centre) / spread
    model = LogisticRegression(C=_ALMOST_NO_PENALTY, solver="newton-cholesky", tol=1e-8)
    both = np.concatenate([standard, standard])[:, None]  # each cell once per answer, weighted by its smoothed target
    answers = np.repeat([1, 0], len(scores))
    model.fit(both, answers, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0] / spread)
    return (slope,), (float(model.intercept_[0] - slope * centre),)


def _isotonic(scores: Doubles, present: Bools) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    if not len(scores):
        return (0.0,), (0.0,)
    model = IsotonicRegression(y_min=0.0, y_max=1.0).fit(scores, present.astype(np.float64))
    return tuple(map(float, model.X_thresholds_)), tuple(map(float, model.y_thresholds_))
