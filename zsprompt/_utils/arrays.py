"""The array types of the package. Letters: N images, C labels, T texts, D embedding width, L spatial tokens,
W windows of an image, K classes of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Halves = NDArray[np.float16]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Targets = NDArray[np.int8]
Indices = NDArray[np.intp]


class Tokens(Protocol):
    """Spatial tokens of N images; only the rows that are read are loaded into memory."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, L, D')."""
        ...

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        """[n, L, D'] float16, unit rows: tokens of the images at positions `rows`, in that order."""
        ...


def unit_rows(vectors: NDArray[np.floating]) -> Floats:
    """`vectors` [.., D] as float32, with every row scaled to unit length."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)
