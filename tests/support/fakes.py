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

from zsprompt import testing
from zsprompt._utils.arrays import Floats, Halves
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
    *("LABELS", "CaptionReader", "ForgetfulPlanted", "PlantedEncoder", "SpatialPlanted", "Windowed"),
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
