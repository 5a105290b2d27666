"""Image embeddings, the input of strategies and adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zsprompt._utils.arrays import Floats, Halves, Indices, Tokens
from zsprompt.encoders.windows import Grid


@dataclass(frozen=True)
class TokenArray:
    """Spatial tokens in memory.

    Attributes:
        values: [N, L, D'] float16, unit rows.
    """

    values: Halves

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, L, D')."""
        images, tokens, width = self.values.shape
        return images, tokens, width

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        """[n, L, D'] float16: the tokens of the images at `rows`, in that order."""
        return self.values[np.asarray(rows, dtype=np.intp)]


class PerImage(Protocol):
    """Float16 rows of N images, a different number for each, with the grid of each image.

    Window vectors [W, D] and class logits [2 + W, K] are such rows. Only those that are read are loaded into memory.
    """

    def __len__(self) -> int:
        """N."""
        ...

    def read(self, rows: Sequence[int] | Indices) -> list[tuple[Grid, Halves]]:
        """The grid and the rows of each image at positions `rows`, in that order."""
        ...


@dataclass(frozen=True)
class RowsInMemory:
    """Rows of N images in memory; see PerImage.

    Attributes:
        values: the grid and the rows of each image.
    """

    values: Sequence[tuple[Grid, Halves]]

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows: Sequence[int] | Indices) -> list[tuple[Grid, Halves]]:
        """See PerImage."""
        return [self.values[int(row)] for row in rows]


@dataclass(frozen=True)
class Images:
    """Embeddings of N images.

    Attributes:
        vectors: [N, D] float32, unit rows.
        tokens: [N, L, D'] spatial tokens, read in parts; None unless an adapter reads them.
        captions: [N, K, D] float32, unit rows, K captions per image; None unless an adapter reads them.
        windows: [W, D] window vectors per image, unit rows, read in parts; None unless a strategy reads them.
        classes: [2 + W, K] class logits per image, read in parts, see ClassEncoder; None unless a strategy reads them.
    """

    vectors: Floats
    tokens: Tokens | None = None
    captions: Floats | None = None
    windows: PerImage | None = None
    classes: PerImage | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def read(self, rows: Sequence[int] | Indices) -> Images:
        """The images at `rows`, in that order, with all that is stored of them in memory.

        Raises:
            CacheError: tokens are in a store that is closed or damaged.
        """
        indices = np.asarray(rows, dtype=np.intp)
        tokens = None if self.tokens is None else TokenArray(self.tokens.read(indices))
        captions = None if self.captions is None else self.captions[indices]
        windows, classes = (
            None if part is None else RowsInMemory(part.read(indices)) for part in (self.windows, self.classes)
        )
        return Images(self.vectors[indices], tokens, captions, windows, classes)
