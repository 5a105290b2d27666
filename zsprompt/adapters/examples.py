"""What adapters see of pictures: pooled vectors, spatial tokens, captions; and what is on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Floats, Indices, Targets, Tokens


@dataclass(frozen=True)
class Batch:
    """B pictures.

    Attributes:
        vectors: [B, D] float32, unit rows.
        tokens: [B, L, D'] float32, unit rows, where they were asked for.
        captions: [B, K, D] float32, unit rows, where there are some.
    """

    vectors: Floats
    tokens: Floats | None = None
    captions: Floats | None = None


@dataclass(frozen=True)
class Views:
    """N pictures; tokens are read when a batch needs them, and never all at once.

    Attributes:
        vectors: [N, D] float32, unit rows.
        tokens: [N, L, D'], where a network reads them.
        captions: [N, K, D] float32, unit rows, K captions a picture.
    """

    vectors: Floats
    tokens: Tokens | None = None
    captions: Floats | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def read(self, rows: Sequence[int] | Indices) -> Batch:
        """The pictures at `rows`."""
        tokens = None if self.tokens is None else self.tokens.read(rows).astype(np.float32)
        captions = None if self.captions is None else self.captions[rows]
        return Batch(self.vectors[rows], tokens, captions)


@dataclass(frozen=True)
class Examples:
    """N pictures to learn from, or to judge by.

    Attributes:
        views: of the pictures.
        targets: [N, C] 1 present, 0 absent, −1 left out.
    """

    views: Views
    targets: Targets
