"""z: a score, standardised within its image over the labels and reference words.

A mean and deviation need company. Reference words join fewer than 16 labels and fill up to 16 together: with 5 labels
they weigh 11, with 15 labels 1, and from 16 labels on they are not needed. So one label more replaces words by its own
weight, and there is no number of labels at which decisions jump. Measured by benchmarks/labels_asked.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from zsprompt._utils.arrays import Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import NEUTRAL, neutral_words
from zsprompt.strategies.base import ReferenceWords, words_besides

THRESHOLD = 2.0
"""Standard deviations above the image's mean from which a label counts as present."""

COMPANY = 16
"""What labels and reference words weigh together in a mean and deviation, in labels, if there are fewer labels."""


def neutral_reference(labels: Sequence[str], *, in_scores: bool = True) -> ReferenceWords:
    """The neutral words that are not among `labels`; none if the labels are company enough."""
    if len(labels) >= COMPANY:
        return ReferenceWords(in_scores=in_scores)
    return ReferenceWords(NEUTRAL, words_besides(labels, neutral_words()), in_scores)


def standardise(scores: Floats | Doubles, labels: int | None = None) -> Doubles:
    """z = (score − mean) / standard deviation of each label within its row; 0 in constant rows.

    Args:
        scores: [N, C + R], of C labels and R reference words.
        labels: C; None if there are no reference words.

    Returns:
        [N, C] z of the labels.

    Source: SPARC (arXiv 2502.16911), within-image standardisation; the weights of the reference words are ours.
    """
    return standardise_all(scores, labels)[:, :labels]


def standardise_all(scores: Floats | Doubles, labels: int | None = None) -> Doubles:
    """As `standardise`, but [N, C + R]: the z of the reference words too."""
    mean, deviation = moments(scores, labels)
    return divided(np.asarray(scores, dtype=np.float64) - mean[:, None], deviation[:, None])


def moments(scores: Floats | Doubles, labels: int | None = None) -> tuple[Doubles, Doubles]:
    """[N] the mean and [N] the standard deviation of each row; the deviation of a constant row is 0.

    Args: see `standardise`.
    """
    wide = np.asarray(scores, dtype=np.float64)
    count = wide.shape[1] if labels is None else labels
    weights = _weights(count, wide.shape[1] - count)
    mean = wide @ weights
    deviation = np.sqrt((wide - mean[:, None]) ** 2 @ weights)
    # the deviation of a constant row is rounding noise, not exactly 0
    constant = deviation <= 1e-12 * np.abs(wide).max(axis=1)
    return mean, np.where(constant, 0.0, deviation)


def divided(centred: Doubles, deviation: Doubles) -> Doubles:
    """`centred` over `deviation`; 0 where the deviation is 0."""
    constant = deviation == 0
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))


def require_threshold(threshold: float, labels: int, words: int) -> None:
    """Raise UsageError for a threshold that no z over this number of labels and reference words can exceed.

    A z is at most √(W − 1), where W is what all labels and words weigh, in labels.
    """
    highest = math.sqrt(max(0.0, 1 / _weights(labels, words)[0] - 1))
    if not -math.inf < threshold < highest:
        raise UsageError(
            f"expected a threshold below {highest:.3g}, the largest possible z over {labels} labels, "
            f"got {threshold:g}; lower it, or use more labels"
        )


def _weights(labels: int, words: int) -> Doubles:
    """[C + R] the share of each label and each word in a mean; a word never weighs more than a label."""
    word = min(1.0, max(0, COMPANY - labels) / words) if words else 0.0
    return np.repeat([1.0, word], [labels, words]) / (labels + word * words)
