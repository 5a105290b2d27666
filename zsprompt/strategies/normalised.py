"""Normalised: another strategy's scores, standardised within each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from zsprompt.errors import UsageError
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import (
    THRESHOLD,
    JudgesAlone,
    Prediction,
    Strategy,
    Supervision,
    above,
    neutral_company,
    standardise,
)

_FEWEST = 4


@dataclass(frozen=True)
class Normalised:
    """NAME's scores standardised within each picture: z = (score − mean) / deviation over the labels.

    Scores are z. A label is present where z exceeds `threshold`. Fewer than 16 labels have too little mean and
    deviation of their own: the neutral vocabulary joins them for both, where the inner strategy judges each label
    alone (per-label, yes-or-no). Other strategies need at least 4 labels.

    Attributes:
        strategy: whose scores are standardised.
        threshold: in standard deviations.

    Source: SPARC (arXiv 2502.16911), within-image standardisation.
    """

    strategy: Strategy
    threshold: float = THRESHOLD
    supervision: ClassVar[Supervision] = "label-free"

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Normalised:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the inner strategy raises.

        Raises:
            UsageError: too few labels, or a threshold that no z can reach.
        """
        labels = check_labels(labels)
        alone = isinstance(self.strategy, JudgesAlone) and self.strategy.judges_alone
        company = neutral_company(labels) if alone else ()
        everything = (*labels, *company)
        if len(everything) < _FEWEST:
            raise UsageError(
                f"expected at least {_FEWEST} labels to standardise {type(self.strategy).__name__} over, "
                f"found {len(labels)}; use normalised:per-label, which also takes one"
            )
        inner = self.strategy.predict(images, everything, texts)
        z = standardise(inner.scores)
        yes = above(z, self.threshold, len(everything))
        own = slice(len(labels))
        return Prediction(z[:, own].astype(np.float32), yes[:, own], inner.overflowed, inner.worded)
