"""Matched: labels against the classes that an encoder's classifier knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats, Halves
from zsprompt.errors import UsageError
from zsprompt.prompts.labels import TextSpace, check_labels, class_texts, require_fit
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import (
    BestWindows,
    Prediction,
    ReferenceWords,
    Strategy,
    Supervision,
    require_scale,
)
from zsprompt.strategies.capabilities import refuse_labels
from zsprompt.strategies.order import require_order
from zsprompt.strategies.regions import Regions
from zsprompt.strategies.z_scores import (
    THRESHOLD,
    neutral_reference,
    require_threshold,
    standardise,
    standardise_all,
)

_BLOCK = 64  # images whose class logits are in memory at once


@dataclass(frozen=True)
class Matched:
    """Each label's match with the classes that the encoder's classifier finds, and the score of NAME.

    A match is log Σ_k p_k · exp(scale · cosine of label and class k), with the probability p_k of each of the
    classifier's classes; the text of a class has its hypernyms. Scores are the z of the match, plus `weight` times the
    z of NAME's score. With regions:, the match is the mean of those of the whole image, of the larger image, and of the
    best window. A label is present where its score, standardised within the image, exceeds `threshold`. Reference words
    join the labels in every mean and deviation.

    Attributes:
        strategy: the wrapped strategy, whose score is a cosine.
        scale: factor on the cosine of a label and a class.
        weight: of the z of NAME's score.
        threshold: in standard deviations.
    """

    strategy: Strategy
    scale: float = 30.0
    weight: float = 1.0
    threshold: float = THRESHOLD
    supervision: ClassVar[Supervision] = "label-free"
    stage: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_fields(self)
        require_order(self, self.strategy, of_cosines=True)
        require_scale(self.scale)
        if not 0 <= self.weight < np.inf:
            raise UsageError(f"expected a weight of at least 0, got {self.weight:g}")

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Matched:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    @property
    def reads(self) -> frozenset[str]:
        """See Reads."""
        return frozenset({"classes"})

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares."""
        return neutral_reference(labels)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises what the wrapped strategy raises for the labels and reference words."""
        words = self.reference_words(labels).words
        require_threshold(self.threshold, len(labels), len(words))
        refuse_labels(self.strategy, (*labels, *words))

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises UsageError for an encoder that knows no classes."""
        if not class_texts(texts):
            raise UsageError(
                "expected a model that knows classes, such as conse, for matched:, found one without; use "
                "--model conse, or softmax: or normalised: in place of matched:"
            )

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: the encoder knows no classes, or a threshold that no z can exceed.
            CacheError: class logits are in a store that is closed or damaged.
        """
        labels = check_labels(labels)
        self.refuse(labels, texts)
        words, count = (*labels, *self.reference_words(labels).words), len(labels)
        require_threshold(self.threshold, count, len(words) - count)
        inner = self.strategy.predict(images, words, texts)
        match, windows = self._matches(images, words, texts, count)
        scores = match + self.weight * standardise_all(inner.scores, count)
        yes = standardise(scores, count) > self.threshold
        best = windows and windows.first(count)
        return replace(
            inner, scores=scores[:, :count].astype(np.float32), decisions=yes, windows=best, probabilities=None
        )

    def _matches(
        self, images: Images, words: Sequence[str], texts: TextSpace, count: int
    ) -> tuple[Doubles, BestWindows | None]:
        """[N, C] z of the match of each word, and the window that fits it best where there are windows."""
        if images.classes is None:
            raise UsageError("expected images with class logits for matched:, found none; read them with store.read")
        require_fit(words, texts)
        closeness = np.exp(self.scale * (texts.texts(words) @ texts.texts(class_texts(texts)).T).astype(np.float64))
        whole, larger, best = np.empty((3, len(images), len(words)))
        grids, positions = np.empty((len(images), 4), dtype=np.intp), np.empty(best.shape, dtype=np.intp)
        for start in range(0, len(images), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(images)))
            for row, (grid, logits) in zip(rows, images.classes.read(rows), strict=True):
                matches = log_matches(logits, closeness)
                whole[row], larger[row], best[row] = matches[0], matches[1], matches[2:].max(axis=0)
                grids[row], positions[row] = astuple(grid), matches[2:].argmax(axis=0)
        if not isinstance(self.strategy, Regions):
            return standardise_all(whole, count), None
        views = sum(standardise_all(view, count) for view in (whole, larger, best))
        return standardise_all(np.asarray(views), count), BestWindows(grids, positions)


def log_matches(logits: Halves | Floats, closeness: Doubles) -> Doubles:
    """[n, C] log Σ_k p_k · closeness of label c and class k.

    Args:
        logits: [n, K] of the classes.
        closeness: [C, K] positive.
    """
    wide = logits.astype(np.float64)
    probabilities = np.exp(wide - wide.max(axis=1, keepdims=True))
    total = probabilities.sum(axis=1, keepdims=True)
    return np.asarray(np.log(probabilities @ closeness.T) - np.log(total))
