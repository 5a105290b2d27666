"""Encoders that know the published image and texts only."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from PIL import Image

import zsprompt as zs
from zsprompt._utils.arrays import Floats, unit_rows
from zsprompt.encoders.published import PUBLISHED_TEXTS


def vectors() -> tuple[Floats, Floats]:
    """[1, 512] and [3, 512], unit rows."""
    with np.load(str(files("zsprompt.encoders.published") / "vectors.npz")) as arrays:
        assert tuple(arrays["texts"]) == PUBLISHED_TEXTS
        return unit_rows(arrays["image"]), unit_rows(arrays["text"])


class Published(zs.Encoder):
    """OpenAI's ViT-B/32, as far as the image and the texts go; noise is added to each vector."""

    def __init__(self, image_noise: float = 0.0, text_noise: float = 0.0, dim: int = 512) -> None:
        self.name, self.fingerprint, self.dim = "published", "published", dim
        self.logit_scale, self.context_length = 100.0, 77
        self.noise = {"image": image_noise, "text": text_noise}
        self.seen: list[Image.Image] = []

    def _with_noise(self, kind: str, rows: Floats) -> Floats:
        draw = unit_rows(np.random.default_rng(0).normal(size=rows.shape))
        return unit_rows(rows + self.noise[kind] * draw)[:, : self.dim]

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        assert tuple(texts) == PUBLISHED_TEXTS
        return unit_rows(self._with_noise("text", vectors()[1]))

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        self.seen += images
        return unit_rows(self._with_noise("image", vectors()[0]))


class OtherImage(Published):
    """Published, with another vector for the image."""

    def __init__(self) -> None:
        super().__init__(image_noise=1.0)
