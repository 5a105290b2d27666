"""Normalised: the scores of another strategy, standardised within each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt.errors import UsageError
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import (
    THRESHOLD,
    JudgesAlone,
    Prediction,
    ReferenceWords,
    Strategy,
    Supervision,
    above,
    require_threshold,
    standardise,
    words_to_join,
)
from zsprompt.strategies.capabilities import refuse_labels

_FEWEST = 4


@dataclass(frozen=True)
class Normalised:
    """Scores of NAME standardised within each image: z = (score − mean) / standard deviation over the labels.

    Scores are z. A label is present where z exceeds `threshold`. Fewer than 16 labels give a poor mean and deviation.
    Then reference words join them for both, if the wrapped strategy scores each label on its own (per-label,
    yes-or-no). Other strategies need at least 4 labels.

    Attributes:
        strategy: the wrapped strategy.
        threshold: in standard deviations.

    Source: SPARC (arXiv 2502.16911), within-image standardisation.
    """

    strategy: Strategy
    threshold: float = THRESHOLD
    supervision: ClassVar[Supervision] = "label-free"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Normalised:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares."""
        alone = isinstance(self.strategy, JudgesAlone) and self.strategy.judges_alone
        return words_to_join(labels, in_scores=True) if alone else ReferenceWords()

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises what `predict` raises for too few labels and for the threshold."""
        words = self._words(labels)
        require_threshold(self.threshold, len(words))
        refuse_labels(self.strategy, words)  # the reference words need texts too

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: too few labels, or a threshold that no z can exceed.
        """
        labels = check_labels(labels)
        words = self._words(labels)
        inner = self.strategy.predict(images, words, texts)
        z = standardise(inner.scores)
        yes = above(z, self.threshold, len(words))
        count = len(labels)
        return Prediction(z[:, :count].astype(np.float32), yes[:, :count], inner.overflowed, inner.worded)

    def _words(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels and reference words to standardise over. Raises UsageError for too few."""
        words = (*labels, *self.reference_words(labels).words)
        if len(words) < _FEWEST:
            raise UsageError(
                f"expected at least {_FEWEST} labels to standardise {type(self.strategy).__name__} over, "
                f"found {len(labels)}; use normalised:per-label, which works with any number of labels"
            )
        return words
