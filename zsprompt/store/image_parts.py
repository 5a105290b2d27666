"""What the store keeps of an image besides its vector: a pass of its own for each part."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from zsprompt._utils.arrays import Halves, Indices
from zsprompt._utils.byte_cache import ByteCache
from zsprompt.encoders import ClassEncoder, WindowEncoder
from zsprompt.encoders.windows import Grid
from zsprompt.errors import CacheError, ModelError
from zsprompt.store.checked_encoder import CheckedEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

WINDOWS, CLASSES = "windows", "classes"
BEFORE_WINDOWS = {WINDOWS: 0, CLASSES: 2}
"""How many rows an image has before those of its windows, by kind; see ClassEncoder."""

DENSE, CROPS = "dense", "crops"

_HEADER = struct.Struct("<4H")  # the fields of a Grid
_READ_BLOCK = 256
_TYPICAL = Grid.of(4, 3)  # most photographs


class ImagePart(Protocol):
    """One pass over images, which gives rows of one or more kinds."""

    @property
    def kinds(self) -> dict[str, str]:
        """What is read -> what identifies its rows, in addition to the encoder's fingerprint."""
        ...

    @property
    def bytes_per_image(self) -> int:
        """How many bytes an image takes, as an estimate."""
        ...

    def prepare(self, image: Image) -> Any:
        """What `encode` takes of a decoded image. Called in worker threads."""
        ...

    def encode(self, prepared: Sequence[Any]) -> Iterator[tuple[Grid, dict[str, Halves]]]:
        """The grid of each image, and its rows of each kind."""
        ...


@dataclass(frozen=True)
class Crops:
    """The windows of an image as images of their own, for every encoder."""

    encoder: CheckedEncoder
    batch_size: int

    @property
    def kinds(self) -> dict[str, str]:
        """See ImagePart."""
        return {WINDOWS: "crops/1"}

    @property
    def bytes_per_image(self) -> int:
        """See ImagePart."""
        return 2 * len(_TYPICAL) * self.encoder.encoder.dim

    def prepare(self, image: Image) -> tuple[Grid, list[Image]]:
        """See ImagePart."""
        grid = Grid.of(*image.size)
        pixels = np.rint(grid.boxes() * np.array([*image.size, *image.size])).astype(int)
        pixels[:, 2:] = np.maximum(pixels[:, 2:], pixels[:, :2] + 1)  # at least one pixel
        return grid, [self.encoder.prepare(image.crop(box)) for box in pixels.tolist()]

    def encode(self, prepared: Sequence[tuple[Grid, list[Image]]]) -> Iterator[tuple[Grid, dict[str, Halves]]]:
        """See ImagePart."""
        crops = [crop for _, cut in prepared for crop in cut]
        batches = range(0, len(crops), self.batch_size)
        vectors = np.concatenate([self.encoder.images(crops[start : start + self.batch_size]) for start in batches])
        ends = np.cumsum([len(cut) for _, cut in prepared])[:-1]
        for (grid, _), part in zip(prepared, np.split(vectors, ends), strict=True):
            yield grid, {WINDOWS: part.astype(np.float16)}


@dataclass(frozen=True)
class DenseWindows:
    """All windows of an image from one pass of the encoder's tower; its class logits too, if they are wanted.

    Raises:
        ModelError: the encoder has no such pass, or no classes.
    """

    encoder: CheckedEncoder
    windows: bool = True
    classes: bool = False

    def __post_init__(self) -> None:
        encoder = self.encoder.encoder
        if self.classes and not isinstance(encoder, ClassEncoder):
            raise ModelError(
                f"expected a model that knows classes, such as conse, for matched:, found {encoder.name}; use "
                "--model conse, or softmax: in place of matched:"
            )
        if not isinstance(encoder, WindowEncoder):
            raise ModelError(
                f"expected a model that embeds all windows in one pass, found {encoder.name}; use windows=crops"
            )

    @property
    def kinds(self) -> dict[str, str]:
        """See ImagePart."""
        key = f"dense/1 {self._tower.windows_key}"
        return {kind: key for kind, wanted in ((WINDOWS, self.windows), (CLASSES, self.classes)) if wanted}

    @property
    def bytes_per_image(self) -> int:
        """See ImagePart."""
        count = len(self._tower.grid(4, 3))
        logits = 2 * (2 + count) * len(self._tower.class_texts) if isinstance(self._tower, ClassEncoder) else 0
        return self.windows * 2 * count * self.encoder.encoder.dim + self.classes * logits

    @property
    def _tower(self) -> WindowEncoder:
        tower = self.encoder.encoder
        assert isinstance(tower, WindowEncoder)  # checked when the part was made
        return tower

    def prepare(self, image: Image) -> tuple[Grid, Image]:
        """See ImagePart."""
        grid = self._tower.grid(*image.size)
        return grid, self.encoder.attempt(lambda: self._tower.prepare_windows(image, grid), "to prepare an image")

    def encode(self, prepared: Sequence[tuple[Grid, Image]]) -> Iterator[tuple[Grid, dict[str, Halves]]]:
        """See ImagePart."""
        grids, images = [grid for grid, _ in prepared], [image for _, image in prepared]
        tower = self._tower
        if not self.classes or not isinstance(tower, ClassEncoder):
            rows = self.encoder.attempt(lambda: tower.encode_windows(images, grids), f"on a batch of {len(images)}")
            for grid, vectors in zip(
                grids, self._checked(rows, grids, BEFORE_WINDOWS[WINDOWS], self.encoder.encoder.dim), strict=True
            ):
                yield grid, {WINDOWS: vectors}
            return
        logits = self.encoder.attempt(lambda: tower.encode_classes(images, grids), f"on a batch of {len(images)}")
        before = BEFORE_WINDOWS[CLASSES]
        for grid, classes in zip(grids, self._checked(logits, grids, before, len(tower.class_texts)), strict=True):
            yield grid, {CLASSES: classes} | ({WINDOWS: tower.vectors_of(classes[before:])} if self.windows else {})

    def _checked(self, rows: Sequence[Halves], grids: Sequence[Grid], more: int, width: int) -> list[Halves]:
        """The rows, if each image has one per window and `more`. Raises ModelError."""
        expected = [(more + len(grid), width) for grid in grids]
        if [one.shape for one in rows] != expected or not all(np.isfinite(one).all() for one in rows):
            found = "values that are not finite" if [one.shape for one in rows] == expected else "other shapes"
            raise ModelError(
                f"expected finite rows of shapes {expected[:2]}, … from {self.encoder.encoder.name}, found {found}"
            )
        return [np.asarray(one, dtype=np.float16) for one in rows]


def parts_for(encoder: CheckedEncoder, reads: Collection[str], batch_size: int) -> tuple[ImagePart, ...]:
    """The passes that bring what a strategy reads.

    Args:
        encoder: embeds the images.
        reads: "windows" (dense if the encoder prefers that, else crops), "windows:dense", "windows:crops", "classes",
            "classes:auto" (none if the encoder knows no classes); others are ignored.
        batch_size: images per call of the encoder.

    Raises:
        ModelError: the encoder cannot give what is read.
    """
    dense = isinstance(encoder.encoder, WindowEncoder) and encoder.encoder.prefers_dense
    crops = f"{WINDOWS}:{CROPS}" in reads or (WINDOWS in reads and not dense)
    windows = f"{WINDOWS}:{DENSE}" in reads or (WINDOWS in reads and dense)
    classes = CLASSES in reads or (f"{CLASSES}:auto" in reads and isinstance(encoder.encoder, ClassEncoder))
    parts: list[ImagePart] = [Crops(encoder, batch_size)] if crops else []
    if windows or classes:
        parts.append(DenseWindows(encoder, windows, classes))
    return tuple(parts)


def to_bytes(grid: Grid, rows: Halves) -> bytes:
    """What the cache holds of an image's rows."""
    return _HEADER.pack(grid.columns, grid.rows, grid.window, grid.stride) + rows.tobytes()


@dataclass(frozen=True)
class StoredRows:
    """Rows of images in a cache, under `keys`; see PerImage. One thread may read while another embeds.

    Attributes:
        cache: the cache.
        keys: N keys.
        width: number of values per row.
        more: number of rows before those of the windows.
    """

    cache: ByteCache
    keys: tuple[bytes, ...]
    width: int
    more: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, rows: Sequence[int] | Indices) -> list[tuple[Grid, Halves]]:
        """See PerImage.

        Raises:
            CacheError: the cache is closed, or an entry is damaged or missing.
        """
        if self.cache.closed:
            raise CacheError(f"expected an open store to read windows from, found {self.cache.folder} closed")
        result = []
        for start in range(0, len(rows), _READ_BLOCK):
            keys = [self.keys[int(row)] for row in rows[start : start + _READ_BLOCK]]
            result += [self._rows(value) for value in self.cache.get_many(keys)]
        return result

    def _rows(self, value: bytes | None) -> tuple[Grid, Halves]:
        fields = _HEADER.unpack_from(value) if value is not None and len(value) > _HEADER.size else (0,)
        grid = Grid(*fields) if min(fields) else None
        size = 2 * self.width * (self.more + len(grid)) if grid else 0
        if value is None or grid is None or len(value) != _HEADER.size + size:
            raise CacheError(
                f"expected windows of an image in cache {self.cache.folder}, found a damaged or missing entry; "
                f"run `zsprompt cache verify --cache '{self.cache.folder}'`, then repeat the command"
            )
        return grid, np.frombuffer(value, dtype=np.float16, offset=_HEADER.size).reshape(-1, self.width)
