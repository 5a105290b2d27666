"""Softmax: the cosine of a label against those of the other labels and of reference words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats
from zsprompt._utils.digests import digest
from zsprompt.errors import UsageError
from zsprompt.prompts import NEUTRAL, neutral_words
from zsprompt.prompts.label_text import read_labels
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import (
    Prediction,
    ReferenceWords,
    Strategy,
    Supervision,
    require_scale,
    softmax_scale,
    words_besides,
)
from zsprompt.strategies.capabilities import refuse_labels
from zsprompt.strategies.order import require_order

LABELS = "labels"
"""The reference that is no words: labels are compared with each other alone."""

CUT = 0.05
"""Posterior above which a label counts as present."""

_ROUNDING = 1e-12  # so that n equal posteriors, which are 1/n up to rounding, never exceed a cut of 1/n


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
        words: those of the file, as they were when the strategy was made; None without a file.
        words_digest: their digest; empty without a file.

    Raises:
        UsageError: the wrapped strategy's score is no cosine, or a field is out of range.
        LabelError: the file cannot be read, or its words are not valid.
    """

    strategy: Strategy
    reference: str = NEUTRAL
    cut: float = CUT
    scale: float | None = None
    words: tuple[str, ...] | None = field(default=None, init=False, repr=False)
    words_digest: str = field(default="", init=False)
    supervision: ClassVar[Supervision] = "label-free"
    scores_logs: ClassVar[bool] = True
    stage: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_fields(self)
        require_order(self, self.strategy, of_cosines=True)
        require_scale(self.scale)
        if not 0 < self.cut < 1:
            raise UsageError(f"expected a cut between 0 and 1, a posterior, got {self.cut:g}")
        if self.reference not in (NEUTRAL, LABELS):
            words = _words_of(self.reference)
            object.__setattr__(self, "words", words)
            object.__setattr__(self, "words_digest", digest(words))

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Softmax:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares."""
        if self.reference == LABELS:
            return ReferenceWords()
        words = neutral_words() if self.words is None else self.words
        return ReferenceWords(self.reference, words_besides(labels, words))

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises what `predict` raises for a single word, and what the wrapped strategy raises."""
        refuse_labels(self.strategy, self._company(labels))

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises UsageError for an encoder without a logit scale, if `scale` is None."""
        softmax_scale(self.scale, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: one label without reference words, or the encoder's logit scale is missing or out of range.
        """
        labels = check_labels(labels)
        scale = softmax_scale(self.scale, texts)
        inner = self.strategy.predict(images, self._company(labels), texts)
        scores = log_posteriors(inner.scores, scale)[:, : len(labels)]
        windows = inner.windows and inner.windows.first(len(labels))
        return replace(
            inner,
            scores=scores.astype(np.float32),
            decisions=scores > np.log(self.cut) + _ROUNDING,
            windows=windows,
            probabilities=None,
        )

    def _company(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels and reference words. Raises UsageError for a single one, whose posterior is always 1."""
        words = (*labels, *self.reference_words(labels).words)
        if len(words) == 1:
            raise UsageError(
                f"expected at least 2 labels and reference words for softmax:, found only {labels[0]!r}; "
                "use reference=neutral, or more labels"
            )
        return words


def log_posteriors(cosines: Floats, scale: float) -> Doubles:
    """[N, C] log of the softmax over each row of [N, C] cosines times `scale`; at most 0.

    The largest of a row is −log(1 + the mass of the others). So posteriors near 1 stay distinct, see `log_marginals`.
    """
    logits = scale * np.asarray(cosines, dtype=np.float64)
    if not logits.size:
        return logits
    best = logits.argmax(axis=1)[:, None]
    logits -= np.take_along_axis(logits, best, axis=1)
    mass = np.exp(logits)
    np.put_along_axis(mass, best, 0.0, axis=1)
    return np.asarray(logits - np.log1p(mass.sum(axis=1, keepdims=True)))


def _words_of(path: str) -> tuple[str, ...]:
    """The words of a file. Raises UsageError where there is none, LabelError for its content."""
    if not Path(path).exists():
        raise UsageError(
            f"expected reference to be {NEUTRAL}, {LABELS} or a text file with a word per line, found no file {path!r}"
        )
    return check_labels(read_labels(f"@{path}"))
