"""Softmax: the cosine of a label against those of the other labels and of reference words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts.label_text import read_labels
from zsprompt.prompts.labels import TextSpace, check_labels, label_key
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import (
    Prediction,
    ReferenceWords,
    Strategy,
    Supervision,
    require_scale,
    softmax_scale,
)
from zsprompt.strategies.capabilities import refuse_labels
from zsprompt.strategies.order import require_order
from zsprompt.strategies.z_scores import neutral_reference

NEUTRAL, LABELS = "neutral", "labels"

CUT = 0.05
"""Posterior above which a label counts as present."""


@dataclass(frozen=True)
class Softmax:
    """Log-posteriors of NAME's labels: softmax of the scaled cosines over the labels and reference words.

    Scores are log-posteriors, at most 0. A label is present where its posterior exceeds `cut`, so at most 19 labels of
    an image can be present at 0.05. A label that is asked in addition lowers the others' scores, unless it is one of
    the reference words.

    Attributes:
        strategy: the wrapped strategy, whose score is a cosine.
        reference: the words that join the labels: "neutral", the 60 words of prompts/neutral.toml; "labels", none; or
            a text file with a word per line.
        cut: posterior above which a label is present.
        scale: factor on a cosine; None is the encoder's logit scale.

    Raises:
        UsageError: the wrapped strategy's score is no cosine, or a field is out of range.
        LabelError: the file cannot be read, or its words are not valid.
    """

    strategy: Strategy
    reference: str = NEUTRAL
    cut: float = CUT
    scale: float | None = None
    words: tuple[str, ...] | None = field(default=None, init=False)  # those of the file: part of what is predicted
    supervision: ClassVar[Supervision] = "label-free"
    stage: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_fields(self)
        require_order(self, self.strategy, of_cosines=True)
        require_scale(self.scale)
        if not 0 < self.cut < 1:
            raise UsageError(f"expected a cut between 0 and 1, a posterior, got {self.cut:g}")
        if self.reference not in (NEUTRAL, LABELS):
            object.__setattr__(self, "words", check_labels(read_labels(f"@{self.reference}")))

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Softmax:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares."""
        if self.words is None:
            return ReferenceWords() if self.reference == LABELS else neutral_reference(labels)
        given = {label_key(label) for label in labels}
        return ReferenceWords(self.reference, tuple(word for word in self.words if label_key(word) not in given))

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises what the wrapped strategy raises for the labels and reference words."""
        refuse_labels(self.strategy, (*labels, *self.reference_words(labels).words))

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: the encoder's logit scale is no scale of a softmax.
        """
        labels = check_labels(labels)
        words = (*labels, *self.reference_words(labels).words)
        inner = self.strategy.predict(images, words, texts)
        scores = log_posteriors(inner.scores, softmax_scale(self.scale, texts))[:, : len(labels)]
        windows = inner.windows and inner.windows.first(len(labels))
        return replace(
            inner,
            scores=scores.astype(np.float32),
            decisions=scores > np.log(self.cut),
            windows=windows,
            probabilities=None,
        )


def log_posteriors(cosines: Floats, scale: float) -> Doubles:
    """[N, C] log of the softmax over each row of [N, C] cosines times `scale`; at most 0."""
    logits = scale * np.asarray(cosines, dtype=np.float64)
    if not logits.shape[1]:
        return logits
    highest = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - highest).sum(axis=1, keepdims=True)
    return np.asarray(logits - highest - np.log(total))
