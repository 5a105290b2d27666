"""z: a score, standardised within its image over the labels and reference words.

Reference words join the labels for the mean and deviation. All of them together weigh as much as 24 labels, however
many labels are asked: few labels are compared mostly with the words, many mostly with each other, and one label more
never moves a decision far. Measured in benchmarks/labels_asked.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from zsprompt._utils.arrays import Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import NEUTRAL, neutral_words
from zsprompt.prompts.labels import label_key
from zsprompt.strategies.base import ReferenceWords

THRESHOLD = 2.0
"""Standard deviations above the image's mean from which a label counts as present."""

WORDS_WEIGH = 24.0
"""What all reference words together weigh in a mean and deviation, in labels; a single one weighs at most one label."""


def neutral_reference(labels: Sequence[str], *, in_scores: bool = True) -> ReferenceWords:
    """The neutral words that are not among `labels`."""
    given = {label_key(label) for label in labels}
    return ReferenceWords(NEUTRAL, tuple(word for word in neutral_words() if label_key(word) not in given), in_scores)


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
    wide = np.asarray(scores, dtype=np.float64)
    count = wide.shape[1] if labels is None else labels
    weights = _weights(count, wide.shape[1] - count)
    centred = wide - (wide @ weights)[:, None]
    spread = np.sqrt(centred**2 @ weights)[:, None]
    # the deviation of a constant row is rounding noise, not exactly 0
    constant = spread <= 1e-12 * np.abs(wide).max(axis=1, keepdims=True)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, spread))


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
    """[C + R] the share of each label and each word in a mean."""
    word = min(1.0, WORDS_WEIGH / words) if words else 0.0
    return np.repeat([1.0, word], [labels, words]) / (labels + word * words)
