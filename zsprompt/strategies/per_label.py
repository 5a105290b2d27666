"""Per-label: every label on its own, by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import THRESHOLD, Prediction, Supervision, above, neutral_company, standardise


@dataclass(frozen=True)
class PerLabel:
    """Cosine of the picture with each label's text, or with the mean of its ensemble of texts.

    Scores are cosines, −1..1. A label is present where its cosine, standardised within the picture, exceeds
    `threshold`; with fewer than 16 labels the neutral vocabulary joins them for the mean and deviation.

    Attributes:
        prompts: wordings; the templates for single labels are used.
        threshold: in standard deviations.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("photo"))
    threshold: float = THRESHOLD
    supervision: ClassVar[Supervision] = "label-free"
    judges_alone: ClassVar[bool] = True

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder, UsageError for the threshold."""
        labels = check_labels(labels)
        everything = (*labels, *neutral_company(labels))
        cosines = images.vectors @ label_vectors(self.prompts, everything, texts).T
        yes = above(standardise(cosines), self.threshold, len(everything))
        own = slice(len(labels))
        return Prediction(cosines[:, own].astype(np.float32, copy=False), yes[:, own])
