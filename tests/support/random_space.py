"""Texts and images without structure."""

from __future__ import annotations

import numpy as np

from zsprompt._utils.arrays import Floats, unit_rows
from zsprompt._utils.progress import quiet
from zsprompt.store.image_embeddings import Images


class RandomSpace:
    """Any text is a fixed random direction: no structure that could hide a mistake."""

    progress = staticmethod(quiet)
    fingerprint = "random/1"

    def __init__(self, logit_scale: float = 100.0, fits_up_to: int = 10**9) -> None:
        self.logit_scale = logit_scale
        self.fits_up_to = fits_up_to
        self.dim = 24

    def texts(self, texts, *, keep: bool = True) -> Floats:
        rows = [np.random.default_rng(list(text.encode())).normal(size=self.dim) for text in texts]
        return unit_rows(np.array(rows).reshape(len(texts), self.dim))

    def fits(self, texts) -> np.ndarray:
        return np.array([len(text) <= self.fits_up_to for text in texts], dtype=bool)


def random_images(count: int, seed: int = 0, dim: int = 24) -> Images:
    return Images(unit_rows(np.random.default_rng(seed).normal(size=(count, dim))))
