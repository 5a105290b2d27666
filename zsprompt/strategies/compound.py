"""Compound: each label on its own and in pairs with every other label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors, require_fit
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, ReferenceWords, Supervision
from zsprompt.strategies.z_scores import (
    THRESHOLD,
    divided,
    moments,
    neutral_reference,
    require_threshold,
    standardise,
)

MAX_PAIRS = 20_000
"""Largest number of texts of pairs. 200 labels have 19,900."""

FEWEST = 250
"""Images with which the first component is as good as with all, within 0.2 points; see benchmarks/prompt_side.py."""

_ROUNDING = 1e-9  # of a sum of weights


@dataclass(frozen=True)
class Compound:
    """Each label's own text, and the texts of its pairs with all other labels ("a photo of a dog and a person").

    The cosine of a label's own text is standardised within the image. So are those of its pairs, by the mean and
    deviation of the single labels. Scores are the mean of the label's own z and of what `fuse` makes of its pairs' z.
    A label is present where its own z exceeds `threshold`, as for normalised:per-label: the source ranks, and decides
    nothing. Reference words join the labels for mean and deviation. Pairs too long for the context are excluded and
    counted; a label without pairs has its own z as the score.

    Attributes:
        prompts: wordings; those for single labels and the [set] section are used.
        fuse: "mean", of the pairs' z, image by image. "component", as in the source, where all z are also standardised
            per text over the images: the first principal component of the label's own z and its pairs' z in ascending
            order, with weights of absolute sum 1. It needs all images at once, so it is transductive.
        threshold: in standard deviations.
        fewest: images that "component" needs; with fewer it refuses.

    Source: SPARC (arXiv 2502.16911), with all pairs in place of an LLM's choice.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("photo"))
    fuse: Literal["mean", "component"] = "mean"
    threshold: float = THRESHOLD
    fewest: int = FEWEST
    stage: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_fields(self)
        if self.fewest < 2:
            raise UsageError(f"expected fewest of at least 2 images, got {self.fewest}")

    @property
    def supervision(self) -> Supervision:
        """See Declares."""
        return "transductive" if self.needs_all_images else "label-free"

    @property
    def needs_all_images(self) -> bool:
        """See NeedsAllImages."""
        return self.fuse == "component"

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares."""
        return neutral_reference(labels)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises PromptError for prompts that lack texts, and UsageError for too many pairs."""
        words = self.reference_words(labels).words
        self.prompts.texts([()])
        self.prompts.ensemble((*labels, *words))
        require_threshold(self.threshold, len(labels), len(words))
        if (pairs := len(labels) * (len(labels) - 1) // 2) > MAX_PAIRS:
            raise UsageError(
                f"{len(labels)} labels have {pairs:,} pairs, more than {MAX_PAIRS:,}; use fewer labels, or "
                "normalised:per-label"
            )

    def refuse_images(self, count: int) -> None:
        """See RefusesImages. Raises UsageError for fewer images than "component" needs."""
        if self.needs_all_images and count < self.fewest:
            raise UsageError(
                f"expected at least {self.fewest} images for fuse=component, which compares images, found {count}; "
                "use fuse=mean, or set the field fewest"
            )

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy.

        Raises:
            LabelError: a label is too long for the encoder.
            UsageError: too many pairs, too few images, or a threshold that no z can exceed.
        """
        labels = check_labels(labels)
        self.refuse_labels(labels)
        self.refuse_images(len(images) or self.fewest)
        words, count = (*labels, *self.reference_words(labels).words), len(labels)
        wordings = self.prompts.texts([(word,) for word in words])
        require_fit(wordings, texts)
        own = standardise(_cosines(images, label_vectors(self.prompts, words, texts)), count)
        mean, deviation = moments(_cosines(images, texts.texts(wordings)), count)
        groups, overflowed = self._pairs(labels, texts) if len(images) else ({}, 0)
        single = _per_text(own) if self.fuse == "component" else own
        fused = single.copy()
        for c, pairs in groups.items():
            if self.fuse == "mean":  # the mean of cosines is the product with the mean vector
                fused[:, c] = divided(_cosines(images, pairs.mean(axis=0, keepdims=True))[:, 0] - mean, deviation)
            else:
                z = _per_text(divided(_cosines(images, pairs) - mean[:, None], deviation[:, None]))
                fused[:, c] = first_component(np.column_stack([np.sort(z, axis=1), single[:, c]]))
        scores = ((single + fused) / 2).astype(np.float32)
        return Prediction(scores, own > self.threshold, overflowed * len(images))

    def _pairs(self, labels: tuple[str, ...], texts: TextSpace) -> tuple[dict[int, Floats], int]:
        """The vectors of the pairs [P, D] of each label that has some, by its column; and the number that do not fit.

        Labels stand in alphabetical order, within pairs and of pairs, so that the order of columns changes nothing.
        """
        pairs = list(combinations(sorted(labels), 2))
        wordings = self.prompts.texts(pairs)
        fit = texts.fits(wordings) if wordings else np.empty(0, dtype=np.bool_)
        kept = [pair for pair, fits in zip(pairs, fit, strict=True) if fits]
        if not kept:
            return {}, len(pairs)
        vectors = texts.texts([text for text, fits in zip(wordings, fit, strict=True) if fits])
        holding = {c: np.array([label in pair for pair in kept]) for c, label in enumerate(labels)}
        return {c: vectors[held] for c, held in holding.items() if held.any()}, len(pairs) - len(kept)


def first_component(statistics: Doubles) -> Doubles:
    """[N] the first principal component of [N, K] statistics of N images, not centred.

    Its weights have an absolute sum of 1 and a mean that is not negative. Two standardised columns that are negatively
    correlated have weights of mean 0; then the last column's is positive, not the one that rounding would choose.
    """
    centred = statistics - statistics.mean(axis=0)
    weights = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    total = weights.sum()
    weights *= np.sign(total if abs(total) > _ROUNDING else weights[-1]) or 1.0
    return np.asarray(statistics @ (weights / np.abs(weights).sum()))


def _cosines(images: Images, vectors: Floats) -> Floats:
    return np.asarray(images.vectors @ vectors.T, dtype=np.float32)


def _per_text(z: Doubles) -> Doubles:
    """[N, T] z, standardised over the images."""
    return standardise(z.T).T if z.size else z
