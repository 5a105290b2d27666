"""Drawing with filled shapes. Each thing is drawn in its own square, which a pen places in the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

_ROUND = 22  # corners of an oval
INK: Colour = (40, 38, 42)
WHITE: Colour = (250, 250, 248)


class Pen:
    """Draws in a square from (−1, −1) at the top left to (1, 1) that is moved, scaled, rotated and mirrored.

    Args:
        draw: Pillow's drawing surface.
        x: horizontal centre of the square, in pixels.
        y: vertical centre of the square, in pixels.
        size: half the side of the square, in pixels.
        turn: clockwise rotation in degrees.
        mirrored: swap left and right.
    """

    def __init__(self, draw: ImageDraw, x: float, y: float, size: float, turn: float, mirrored: bool) -> None:
        self._draw = draw
        self._x, self._y = x, y
        cos, sin = size * math.cos(math.radians(turn)), size * math.sin(math.radians(turn))
        flip = -1 if mirrored else 1
        self._across = (cos * flip, sin * flip)
        self._down = (-sin, cos)

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        (ax, ay), (dx, dy) = self._across, self._down
        self._draw.polygon([(self._x + ax * x + dx * y, self._y + ay * x + dy * y) for x, y in points], colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0) -> None:
        """A filled ellipse of radii rx and ry, turned clockwise by `turn` degrees."""
        self.shape(arc(x, y, rx, ry, 0, 360, turn), colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A stroke with round ends and joints."""
        half = width / 2
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            nx, ny = -(y1 - y0) / length * half, (x1 - x0) / length * half
            self.shape([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], colour)
        for x, y in points:
            self.shape([(x + half * cos, y + half * sin) for cos, sin in _OCTAGON], colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """A circle's outline."""
        self.line(arc(x, y, radius, radius, 0, 360), width, colour)


_OCTAGON = [(math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)) for k in range(8)]


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, turn: float = 0) -> list[Point]:
    """Points on an ellipse from `start` to `end`, in degrees clockwise from the right."""
    steps = max(3, round(_ROUND * abs(end - start) / 360))
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for k in range(steps + 1):
        angle = math.radians(start + (end - start) * k / steps)
        dx, dy = rx * math.cos(angle), ry * math.sin(angle)
        points.append((x + dx * cos - dy * sin, y + dx * sin + dy * cos))
    return points


def shade(colour: Colour, factor: float) -> Colour:
    """Scale the brightness: below 1 is darker, above 1 is lighter, 0 is black and 2 is white."""
    if factor <= 1:
        red, green, blue = (round(part * factor) for part in colour)
    else:
        red, green, blue = (round(part + (255 - part) * (factor - 1)) for part in colour)
    return red, green, blue


def mix(one: Colour, two: Colour, share: float) -> Colour:
    """Blend two colours; `share` is the weight of `two`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, two, strict=True))
    return red, green, blue
