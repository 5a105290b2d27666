"""The array types of the package. Letters: N images, C labels, T texts, D embedding width, L spatial tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Targets = NDArray[np.int8]
Indices = NDArray[np.intp]


def unit_rows(vectors: NDArray[np.floating]) -> Floats:
    """`vectors` [.., D] with every row divided by its length, float32."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)
