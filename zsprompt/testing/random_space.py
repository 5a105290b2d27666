"""Texts and images without structure: each has a fixed random vector, so that errors do not cancel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt._utils.progress import quiet
from zsprompt.encoders.windows import Grid
from zsprompt.store import Images
from zsprompt.store.image_embeddings import RowsInMemory

_DIM = 24
CLASSES = tuple(f"class {number}" for number in range(30))
"""The texts of the classes that random images have logits of."""


class RandomSpace:
    """A TextSpace in which each text has a random vector, the same in every process.

    Args:
        logit_scale: factor on a cosine before a softmax, or None.
        fits_up_to: maximum number of characters in a text that fits.
        dim: D, the width of the vectors.
    """

    progress = staticmethod(quiet)
    fingerprint = "random/1"
    class_texts = CLASSES

    def __init__(self, logit_scale: float | None = 100.0, fits_up_to: int = 10**9, dim: int = _DIM) -> None:
        self.logit_scale = logit_scale
        self.fits_up_to = fits_up_to
        self.dim = dim

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        """[T, D] float32, unit rows. Each depends on its text alone."""
        rows = [np.random.default_rng(list(text.encode())).normal(size=self.dim) for text in texts]
        return unit_rows(np.array(rows).reshape(len(texts), self.dim))

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most `fits_up_to` characters."""
        return np.array([len(text) <= self.fits_up_to for text in texts], dtype=np.bool_)


def random_images(count: int, seed: int = 0, dim: int = _DIM) -> Images:
    """`count` images with random vectors [count, dim], windows [W, dim] and class logits [2 + W, CLASSES]."""
    random = np.random.default_rng(seed)
    vectors = unit_rows(random.normal(size=(count, dim)))
    grids = [Grid.of(4, 3) if row % 2 else Grid.of(1, 2) for row in range(count)]
    windows = [unit_rows(random.normal(size=(len(grid), dim))).astype(np.float16) for grid in grids]
    classes = [random.normal(size=(2 + len(grid), len(CLASSES))).astype(np.float16) for grid in grids]
    parts = (RowsInMemory(list(zip(grids, rows, strict=True))) for rows in (windows, classes))
    return Images(vectors, None, None, *parts)
