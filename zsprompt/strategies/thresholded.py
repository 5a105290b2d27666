"""Thresholded: the scores of another strategy, with decisions by recorded thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from zsprompt._utils.arguments import check_fields
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, Strategy, Supervision
from zsprompt.strategies.thresholds import Thresholds


@dataclass(frozen=True)
class Thresholded:
    """Scores of NAME unchanged; a label is present where its score exceeds its threshold.

    If the thresholds include a calibration, the prediction also has probabilities.

    Attributes:
        strategy: the wrapped strategy.
        thresholds: see zsprompt.evaluation.choose_thresholds, which chooses them and checks their strategy.
    """

    strategy: Strategy
    thresholds: Thresholds
    written: ClassVar[str] = ""  # not part of a specification: thresholds come from their own file

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Thresholded:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    @property
    def supervision(self) -> Supervision:
        """Tuned if the thresholds were chosen on targets, transductive if only on the scores of other images."""
        return "tuned" if self.thresholds.tuned else "transductive"

    def reference_words(self, labels: Sequence[str]) -> None:
        """See Compares: thresholds compare a score with no other one."""

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises ThresholdError for another label set."""
        self.thresholds.order(labels)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises ThresholdError for another label set, and what the wrapped strategy raises."""
        labels = check_labels(labels)
        self.thresholds.order(labels)  # refuse before the work
        answer = self.strategy.predict(images, labels, texts)
        return replace(
            answer,
            decisions=self.thresholds.decide(answer.scores, labels),
            probabilities=self.thresholds.probabilities(answer.scores, labels),
        )
