"""Real CLIP without weights: OpenAI's ViT-B/32, looked up in a bank of the vectors that public repositories store.

The bank is the folder realclip of ZSPROMPT_TEST_DATA: 213 labelled photographs, 3,669 pets and 2,610 texts.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

import zsprompt as zs
from zsprompt._utils.arrays import Floats, unit_rows
from zsprompt.data.images import ImageFile, decode
from zsprompt.errors import DataError, ModelError
from zsprompt.prompts import PromptSet, neutral_words

A_NAME = PromptSet("a-name", "a-name/1", "", "", label_templates=("a {label}",))
"""The wording of most texts in the bank, "a umbrella" among them."""

Key = TypeVar("Key", str, bytes)


def real_clip_folder(test_data: Path) -> Path:
    """The folder of the bank. Raises DataError if it is not there."""
    folder = test_data / "realclip"
    if not (folder / "images.npz").is_file():
        raise DataError(
            f"expected the bank of real CLIP vectors in {folder}, found no images.npz there; "
            "set ZSPROMPT_TEST_DATA to a folder with realclip/"
        )
    return folder


class RealVectors(zs.Encoder):
    """OpenAI's ViT-B/32 for the texts and images of the bank. Any other raises ModelError.

    Texts are "a NAME" and, of ImageNet's names, "a photo of a NAME". Images are recognised by their pixels.

    Args:
        folder: the bank.
    """

    name, fingerprint = "ViT-B/32, stored", "ViT-B/32, stored/1"
    dim, logit_scale, context_length = 512, 100.0, None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        rows = [self._text_row(text) for text in texts]
        return self._texts[1][rows]

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        rows = [self._image_row(image) for image in images]
        return self._images[1][rows]

    def has(self, text: str) -> bool:
        """Whether the bank has the vector of a text."""
        return text in self._texts[0]

    def _text_row(self, text: str) -> int:
        rows = self._texts[0]
        if text not in rows:
            raise ModelError(
                f"expected one of the {len(rows):,} texts with a stored vector, such as 'a dog', found {text!r}; use "
                "names of the bank, and prompts that word them as it does"
            )
        return rows[text]

    def _image_row(self, image: Image.Image) -> int:
        rows = self._images[0]
        if (key := _key(image)) not in rows:
            raise ModelError(
                f"expected one of the {len(rows):,} images with a stored vector, found another, of "
                f"{image.width} × {image.height} pixels; use photographs() or pets()"
            )
        return rows[key]

    @cached_property
    def _texts(self) -> tuple[dict[str, int], Floats]:
        """The row of each text, and [T, D] the vectors."""
        short = np.load(self.folder / "texts_a_name.npz")
        long = np.load(self.folder / "texts_a_photo_of_a_name.npz")
        texts = [f"a {name}" for name in short["names"]]
        texts += [_photo_of(str(name)) for name in long["names"]]
        vectors = unit_rows(np.concatenate([short["vectors"], long["vectors"]]).astype(np.float32))
        return _first_rows(texts), vectors

    @cached_property
    def _images(self) -> tuple[dict[bytes, int], Floats]:
        """The row of each image, and [N, D] the vectors."""
        stored = np.load(self.folder / "images.npz")
        pets = np.load(self.folder / "pets.npz")["vectors"]
        keys = [_key(decode((self.folder / "photos" / str(name)).read_bytes())) for name in stored["names"]]
        keys += [_key(_drawn(row)) for row in range(len(pets))]
        return _first_rows(keys), unit_rows(np.concatenate([stored["vectors"], pets.astype(np.float32)]))


@dataclass(frozen=True)
class Pet:
    """An ImageRef of a pet. Its photograph is not in the bank, so the image is its row number, drawn."""

    row: int

    @property
    def id(self) -> str:
        return f"pet {self.row:04}"

    def read(self) -> bytes:
        out = BytesIO()
        _drawn(self.row).save(out, format="PNG")
        return out.getvalue()

    def identity(self, *, settled: bool = False) -> bytes | None:
        return f"pet {self.row}".encode()


def photographs(folder: Path) -> zs.Dataset:
    """The 213 photographs with 12 labels. A target of −1 could not be decided by eye."""
    with (folder / "photos" / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = tuple(name for name in rows[0] if name != "image")
    return zs.Dataset(
        name="real clip photographs",
        labels=labels,
        images=[ImageFile(row["image"], folder / "photos" / row["image"]) for row in rows],
        targets=np.array([[int(row[label]) for label in labels] for row in rows], dtype=np.int8),
    )


def pets(folder: Path) -> zs.Dataset:
    """The 3,669 pets, each a cat or a dog."""
    stored = np.load(folder / "pets.npz")
    is_cat = stored["cat"][stored["breed"]]
    return _pets(range(len(is_cat)), ("cat", "dog"), np.stack([is_cat, ~is_cat], axis=1))


def breeds(folder: Path) -> zs.Dataset:
    """The 1,298 pets of the 13 breeds whose names ImageNet has too."""
    stored = np.load(folder / "pets.npz")
    names = {str(name).lower(): str(name) for name in np.load(folder / "texts_a_photo_of_a_name.npz")["names"]}
    kept = [c for c, breed in enumerate(stored["breeds"]) if str(breed) in names]
    rows = np.flatnonzero(np.isin(stored["breed"], kept))
    labels = [names[str(stored["breeds"][c])] for c in kept]
    return _pets(rows.tolist(), labels, stored["breed"][rows, None] == np.array(kept))


def photo_prompts(labels: Sequence[str]) -> PromptSet:
    """The bank's "a photo of a NAME" for names of ImageNet. It writes "a" before all but vowels."""
    texts = tuple((label, (_photo_of(label),)) for label in labels)
    return PromptSet("a-photo-of-a-name", "a-photo-of-a-name/1", "", "", described=texts)


def known_words(encoder: RealVectors) -> tuple[str, ...]:
    """The neutral words that the bank has: 45 of 60."""
    return tuple(word for word in neutral_words() if encoder.has(f"a {word}"))


def names_in_both(folder: Path) -> list[str]:
    """Names that the bank has as "a NAME" and as "a photo of a NAME"."""
    files = ("texts_a_name.npz", "texts_a_photo_of_a_name.npz")
    first, second = (set(map(str, np.load(folder / file)["names"])) for file in files)
    return sorted(first & second)


def _pets(rows: Sequence[int], labels: Sequence[str], present: np.ndarray) -> zs.Dataset:
    return zs.Dataset("pets", tuple(labels), [Pet(row) for row in rows], present.astype(np.int8))


def _photo_of(name: str) -> str:
    return f"a photo of {'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _drawn(row: int) -> Image.Image:
    """An image of 2 × 1 pixels with the number of a pet."""
    return Image.fromarray(np.array([[(1, 2, 3), (0, row // 256, row % 256)]], dtype=np.uint8))


def _key(image: Image.Image) -> bytes:
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()


def _first_rows(keys: Sequence[Key]) -> dict[Key, int]:
    """The first row of each key: two of ImageNet's classes share a name with another."""
    return {key: row for row, key in reversed(list(enumerate(keys)))}
