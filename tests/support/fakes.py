"""The planted world of zsprompt.testing on disk, with an encoder that can be slowed down."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

import zsprompt as zs
from zsprompt import testing
from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt.data.images import ImageFile
from zsprompt.encoders.windows import Grid
from zsprompt.llm import Captions
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace
from zsprompt.store import Images
from zsprompt.strategies import PerLabel, Prediction
from zsprompt.strategies.base import BestWindows
from zsprompt.testing import LABELS, draw

__all__ = [
    *("LABELS", "CaptionReader", "ColourEncoder", "ColourWindows", "ForgetfulPlanted", "PlantedEncoder"),
    *("SpatialPlanted", "Windowed"),
    *("draw", "draw_files"),
]


def draw_files(folder: Path, sets: Sequence[Sequence[str]], labels: Sequence[str] = LABELS) -> list[ImageFile]:
    """One PNG per label set in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for i, present in enumerate(sets):
        path = folder / f"{i:04}.png"
        draw(present, labels, noise=i).save(path)
        refs.append(ImageFile(path.name, path))
    return refs


class PlantedEncoder(testing.PlantedEncoder):
    """Creates the file FAKE_BEGAN and waits FAKE_SECONDS per batch, for tests that kill the process."""

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        _wait()
        return super().encode_texts(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        _wait()
        return super().encode_images(images)


class ForgetfulPlanted(PlantedEncoder):
    """An encoder that is known to miss cats."""

    def often_missed(self, labels: Sequence[str]) -> list[str]:
        return [label for label in labels if label == "cat"]


class SpatialPlanted(PlantedEncoder, testing.SpatialPlantedEncoder):
    """The same with spatial tokens."""

    def encode_tokens(self, images: Sequence[Image.Image]) -> tuple[Floats, Halves]:
        _wait()
        return super().encode_tokens(images)


@dataclass(frozen=True)
class CaptionReader:
    """A strategy that reads all that a strategy can read: prompts, captions of label sets and of images."""

    prompts: PromptSet = field(default_factory=lambda: load_prompts("photo"))
    captions: Captions | None = None
    supervision: ClassVar[str] = "label-free"
    reads: ClassVar[frozenset[str]] = frozenset({"captions"})

    @property
    def lacks_captions(self) -> bool:
        return self.captions is None

    def with_captions(self, captions: Captions) -> CaptionReader:
        return replace(self, captions=captions)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        return PerLabel(self.prompts).predict(images, labels, texts)


@dataclass(frozen=True)
class Windowed:
    """A strategy that says of the label at position c that its score comes from window c, of a grid of 16 by 16."""

    supervision: ClassVar[str] = "label-free"

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        answer = PerLabel().predict(images, labels, texts)
        grids = np.tile(np.array(astuple(Grid(16, 16)), dtype=np.intp), (len(images), 1))
        best = np.tile(np.arange(len(labels)), (len(images), 1))
        return replace(answer, windows=BestWindows(grids, best))


def _wait() -> None:
    if began := os.environ.get("FAKE_BEGAN"):
        Path(began).touch()
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))


class ColourEncoder(zs.Encoder):
    """Embeds an image as its mean colour, and a text as the colour it names; every window as a crop.

    Attributes:
        encoded: the number of images in each call of `encode_images`.
    """

    name, dim, logit_scale, context_length = "colours", 3, 20.0, None
    fingerprint = "colours/1"
    colours: ClassVar[dict[str, tuple[int, int, int]]] = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def __init__(self, *, device: str = "cpu") -> None:
        self.encoded: list[int] = []

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        self.encoded.append(len(images))
        means = [np.asarray(image, dtype=np.float64).mean(axis=(0, 1)) + 1 for image in images]
        return unit_rows(np.array(means, float).reshape(-1, 3))

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        named = [[self.colours[word] for word in text.split() if word in self.colours] for text in texts]
        sums = [np.sum(colours, axis=0) if colours else (1, 1, 1) for colours in named]
        return unit_rows(np.array(sums, float).reshape(-1, 3))

    def fits(self, texts: Sequence[str]) -> Bools:
        return np.ones(len(texts), dtype=np.bool_)


class ColourWindows(ColourEncoder):
    """A ColourEncoder that embeds all windows in one pass, and knows three classes, the colours.

    Attributes:
        passes: the number of images in each pass.
    """

    windows_key, prefers_dense = "2 pixels", True
    class_texts = ("red", "green", "blue")

    def __init__(self, *, device: str = "cpu") -> None:
        super().__init__(device=device)
        self.passes: list[int] = []

    def grid(self, width: int, height: int) -> Grid:
        return Grid.of(width, height)

    def prepare_windows(self, image: Image.Image, grid: Grid) -> Image.Image:
        return image.resize((2 * grid.columns, 2 * grid.rows), Image.Resampling.BOX)

    def encode_windows(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        self.passes.append(len(images))
        return [self.vectors_of(self._logits(image, grid)[2:]) for image, grid in zip(images, grids, strict=True)]

    def encode_classes(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        self.passes.append(len(images))
        return [self._logits(image, grid) for image, grid in zip(images, grids, strict=True)]

    def vectors_of(self, logits: Halves) -> Halves:
        return unit_rows(logits.astype(np.float64) + 1).astype(np.float16)

    def _logits(self, image: Image.Image, grid: Grid) -> Halves:
        """Mean colours of the whole image, twice, and of its windows."""
        pixels = np.asarray(image, dtype=np.float64)
        boxes = [(0, 0, grid.columns, grid.rows)] * 2 + grid.windows().tolist()
        means = [pixels[2 * t : 2 * b, 2 * le : 2 * r].mean(axis=(0, 1)) for le, t, r, b in boxes]
        return np.stack(means).astype(np.float16)
