"""The windows of an image: overlapping parts of it, all of the same size, on a grid of places.

A place is a square; by default the long side of an image has 16 of them. A window has 7 by 7 places, so that an image
of 512 pixels has windows of the 224 pixels that most towers take. One starts every 3 places; the last ends at the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Floats, Indices

PLACES = 16
"""Number of places on the long side of an image."""

WINDOW = 7
"""Number of places on a side of a window."""

STRIDE = 3
"""Number of places from one window to the next."""


@dataclass(frozen=True)
class Grid:
    """The grid of an image.

    Attributes:
        columns: number of places from left to right, at least 1.
        rows: number of places from top to bottom, at least 1.
        window: number of places on a side of a window; a shorter side of the image shrinks it.
        stride: number of places from one window to the next.
    """

    columns: int
    rows: int
    window: int = WINDOW
    stride: int = STRIDE

    @classmethod
    def of(cls, width: int, height: int, *, places: int = PLACES, window: int = WINDOW, stride: int = STRIDE) -> Grid:
        """The grid of an image of this size, in pixels, with `places` on its long side."""
        longest = max(width, height)
        columns, rows = (max(1, round(places * side / longest)) for side in (width, height))
        return cls(columns, rows, window, stride)

    def windows(self) -> Indices:
        """[W, 4] left, top, right and bottom of each window, in places, row by row."""
        wide, high = min(self.window, self.columns), min(self.window, self.rows)
        across, down = self._starts(self.columns), self._starts(self.rows)
        corners = [(left, top, left + wide, top + high) for top in down for left in across]
        return np.array(corners, dtype=np.intp)

    def boxes(self) -> Floats:
        """[W, 4] left, top, right and bottom of each window, as shares of the image's width and height, 0..1."""
        size = np.array([self.columns, self.rows] * 2)
        return np.asarray(self.windows() / size, dtype=np.float32)

    def __len__(self) -> int:
        """W, the number of windows."""
        return len(self._starts(self.columns)) * len(self._starts(self.rows))

    def _starts(self, places: int) -> list[int]:
        """Where windows start along a side of so many places; the last one ends at the edge."""
        last = max(0, places - self.window)
        return sorted({*range(0, last + 1, self.stride), last})
