"""Per-label: each label on its own, by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors, logit_bias, text_vectors
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, ReferenceWords, Supervision
from zsprompt.strategies.z_scores import THRESHOLD, neutral_reference, require_threshold, standardise

_CUT = 0.5


@dataclass(frozen=True)
class PerLabel:
    """Cosine between the image and the text of each label, or the mean of its text embeddings.

    Scores are cosines, −1..1. A label is present where its cosine, standardised within the image, exceeds
    `threshold`. Reference words join the labels for the mean and deviation, see strategies.z_scores.

    With decide=sigmoid, a label is present where its probability exceeds `cut`: the sigmoid with which the model was
    trained, of the scaled cosine and the logit bias. It needs no other labels, words or images. The prediction then
    has these probabilities too. Source: SigLIP (Zhai et al. 2023, arXiv 2303.15343).

    Attributes:
        prompts: wordings; the templates for single labels are used.
        threshold: in standard deviations; for decide=z.
        decide: "z", by standardised cosines, or "sigmoid", for models with a logit bias.
        cut: probability, 0..1; for decide=sigmoid.
        reweight: a factor that weighs the text embeddings of a label anew for each image, with
            softmax(factor · cosine); 0 is their plain mean.

    Source of `reweight`: RAM++ (Huang et al. 2023, arXiv 2310.15200), which learns the factor. We make the weighted
    mean unit again, as the plain mean is.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("photo"))
    threshold: float = THRESHOLD
    decide: Literal["z", "sigmoid"] = "z"
    cut: float = _CUT
    reweight: float = 0.0
    supervision: ClassVar[Supervision] = "label-free"
    judges_alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.reweight < np.inf:
            raise UsageError(f"expected reweight to be a factor of at least 0, got {self.reweight:g}")
        if not 0 < self.cut < 1:
            raise UsageError(f"expected a cut between 0 and 1, a probability, got {self.cut:g}")
        unused = ("cut", self.cut, _CUT) if self.decide == "z" else ("threshold", self.threshold, THRESHOLD)
        if unused[1] != unused[2]:
            raise UsageError(f"decide={self.decide} does not use {unused[0]}={unused[1]:g}; leave one out")

    @property
    def kept_by(self) -> str:
        """See KeepsDecisions."""
        return "decide=sigmoid" if self.decide == "sigmoid" else ""

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords | None:
        """See Compares. Scores are cosines, so only decisions depend on them."""
        return neutral_reference(labels, in_scores=False) if self.decide == "z" else None

    def _words(self, labels: Sequence[str]) -> tuple[str, ...]:
        words = self.reference_words(labels)
        return words.words if words else ()

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises PromptError for prompts without texts for the labels, and UsageError."""
        words = self._words(labels)
        self.prompts.ensemble((*labels, *words))
        if self.decide == "z":
            require_threshold(self.threshold, len(labels), len(words))

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder, UsageError for the threshold."""
        labels = check_labels(labels)
        if self.decide == "sigmoid":
            return self._by_sigmoid(self.cosines(images, labels, texts), texts)
        words, count = self._words(labels), len(labels)
        require_threshold(self.threshold, count, len(words))
        cosines = self.cosines(images, (*labels, *words), texts)
        return Prediction(cosines[:, :count], standardise(cosines, count) > self.threshold)

    def _by_sigmoid(self, cosines: Floats, texts: TextSpace) -> Prediction:
        bias, scale = logit_bias(texts), texts.logit_scale
        if bias is None or scale is None:
            lacks = "logit bias" if bias is None else "logit scale"
            raise UsageError(
                f"expected a model with a {lacks}, such as SigLIP, for decide=sigmoid, found one without; "
                "use softmax:per-label or thresholds"
            )
        logits = scale * np.asarray(cosines, dtype=np.float64) + bias
        probabilities = np.exp(-np.logaddexp(0, -logits))
        return Prediction(cosines, probabilities > self.cut, probabilities=probabilities.astype(np.float32))

    def cosines(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Floats:
        """See ScoresCosines."""
        if not self.reweight:
            return np.asarray(images.vectors @ label_vectors(self.prompts, labels, texts).T, dtype=np.float32)
        scores = np.empty((len(images), len(labels)), dtype=np.float32)
        for c, vectors in enumerate(text_vectors(self.prompts, labels, texts)):
            scores[:, c] = reweighted(images.vectors, vectors, self.reweight)
        return scores


def reweighted(images: Floats, texts: Floats, factor: float) -> Doubles:
    """[N] the cosine of each image with the mean of the texts, weighted by softmax(factor · cosine).

    Args:
        images: [N, D] unit rows.
        texts: [T, D] unit rows.
        factor: at least 0.
    """
    cosines = (images @ texts.T).astype(np.float64)
    weights = np.exp(factor * (cosines - cosines.max(axis=1, keepdims=True)))
    lengths = np.sqrt(((weights @ (texts @ texts.T)) * weights).sum(axis=1))  # of the weighted sum of texts
    return np.asarray((weights * cosines).sum(axis=1) / lengths)
