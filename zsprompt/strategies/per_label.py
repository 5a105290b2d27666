"""Per-label: each label on its own, by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors, text_vectors
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, ReferenceWords, Supervision
from zsprompt.strategies.z_scores import THRESHOLD, neutral_reference, require_threshold, standardise


@dataclass(frozen=True)
class PerLabel:
    """Cosine between the image and the text of each label, or the mean of its text embeddings.

    Scores are cosines, −1..1. A label is present where its cosine, standardised within the image, exceeds
    `threshold`. Reference words join the labels for the mean and deviation, see strategies.z_scores.

    Attributes:
        prompts: wordings; the templates for single labels are used.
        threshold: in standard deviations.
        reweight: None, the cosine with the mean of a label's text embeddings. A number τ weighs the texts anew for each
            image: the score is the mean of their cosines, with weights softmax(τ · cosine).

    Source of `reweight`: RAM++ (Huang et al. 2023, arXiv 2310.15200), where τ is learnt from 1/0.07 on.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("photo"))
    threshold: float = THRESHOLD
    reweight: float | None = None
    supervision: ClassVar[Supervision] = "label-free"
    judges_alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.reweight is not None and not 0 <= self.reweight < np.inf:
            raise UsageError(f"expected reweight to be a factor of at least 0, got {self.reweight:g}; leave it out")

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares. Scores are cosines, so only decisions depend on them."""
        return neutral_reference(labels, in_scores=False)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises PromptError for prompts without texts for the labels, and UsageError."""
        words = self.reference_words(labels).words
        self.prompts.ensemble((*labels, *words))
        require_threshold(self.threshold, len(labels), len(words))

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder, UsageError for the threshold."""
        labels = check_labels(labels)
        words, count = self.reference_words(labels).words, len(labels)
        require_threshold(self.threshold, count, len(words))
        cosines = self.cosines(images, (*labels, *words), texts)
        return Prediction(cosines[:, :count], standardise(cosines, count) > self.threshold)

    def cosines(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Floats:
        """See ScoresCosines."""
        if self.reweight is None:
            return np.asarray(images.vectors @ label_vectors(self.prompts, labels, texts).T, dtype=np.float32)
        scores = np.empty((len(images), len(labels)), dtype=np.float32)
        for c, vectors in enumerate(text_vectors(self.prompts, labels, texts)):
            scores[:, c] = reweighted(images.vectors @ vectors.T, self.reweight)
        return scores


def reweighted(cosines: Floats, factor: float) -> Doubles:
    """[N] the mean of each row of [N, T] cosines, with weights softmax(factor · cosine)."""
    wide = np.asarray(cosines, dtype=np.float64)
    weights = np.exp(factor * (wide - wide.max(axis=1, keepdims=True)))
    return np.asarray((weights * wide).sum(axis=1) / weights.sum(axis=1))
