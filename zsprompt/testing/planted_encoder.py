"""An encoder that reads labels from the pixels of drawn images, so that correct scores are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Doubles, Floats, Halves, unit_rows
from zsprompt.encoders import Encoder
from zsprompt.errors import LabelError

if TYPE_CHECKING:
    from PIL.Image import Image

LABELS = ("cat", "dog", "person", "motorcycle", "cycle", "car", "carrot", "sofa")
"""Labels of the planted world. Some contain others, so that substring search gives wrong results."""

_STOP_WORDS = frozenset("a an and photo of the without this is contains with".split())
_DIM = 256
_COMMON = 0.5  # the component that all texts and images share


class PlantedEncoder(Encoder):
    """An encoder with known embeddings: it embeds texts and drawn images as bags of words.

    An image is the bag of the labels drawn on it (see `draw`), or of the word "nothing". The text that names exactly
    these labels has cosine 1 with it; every other text has less. Nothing is loaded or downloaded.

    Args:
        device: accepted but not used, so that `--model zsprompt.testing:PlantedEncoder` works.
        labels: the labels that the first row of pixels encodes, in this order.
        context_length: maximum number of words in a text; None for no limit.
        fingerprint: separates the entries of different encoders in a cache.

    Attributes:
        text_batches: the texts of each call of `encode_texts`.
        image_batches: the number of images in each call of `encode_images`.
    """

    name = "planted"
    logit_scale = 100.0

    def __init__(
        self,
        *,
        device: str = "cpu",
        labels: Sequence[str] = LABELS,
        context_length: int | None = None,
        fingerprint: str = "planted/1",
    ) -> None:
        self.labels = tuple(labels)
        self.dim = _DIM
        self.context_length = context_length
        self.fingerprint = fingerprint
        self.text_batches: list[list[str]] = []
        self.image_batches: list[int] = []

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, D] float32, unit rows. Raises LabelError for a text longer than `context_length` words."""
        if not self.fits(texts).all():
            raise LabelError(f"expected texts of at most {self.context_length} words, found a longer one")
        self.text_batches.append(list(texts))
        return unit_rows(_stack([_bag(_words(text)) for text in texts]))

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows."""
        self.image_batches.append(len(images))
        return self._vectors(images)

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most `context_length` words."""
        if self.context_length is None:
            return np.ones(len(texts), dtype=np.bool_)
        return np.array([len(text.split()) <= self.context_length for text in texts], dtype=np.bool_)

    @property
    def texts_seen(self) -> list[str]:
        """All encoded texts, in order."""
        return [text for batch in self.text_batches for text in batch]

    def _vectors(self, images: Sequence[Image]) -> Floats:
        present = [self._drawn(image) for image in images]
        return unit_rows(_stack([_bag(" ".join(labels).split() or ["nothing"]) for labels in present]))

    def _drawn(self, image: Image) -> list[str]:
        marks: NDArray[Any] = np.asarray(image)[0, : len(self.labels), 0] > 127
        return [label for label, mark in zip(self.labels, marks, strict=True) if mark]


class SpatialPlantedEncoder(PlantedEncoder):
    """A PlantedEncoder with one spatial token per label: the bag of that label, or of "nothing" if it is absent.

    Attributes:
        token_shape: (1 + number of labels, D): token 0 is the vector of the whole image.
        token_batches: the number of images in each call of `encode_tokens`.
    """

    def __init__(
        self,
        *,
        device: str = "cpu",
        labels: Sequence[str] = LABELS,
        context_length: int | None = None,
        fingerprint: str = "planted/1",
    ) -> None:
        super().__init__(device=device, labels=labels, context_length=context_length, fingerprint=fingerprint)
        self.token_shape = 1 + len(self.labels), _DIM
        self.token_batches: list[int] = []

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """([N, D] float32 unit rows, [N, 1 + number of labels, D] float16 unit rows)."""
        self.token_batches.append(len(images))
        vectors = self._vectors(images)
        places = unit_rows(np.stack([self._places(self._drawn(image)) for image in images]))
        return vectors, np.concatenate([vectors[:, None], places], axis=1).astype(np.float16)

    def _places(self, present: Sequence[str]) -> Doubles:
        return np.stack([_bag(label.split() if label in present else ["nothing"]) for label in self.labels])


def _words(text: str) -> list[str]:
    words = [word for word in text.lower().replace(",", " ").split() if word not in _STOP_WORDS]
    return words or ["nothing"]


def _bag(words: Sequence[str]) -> Doubles:
    bag = np.zeros(_DIM)
    bag[0] = _COMMON
    for word in words:
        bag[1 + int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % (_DIM - 1)] += 1
    return bag


def _stack(bags: Sequence[Doubles]) -> Doubles:
    return np.stack(bags) if bags else np.empty((0, _DIM))
