"""Thresholded: another strategy's scores, decided by thresholds that were chosen elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, Strategy, Supervision
from zsprompt.strategies.thresholds import Thresholds


@dataclass(frozen=True)
class Thresholded:
    """NAME's scores as they are; a label is present where its score exceeds its threshold.

    Where the thresholds come with a calibration the prediction has probabilities too.

    Attributes:
        strategy: whose scores are cut.
        thresholds: see zsprompt.evaluation.thresholds, which makes them and checks that they belong to the strategy.
    """

    strategy: Strategy
    thresholds: Thresholds
    written: ClassVar[str] = ""  # by a specification: thresholds come from a file of their own

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Thresholded:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    @property
    def supervision(self) -> Supervision:
        """Tuned where the thresholds looked at targets, transductive where they looked at other images."""
        return "tuned" if self.thresholds.tuned else "transductive"

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises ThresholdError for other labels than the thresholds', and what the strategy raises."""
        labels = check_labels(labels)
        self.thresholds.order(labels)  # refuse before the work, not after
        answer = self.strategy.predict(images, labels, texts)
        return replace(
            answer,
            decisions=self.thresholds.decide(answer.scores, labels),
            probabilities=self.thresholds.probabilities(answer.scores, labels),
        )
