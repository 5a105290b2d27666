"""RandomTexts: an encoder with random text vectors, the baseline for what the meaning of texts contributes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt.encoders.base import BatchedEncoder, Encoder, OfDomain, ScaleOnUse, SpatialEncoder
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image


class RandomTexts(ScaleOnUse):
    """`encoder` with a random unit vector for each text. Image embeddings are unchanged.

    A text always has the same vector, whatever the other texts are. An adapter trained with it learns from the images
    and their targets alone. Source: Xu et al. 2022 (ADDS), table 6, "RandMx".

    Args:
        encoder: supplies the image embeddings and their width.
        seed: selects the random vectors.
    """

    def __init__(self, encoder: Encoder, *, seed: int = 0) -> None:
        self._encoder, self._seed = encoder, seed
        self.name = f"{encoder.name} with random texts"
        self.fingerprint = f"random-texts/1 seed={seed} {encoder.fingerprint}"
        self.dim, self.context_length = encoder.dim, encoder.context_length
        if isinstance(encoder, SpatialEncoder):
            self.token_shape = encoder.token_shape
        if isinstance(encoder, BatchedEncoder):
            self.image_batch = encoder.image_batch
        if isinstance(encoder, OfDomain):
            self.domain = encoder.domain

    def read_logit_scale(self) -> float | None:
        """See ScaleOnUse; that of `encoder`."""
        return self._encoder.logit_scale

    def read_logit_bias(self) -> float | None:
        """See ScaleOnUse; that of `encoder`."""
        return self._encoder.logit_bias

    def clean(self, text: str) -> str:
        """See Encoder; as `encoder` does."""
        return self._encoder.clean(text)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """See Encoder."""
        return unit_rows(np.stack([self._random_vector(text) for text in texts]))

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """See Encoder."""
        return self._encoder.encode_images(images)

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder. There is no `token_shape` if `encoder` has none. Raises ModelError then."""
        if not isinstance(self._encoder, SpatialEncoder):
            raise ModelError(f"expected an encoder with spatial tokens, found {self._encoder.name}, which has none")
        return self._encoder.encode_tokens(images)

    def fits(self, texts: Sequence[str]) -> Bools:
        """See Encoder."""
        return self._encoder.fits(texts)

    def prepare(self, image: Image) -> Image:
        """See Encoder."""
        return self._encoder.prepare(image)

    def _random_vector(self, text: str) -> Floats:
        digest = hashlib.sha256(f"{self._seed} {text}".encode("utf-8", "surrogatepass")).digest()
        # RandomState: NumPy guarantees that its stream never changes
        random = np.random.RandomState(np.frombuffer(digest, dtype=np.uint32))
        return np.asarray(random.standard_normal(self.dim), dtype=np.float32)
