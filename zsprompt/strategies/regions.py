"""Regions: the cosine of the whole image together with that of its best window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Floats, Indices
from zsprompt.errors import UsageError
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images, PerImage
from zsprompt.strategies.base import (
    BestWindows,
    Prediction,
    ReferenceWords,
    ScoresCosines,
    Strategy,
    Supervision,
)
from zsprompt.strategies.capabilities import refuse_labels
from zsprompt.strategies.order import require_order
from zsprompt.strategies.z_scores import THRESHOLD, neutral_reference, require_threshold, standardise

_WINDOWS_WEIGH = 2.0  # the best window counts twice as much as the whole image; see benchmarks/label_free.py
_BLOCK = 512  # images whose windows are in memory at once


@dataclass(frozen=True)
class Regions:
    """The mean cosine of NAME on the whole image, and twice on the window of the image that fits the label best.

    Small things fill a window, but not an image. Scores are means of cosines, −1..1. A label is present where its
    score, standardised within the image, exceeds `threshold`; reference words join the labels as for per-label.

    Attributes:
        strategy: the wrapped strategy, whose score is a cosine.
        threshold: in standard deviations.
        windows: "dense", all windows from one pass of the encoder; "crops", each window as an image of its own;
            "auto", dense for conse and residual networks, crops for CLIP's transformers and others.
    """

    strategy: Strategy
    threshold: float = THRESHOLD
    windows: Literal["auto", "dense", "crops"] = "auto"
    supervision: ClassVar[Supervision] = "label-free"
    stage: ClassVar[int] = 1
    judges_alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)
        require_order(self, self.strategy, of_cosines=True)

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Regions:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    @property
    def reads(self) -> frozenset[str]:
        """See Reads."""
        return frozenset({"windows" if self.windows == "auto" else f"windows:{self.windows}"})

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords:
        """See Compares. Scores are cosines, so only decisions depend on them."""
        return neutral_reference(labels, in_scores=False)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises what the wrapped strategy raises for the labels and reference words."""
        words = self.reference_words(labels).words
        require_threshold(self.threshold, len(labels), len(words))
        refuse_labels(self.strategy, (*labels, *words))

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: the images have no windows, or a threshold that no z can exceed.
            CacheError: windows are in a store that is closed or damaged.
        """
        labels = check_labels(labels)
        words, count = self.reference_words(labels).words, len(labels)
        require_threshold(self.threshold, count, len(words))
        scores, windows = self._scores(images, (*labels, *words), texts)
        yes = standardise(scores, count) > self.threshold
        return Prediction(scores[:, :count], yes, windows=windows.first(count))

    def cosines(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Floats:
        """See ScoresCosines."""
        return self._scores(images, labels, texts)[0]

    def _scores(self, images: Images, words: Sequence[str], texts: TextSpace) -> tuple[Floats, BestWindows]:
        """[N, C] scores, and the window of each."""
        if images.windows is None:
            raise UsageError(
                "expected images with windows for regions:, found none; embed them with reads=('windows',)"
            )
        assert isinstance(self.strategy, ScoresCosines)  # see __post_init__
        whole = self.strategy.cosines(images, words, texts)
        best = np.empty_like(whole)
        grids, positions = np.empty((len(images), 4), dtype=np.intp), np.empty(whole.shape, dtype=np.intp)
        for start in range(0, len(images), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(images)))
            grids[rows], starts, vectors = _block(images.windows, rows)
            cosines = self.strategy.cosines(Images(vectors), words, texts)
            best[rows], positions[rows] = best_of_each(cosines, starts)
        scores = (whole + _WINDOWS_WEIGH * best) / (1 + _WINDOWS_WEIGH)
        return np.asarray(scores, dtype=np.float32), BestWindows(grids, positions)


def _block(windows: PerImage, rows: Indices) -> tuple[Indices, Indices, Floats]:
    """Of n images: the fields of their grids [n, 4], where each one's windows start [n + 1], and all windows [W, D]."""
    parts = windows.read(rows)
    starts = np.cumsum([0, *(len(vectors) for _, vectors in parts)])
    grids = np.array([astuple(grid) for grid, _ in parts], dtype=np.intp)
    return grids, starts, np.concatenate([vectors for _, vectors in parts]).astype(np.float32)


def best_of_each(scores: Floats, starts: Indices) -> tuple[Floats, Indices]:
    """The largest score of each image and label, and the position of its window among those of the image.

    Args:
        scores: [W, C], the windows of n images, one after the other.
        starts: [n + 1] where the windows of each image start, and the end.

    Returns:
        [n, C] float32 and [n, C] int.
    """
    best = np.maximum.reduceat(scores, starts[:-1], axis=0)
    positions = np.empty(best.shape, dtype=np.intp)
    for row, (start, end) in enumerate(pairwise(starts)):
        positions[row] = scores[start:end].argmax(axis=0)
    return best, positions
