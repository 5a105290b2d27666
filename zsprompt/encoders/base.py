"""The protocols that an encoder implements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves
from zsprompt.encoders.windows import Grid

if TYPE_CHECKING:
    from PIL.Image import Image


@runtime_checkable
class Encoder(Protocol):
    """The model interface that the store uses. Subclass it to inherit the default methods.

    Attributes:
        name: name for display, such as "ViT-B/32".
        fingerprint: changes whenever an embedding could change: weights, preprocessing, precision.
        dim: D, the width of an embedding.
        logit_scale: factor on a cosine before a softmax; 100.0 for OpenAI CLIP. None if the model was not trained with
            one: then a softmax needs the field `scale` of its strategy, see zsprompt.suggest_logit_scale.
        logit_bias: added to the scaled cosine before a sigmoid, which then is the probability that image and text
            match. None for a model that was trained with a softmax.
        context_length: maximum number of tokens in a text; None for no limit.
        text_batch: preferred number of texts per batch, in alphabetical order.
    """

    name: str
    fingerprint: str
    dim: int
    logit_scale: float | None
    logit_bias: float | None = None
    context_length: int | None
    text_batch: int = 64

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, D] float32, unit rows. Raises LabelError for a text that does not fit."""
        ...

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows, from RGB images of any size, prepared or not."""
        ...

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text fits the context, without encoding it. By default, every text fits."""
        return np.ones(len(texts), dtype=np.bool_)

    def clean(self, text: str) -> str:
        """What the model reads of a text: for example in lower case and without punctuation. By default, `text`.

        A text and its cleaned text have the same embedding. Cleaning a text twice must equal cleaning it once.
        """
        return text

    def prepare(self, image: Image) -> Image:
        """`image`, cropped and resized for the tower. Called in worker threads. By default, `image` itself.

        Preparing an image twice must equal preparing it once.
        """
        return image

    def unfamiliar(self, texts: Sequence[str]) -> list[str]:
        """Words of `texts` that the model was never trained on, each once. By default, none."""
        return []

    def often_missed(self, labels: Sequence[str]) -> list[str]:
        """Those of `labels` that the model is known to miss on most images that show them. By default, none."""
        return []


class ScaleOnUse(Encoder):
    """An Encoder that reads `logit_scale` and `logit_bias` when first asked for, because they are weights."""

    @cached_property
    def logit_scale(self) -> float | None:  # type: ignore[override]  # an attribute all the same
        """See Encoder."""
        return self.read_logit_scale()

    @cached_property
    def logit_bias(self) -> float | None:  # type: ignore[override]  # likewise
        """See Encoder."""
        return self.read_logit_bias()

    def read_logit_scale(self) -> float | None:
        """The logit scale, from the weights; None if the model has none."""
        raise NotImplementedError

    def read_logit_bias(self) -> float | None:
        """The logit bias, from the weights. By default, None."""
        return None


@runtime_checkable
class SpatialEncoder(Protocol):
    """An Encoder that also gives spatial tokens: one vector per place in an image.

    Attributes:
        token_shape: (L, D') of one image: number of tokens and their width. D' may differ from D.
    """

    token_shape: tuple[int, int]

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """([N, D] float32 unit rows, [N, L, D'] float16 unit rows) in one pass of the tower.

        The vectors equal those of `encode_images`. Token 0 is the pooled vector; the other tokens are the places, row
        by row. An encoder that cuts an image into patches stacks the tokens of its patches.
        """
        ...


@runtime_checkable
class WindowEncoder(Protocol):
    """An Encoder that embeds all windows of an image in one pass of its tower.

    Attributes:
        windows_key: what the window vectors depend on in addition to `fingerprint` and the grid.
        prefers_dense: whether windows come from this pass unless crops are asked for; False where their quality is
            not known.
    """

    windows_key: str
    prefers_dense: bool

    def grid(self, width: int, height: int) -> Grid:
        """The grid whose windows it embeds of an image of this size, in pixels."""
        ...

    def prepare_windows(self, image: Image, grid: Grid) -> Image:
        """`image`, resized for the pass over its windows. Called in worker threads."""
        ...

    def encode_windows(self, images: Sequence[Image], grids: Sequence[Grid]) -> list[Halves]:
        """[W, D] float16, unit rows, for each prepared image: its windows, in the order of Grid.windows."""
        ...


@runtime_checkable
class ClassEncoder(WindowEncoder, Protocol):
    """A WindowEncoder with a classifier, which says how likely an image shows each of K classes.

    Attributes:
        class_texts: K texts, each a class's name and those of its hypernyms.
    """

    class_texts: tuple[str, ...]

    def encode_classes(self, images: Sequence[Image], grids: Sequence[Grid]) -> list[Halves]:
        """[2 + W, K] float16 logits for each image that `prepare_windows` prepared.

        Row 0 is of the whole image at the tower's size, row 1 of the whole larger image, the others of its windows.
        """
        ...

    def vectors_of(self, logits: Halves) -> Halves:
        """[n, D] float16, unit rows: the vectors of windows with logits [n, K], as `encode_windows` gives them."""
        ...


@runtime_checkable
class BatchedEncoder(Protocol):
    """An Encoder with a preferred number of images per batch.

    Attributes:
        image_batch: that number. The store uses 64 for other encoders.
    """

    image_batch: int


@runtime_checkable
class Resizable(Protocol):
    """An Encoder that can prepare an image at a size other than its tower's.

    Attributes:
        image_size: S, the side of the tower's square input, in pixels.
    """

    image_size: int

    def prepare_at(self, image: Image, size: int) -> Image:
        """As `prepare`, but [size, size] instead of [S, S]: the same part of the image, in more pixels."""
        ...


@runtime_checkable
class OfDomain(Protocol):
    """An Encoder that was trained on images of one kind only.

    Attributes:
        domain: the kind, in the words of Dataset.domain: "photographs" or "drawn scenes".
    """

    domain: str


def another_domain(encoder: Encoder, domain: str) -> Iterator[str]:
    """The warning that an encoder was trained on images of another kind than `domain`."""
    if isinstance(encoder, OfDomain) and encoder.domain != domain:
        yield f"model {encoder.name} was trained on {encoder.domain} only, so its scores for {domain} mean little"


Precision = Literal["auto", "bfloat16", "int8"]
"""auto is float16 on a GPU and float32 on a CPU. The others round the factors of matrix products; bfloat16 rounds those
of convolutions too."""


class EncoderLoader(Protocol):
    """The function that an entry of the encoder table names: it loads the encoder called `name`. See load_encoder."""

    def __call__(self, name: str, *, device: str, precision: Precision) -> Encoder: ...
