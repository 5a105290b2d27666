"""Encoders: images and texts in, unit vectors of one space out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves

if TYPE_CHECKING:
    from PIL.Image import Image


@runtime_checkable
class Encoder(Protocol):
    """What the store asks of a model. Subclass it to get the two methods that have a default.

    Attributes:
        name: what people call it ("ViT-B/32").
        fingerprint: changes whenever an embedding could: weights, preprocessing, precision.
        dim: D, the width of an embedding.
        logit_scale: what a cosine is multiplied by before a softmax; 100.0 for OpenAI CLIP.
        context_length: the most tokens a text may have, None for no limit.
        text_batch: texts it is best given at a time, in alphabetical order.
    """

    name: str
    fingerprint: str
    dim: int
    logit_scale: float
    context_length: int | None
    text_batch: int = 64

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, D] float32, unit rows. Raises LabelError for a text that does not fit."""
        ...

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows, from RGB images of any size, `prepare`d or not."""
        ...

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text fits the context, without encoding it. By default all do."""
        return np.ones(len(texts), dtype=np.bool_)

    def prepare(self, image: Image) -> Image:
        """`image` cut down to what the tower sees; called in worker threads. By default nothing is done.

        Preparing twice must change nothing.
        """
        return image

    def unfamiliar(self, texts: Sequence[str]) -> list[str]:
        """Words of `texts` that the model was never trained on, each once. By default none is known of."""
        return []


@runtime_checkable
class SpatialEncoder(Protocol):
    """An Encoder that also gives what its tower knows of the places in an image.

    Attributes:
        token_shape: (L, D') of one image: how many tokens, and how wide. D' need not be D.
    """

    token_shape: tuple[int, int]

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """([N, D] float32 unit rows, [N, L, D'] float16 unit rows) in one pass of the tower.

        The first are what `encode_images` gives. Token 0 is the pooled vector, the others are the places, row by row;
        an encoder that cuts an image into patches stacks those of its patches.
        """
        ...


@runtime_checkable
class BatchedEncoder(Protocol):
    """An Encoder that says how many images it is best given at a time.

    Attributes:
        image_batch: that number; a store gives others 64.
    """

    image_batch: int


@runtime_checkable
class Resizable(Protocol):
    """An Encoder that can `prepare` an image for another size than its tower's.

    Attributes:
        image_size: S, side of the square that its tower sees, in pixels.
    """

    image_size: int

    def prepare_at(self, image: Image, size: int) -> Image:
        """What `prepare` gives, [size, size] instead of [S, S]: the same part of the image, more of its pixels."""
        ...


Precision = Literal["auto", "bfloat16", "int8"]
"""float16 on a GPU, float32 on a CPU; or factors rounded in matrix products, with bfloat16 in convolutions too."""


class EncoderLoader(Protocol):
    """What a line of the table of encoders names: it makes the encoder that `name` stands for, see load_encoder."""

    def __call__(self, name: str, *, device: str, precision: Precision) -> Encoder: ...
