"""What a strategy sees of images."""

from __future__ import annotations

from dataclasses import dataclass

from zsprompt._utils.arrays import Floats, Tokens


@dataclass(frozen=True)
class Images:
    """What a strategy sees of N pictures.

    Attributes:
        vectors: [N, D] float32, unit rows.
        tokens: [N, L, D'] spatial tokens, read in parts, where an adapter asks for them.
        captions: [N, K, D] float32, unit rows, K captions a picture, where an adapter asks for them.
    """

    vectors: Floats
    tokens: Tokens | None = None
    captions: Floats | None = None
