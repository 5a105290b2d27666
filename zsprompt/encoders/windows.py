"""The windows of an image: overlapping parts of it, all of the same size, on a grid of places.

A place is a square; the long side of an image has 16 of them. A window has 7 by 7 places, as much as the whole image
has in a tower with 32-pixel patches, and starts every 3 places. The last one ends at the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Floats, Indices

PLACES = 16
"""Number of places on the long side of an image, unless an encoder has another."""

WINDOW = 7
"""Number of places on a side of a window."""

STRIDE = 3
"""Number of places from one window to the next."""


@dataclass(frozen=True)
class Grid:
    """The grid of an image: number of places in each direction, at least 1."""

    columns: int
    rows: int

    @classmethod
    def of(cls, width: int, height: int, places: int = PLACES) -> Grid:
        """The grid of an image of this size, in pixels, with `places` on its long side."""
        longest = max(width, height)
        return cls(max(1, round(places * width / longest)), max(1, round(places * height / longest)))

    def windows(self) -> Indices:
        """[W, 4] left, top, right and bottom of each window, in places, row by row."""
        across, down = _starts(self.columns), _starts(self.rows)
        wide, high = min(WINDOW, self.columns), min(WINDOW, self.rows)
        corners = [(left, top, left + wide, top + high) for top in down for left in across]
        return np.array(corners, dtype=np.intp)

    def boxes(self) -> Floats:
        """[W, 4] left, top, right and bottom of each window, as shares of the image's width and height, 0..1."""
        size = np.array([self.columns, self.rows] * 2)
        return np.asarray(self.windows() / size, dtype=np.float32)


def _starts(places: int) -> list[int]:
    """Where windows start along a side of so many places; the last one ends at the edge."""
    last = max(0, places - WINDOW)
    return sorted({*range(0, last + 1, STRIDE), last})
