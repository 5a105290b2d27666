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
from zsprompt.strategies.base import JudgesAlone, Prediction, ReferenceWords, Strategy, Supervision
from zsprompt.strategies.capabilities import refuse_labels
from zsprompt.strategies.order import require_order
from zsprompt.strategies.z_scores import THRESHOLD, neutral_reference, require_threshold, standardise

_FEWEST = 4


@dataclass(frozen=True)
class Normalised:
    """Scores of NAME standardised within each image: z = (score − mean) / standard deviation over the labels.

    Scores are z. A label is present where z exceeds `threshold`. Few labels give a poor mean and deviation, so
    reference words join them for both, if the wrapped strategy scores each label on its own (per-label, yes-or-no,
    regions:); see strategies.z_scores. Other strategies need at least 4 labels.

    Attributes:
        strategy: the wrapped strategy.
        threshold: in standard deviations.

    Source: SPARC (arXiv 2502.16911), within-image standardisation.
    """

    strategy: Strategy
    threshold: float = THRESHOLD
    supervision: ClassVar[Supervision] = "label-free"
    stage: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_fields(self)
        require_order(self, self.strategy)

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
        return neutral_reference(labels) if alone else ReferenceWords()

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises what `predict` raises for too few labels and for the threshold."""
        words = self._words(labels)
        require_threshold(self.threshold, len(labels), len(words) - len(labels))
        refuse_labels(self.strategy, words)  # the reference words need texts too

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: too few labels, or a threshold that no z can exceed.
        """
        labels = check_labels(labels)
        words, count = self._words(labels), len(labels)
        require_threshold(self.threshold, count, len(words) - count)
        inner = self.strategy.predict(images, words, texts)
        z = standardise(inner.scores, count)
        windows = inner.windows and inner.windows.first(count)
        return replace(
            inner, scores=z.astype(np.float32), decisions=z > self.threshold, windows=windows, probabilities=None
        )

    def _words(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels and reference words to standardise over. Raises UsageError for too few."""
        words = (*labels, *self.reference_words(labels).words)
        if len(words) < _FEWEST:
            raise UsageError(
                f"expected at least {_FEWEST} labels to standardise {type(self.strategy).__name__} over, "
                f"found {len(labels)}; use normalised:per-label, which works with any number of labels"
            )
        return words
