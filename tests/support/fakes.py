"""A world with known answers: an encoder whose vectors mean something, and pictures drawn for it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt.data.images import ImageFile
from zsprompt.encoders import Encoder
from zsprompt.errors import LabelError

LABELS = ("cat", "dog", "person", "motorcycle", "cycle", "car", "carrot", "sofa")
_STOP_WORDS = frozenset("a an and photo of the without this is contains with".split())
_DIM = 256


def draw(present: Sequence[str], labels: Sequence[str] = LABELS, noise: int = 0) -> Image.Image:
    """A picture whose first row says which labels are on it; `noise` makes pictures of equal labels differ."""
    pixels = np.zeros((8, max(8, len(labels)), 3), dtype=np.uint8)
    for i, label in enumerate(labels):
        pixels[0, i, 0] = 255 if label in present else 0
    pixels[7, 0] = (noise // 65536 % 256, noise // 256 % 256, noise % 256)
    return Image.fromarray(pixels)


def draw_files(folder: Path, sets: Sequence[Sequence[str]], labels: Sequence[str] = LABELS) -> list[ImageFile]:
    """One PNG a label set in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for i, present in enumerate(sets):
        path = folder / f"{i:04}.png"
        draw(present, labels, noise=i).save(path)
        refs.append(ImageFile(path.name, path))
    return refs


class PlantedEncoder(Encoder):
    """Texts are bags of words; a picture is the bag of the words drawn on it, or "nothing".

    So the text that names exactly what is on a picture has cosine 1 with it, and every other text less.
    FAKE_SECONDS slows each batch down, for tests that kill the process.
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
        self.labels = labels
        self.dim = _DIM
        self.context_length = context_length
        self.fingerprint = fingerprint
        self.text_batches: list[list[str]] = []
        self.image_batches: list[int] = []

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        if not self.fits(texts).all():
            raise LabelError("a text that does not fit reached the encoder")
        self.text_batches.append(list(texts))
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        return unit_rows(np.stack([self._bag(self._words(text)) for text in texts]))

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        self.image_batches.append(len(images))
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        return unit_rows(np.stack([self._picture(np.asarray(image)) for image in images]))

    def fits(self, texts: Sequence[str]) -> Bools:
        if self.context_length is None:
            return np.ones(len(texts), dtype=np.bool_)
        return np.array([len(text.split()) <= self.context_length for text in texts])

    @property
    def texts_seen(self) -> list[str]:
        return [text for batch in self.text_batches for text in batch]

    def _picture(self, pixels: np.ndarray) -> np.ndarray:
        present = [label for i, label in enumerate(self.labels) if pixels[0, i, 0] > 127]
        return self._bag([word for label in present for word in label.split()] or ["nothing"])

    @staticmethod
    def _words(text: str) -> list[str]:
        return [word for word in text.lower().replace(",", " ").split() if word not in _STOP_WORDS] or ["nothing"]

    @staticmethod
    def _bag(words: Sequence[str]) -> np.ndarray:
        bag = np.zeros(_DIM)
        bag[0] = 0.5  # what all texts and pictures have in common
        for word in words:
            bag[1 + int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % (_DIM - 1)] += 1
        return bag


class SpatialPlanted(PlantedEncoder):
    """PlantedEncoder with a place a label: the bag of that label's words where it is drawn, else of "nothing"."""

    def __init__(self, *, device: str = "cpu", labels: Sequence[str] = LABELS, fingerprint: str = "planted/1") -> None:
        super().__init__(device=device, labels=labels, fingerprint=fingerprint)
        self.token_shape = 1 + len(labels), _DIM
        self.token_batches: list[int] = []

    def encode_tokens(self, images: Sequence[Image.Image]) -> tuple[Floats, Halves]:
        self.token_batches.append(len(images))
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        vectors = unit_rows(np.stack([self._picture(np.asarray(image)) for image in images]))
        places = unit_rows(np.stack([self._places(np.asarray(image)) for image in images]))
        return vectors, np.concatenate([vectors[:, None], places], axis=1).astype(np.float16)

    def _places(self, pixels: np.ndarray) -> np.ndarray:
        drawn = pixels[0, : len(self.labels), 0] > 127
        return np.stack([self._bag(self.labels[i].split() if there else ["nothing"]) for i, there in enumerate(drawn)])
