"""Images in memory for the planted encoder, and a data set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zsprompt.data import Dataset
from zsprompt.errors import UsageError
from zsprompt.testing.planted_encoder import LABELS, SpatialPlantedEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_LABELS = 3  # on a random image


def draw(present: Sequence[str], labels: Sequence[str] = LABELS, noise: int = 0) -> Image:
    """An image for the planted encoder, at least 8 pixels high and wide.

    Args:
        present: the labels on it.
        labels: all labels, in the encoder's order.
        noise: distinguishes images with equal labels, 0 to 2**24 − 1.
    """
    from PIL import Image

    pixels = np.zeros((8, max(8, len(labels)), 3), dtype=np.uint8)
    pixels[0, : len(labels), 0] = [255 if label in present else 0 for label in labels]
    pixels[7, 0] = (noise // 65536 % 256, noise // 256 % 256, noise % 256)
    return Image.fromarray(pixels)


@dataclass(frozen=True)
class PlantedImage:
    """An image of the planted world: an ImageRef without a file.

    Attributes:
        id: its name in results.
        present: the labels on it.
        labels: all labels, in the encoder's order.
        noise: distinguishes images with equal labels.
    """

    id: str
    present: tuple[str, ...]
    labels: tuple[str, ...] = LABELS
    noise: int = 0

    def read(self) -> bytes:
        """The image as a PNG."""
        out = BytesIO()
        draw(self.present, self.labels, self.noise).save(out, format="PNG")
        return out.getvalue()

    def identity(self, *, settled: bool = False) -> bytes | None:
        """A digest of what is drawn; see ImageRef."""
        drawn = repr((self.present, self.labels, self.noise)).encode()
        return b"planted " + hashlib.sha256(drawn).digest()


class PlantedWorld(NamedTuple):
    """A data set and the encoder that knows its targets: `dataset, encoder = planted_world()`."""

    dataset: Dataset
    encoder: SpatialPlantedEncoder


def planted_world(
    sets: Sequence[Sequence[str]] | None = None,
    *,
    labels: Sequence[str] = LABELS,
    count: int = 32,
    seed: int = 0,
    context_length: int | None = None,
) -> PlantedWorld:
    """A data set with known correct scores, and the encoder that gives them. No file is read or written.

    By default, image 0 has no label, the next images have one label each, and the others have up to three random
    labels. So if `count` is larger than the number of labels, each label is present and absent somewhere. The caption
    of an image names its labels.

    Args:
        sets: the labels on each of N images; None draws random ones.
        labels: C labels.
        count: N, if `sets` is None.
        seed: selects the random label sets.
        context_length: maximum number of words in a text; None for no limit.

    Raises:
        UsageError: a set contains an unknown label, or `count` is below 1.
    """
    labels = tuple(labels)
    if sets is None:
        sets = _random_sets(labels, count, seed)
    if unknown := {label for present in sets for label in present} - set(labels):
        raise UsageError(f"expected sets of the labels {', '.join(labels)}, found {min(unknown)!r}")
    images = [PlantedImage(f"{n:05}.png", tuple(present), labels, n) for n, present in enumerate(sets)]
    targets = [[int(label in image.present) for label in labels] for image in images]
    dataset = Dataset(
        name="planted",
        labels=labels,
        images=images,
        targets=np.array(targets, dtype=np.int8).reshape(len(images), len(labels)),
        split="test",
        captions=tuple(f"a photo of {' and '.join(image.present) or 'nothing'}" for image in images),
    )
    return PlantedWorld(dataset, SpatialPlantedEncoder(labels=labels, context_length=context_length))


def _random_sets(labels: tuple[str, ...], count: int, seed: int) -> list[tuple[str, ...]]:
    if count < 1:
        raise UsageError(f"expected a count of at least 1 image, found {count}")
    random = np.random.default_rng(seed)
    sets: list[tuple[str, ...]] = [(), *((label,) for label in labels)]
    while len(sets) < count:
        size = random.integers(1, min(_MOST_LABELS, len(labels)), endpoint=True)
        chosen = sorted(random.choice(len(labels), size, replace=False))
        sets.append(tuple(labels[c] for c in chosen))
    return sets[:count]
