"""Texts and images without structure: each has a fixed random vector, so that errors do not cancel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt._utils.progress import quiet
from zsprompt.store import Images

_DIM = 24


class RandomSpace:
    """A TextSpace in which each text has a random vector, the same in every process.

    Args:
        logit_scale: factor on a cosine before a softmax.
        fits_up_to: maximum number of characters in a text that fits.
        dim: D, the width of the vectors.
    """

    progress = staticmethod(quiet)
    fingerprint = "random/1"

    def __init__(self, logit_scale: float = 100.0, fits_up_to: int = 10**9, dim: int = _DIM) -> None:
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
    """`count` images with random vectors [count, dim]."""
    return Images(unit_rows(np.random.default_rng(seed).normal(size=(count, dim))))
