"""Yes-or-no: a present text against an absent text for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors, require_fit
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, Supervision, require_scale, softmax_scale


@dataclass(frozen=True)
class YesOrNo:
    """A present text against an absent text for each label ("A photo of a dog", "A photo of nothing").

    Scores are logit(present) − logit(absent), at most twice the scale. A label is present where its score is positive.
    With an encoder without a logit scale, scores are differences of cosines.

    Attributes:
        prompts: wordings; the templates for single labels and `absent` are used.
        scale: factor of the cosines; None means the logit scale of the encoder, 1 if it has none. Neither decisions
            nor the order of images depend on it.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("seed-paper"))
    scale: float | None = None
    supervision: ClassVar[Supervision] = "label-free"
    judges_alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises PromptError for prompts that lack texts, and UsageError for the scale."""
        self.prompts.absent(labels)
        self.prompts.ensemble(labels)
        require_scale(self.scale)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder."""
        labels = check_labels(labels)
        absent_texts = self.prompts.absent(labels)
        require_fit(absent_texts, texts)
        present = label_vectors(self.prompts, labels, texts)
        absent = texts.texts(absent_texts)
        scale = 1.0 if self.scale is None and texts.logit_scale is None else softmax_scale(self.scale, texts)
        scores = scale * (images.vectors @ present.T - images.vectors @ absent.T)
        return Prediction(scores.astype(np.float32, copy=False), scores > 0)
