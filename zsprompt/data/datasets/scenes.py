"""Scenes drawn by zsprompt: sixteen kinds of everyday things, identical on every machine, without a download.

`world` composes an image and paints it, with the things in `things` and the landscapes in `backdrops`; `captions`
describes it. Images are drawn when they are read; nothing is stored on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import overload

import numpy as np

from zsprompt.data.dataset import SCENES, Dataset
from zsprompt.data.scenes.captions import caption
from zsprompt.data.scenes.chance import Chance
from zsprompt.data.scenes.world import KINDS, compose, paint
from zsprompt.errors import UnknownName, UsageError

VERSION = 1
"""Changes whenever a pixel of a scene could change; part of every image's identity."""

_SIZES = {"test": 1_000, "train": 10_000}
_MOST = 10_000_000


@dataclass(frozen=True)
class DrawnImage:
    """The scene of a seed ("test 17"), drawn when it is read; an ImageRef."""

    seed: str

    @property
    def id(self) -> str:
        """ "test-000017"."""
        split, number = self.seed.split(" ")
        return f"{split}-{int(number):06}"

    def read(self) -> bytes:
        """The image as an uncompressed PPM; it is not stored, so compression would only take time."""
        buffer = BytesIO()
        paint(compose(self.seed)).save(buffer, "ppm")
        return buffer.getvalue()

    def identity(self, *, settled: bool = False) -> bytes | None:
        """The seed and VERSION; see ImageRef."""
        return f"scene/{VERSION} {self.seed}".encode()


class DrawnImages(Sequence[DrawnImage]):
    """The first `count` scenes of a split, created on access."""

    def __init__(self, split: str, count: int) -> None:
        self._split, self._count = split, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> DrawnImage: ...
    @overload
    def __getitem__(self, position: slice) -> list[DrawnImage]: ...
    def __getitem__(self, position: int | slice) -> DrawnImage | list[DrawnImage]:
        numbers = range(self._count)[position]
        if isinstance(numbers, int):
            return DrawnImage(f"{self._split} {numbers}")
        return [DrawnImage(f"{self._split} {number}") for number in numbers]


def load(root: Path | None = None, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Drawn scenes of 16 kinds of everyday things, no download; splits test (default), train and train:50000.

    Args:
        root: must be None, as there are no files.
        split: "test" (1,000 images), "train" (10,000), or either with another number of images ("train:50000").
        names: ignored; readable and raw names are the same.

    Raises:
        UnknownName: there is no such split.
        UsageError: `root` is given, or the number of images is invalid.
    """
    if root is not None:
        raise UsageError(f"expected no --root for data set scenes, which is drawn, got {root}; omit --root")
    split = split or "test"
    stream, _, number = split.partition(":")
    if stream not in _SIZES:
        raise UnknownName("split", stream, _SIZES)
    if number and not (number.isdecimal() and 1 <= int(number) <= _MOST):
        raise UsageError(f"expected a number of images from 1 to {_MOST:,} in split {split!r}, got {number!r}")
    images = DrawnImages(stream, int(number) if number else _SIZES[stream])
    scenes = [compose(image.seed) for image in images]
    targets = np.array([[kind in scene.kinds for kind in KINDS] for scene in scenes], dtype=np.int8)
    return Dataset(
        name="scenes",
        labels=tuple(KINDS),
        images=images,
        targets=targets,
        split=split,
        names=names,
        captions=tuple(caption(scene, Chance(f"caption {scene.seed}")) for scene in scenes),
        model="tiny",
        bank="scenes",
        domain=SCENES,
    )
