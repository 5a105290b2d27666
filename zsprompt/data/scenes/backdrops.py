"""Backdrops of the scenes: landscapes and rooms, painted from back to front, without any labelled thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zsprompt.data.scenes.canvas import WHITE, Colour, Pen, arc, mix, shade
from zsprompt.data.scenes.chance import Chance

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((92, 166, 232), (206, 232, 248)),
    "dusk": ((92, 70, 142), (252, 168, 106)),
    "night": ((14, 18, 52), (44, 54, 104)),
    "overcast": ((150, 160, 172), (206, 212, 216)),
}
"""Light -> colours of the sky at the top and at the horizon."""

HORIZON = 0.55
"""Distance of the horizon from the top, as a share of the image's height."""


def paint(place: str, light: str, image: Image, chance: Chance) -> None:
    """Paint the backdrop `place` in the light `light` (a key of _SKIES; rooms and plain backgrounds ignore it)."""
    from PIL import ImageDraw

    brush = _Brush(image, ImageDraw.Draw(image), light, chance)
    PLACES[place](brush)


class _Brush:
    """The drawing surface, its side in pixels, the light, and random choices."""

    def __init__(self, image: Image, draw: ImageDraw, light: str, chance: Chance) -> None:
        self.image, self.draw, self.light, self.chance = image, draw, light, chance
        self.side = image.width

    def fade(self, top: float, bottom: float, above: Colour, below: Colour) -> None:
        """A vertical gradient between two heights."""
        first, last = round(top * self.side), round(bottom * self.side)
        for y in range(first, last):
            self.draw.line([(0, y), (self.side, y)], mix(above, below, (y - first) / max(1, last - first)))

    def pen(self, x: float, y: float, size: float) -> Pen:
        """A pen at a position, in shares of the side."""
        return Pen(self.draw, x * self.side, y * self.side, size * self.side, 0, False)

    def lit(self, colour: Colour) -> Colour:
        """`colour` in this light."""
        return shade(colour, {"day": 1.0, "dusk": 0.8, "night": 0.45, "overcast": 0.9}[self.light])

    def sky(self) -> None:
        """The sky: a gradient, then stars, moon, sun and clouds depending on the light."""
        self.fade(0, HORIZON, *_SKIES[self.light])
        if self.light == "night":
            for _ in range(26):
                self.pen(self.chance.between(0, 1), self.chance.between(0, 0.5), 0.006).oval(0, 0, 1, 1, WHITE)
            self._disc((240, 238, 214), 0.06)
        elif self.light == "dusk":
            self._disc((255, 226, 150), 0.07)
        elif self.chance.happens(0.5) and self.light == "day":
            self._disc((255, 236, 120), 0.065)
        if self.light != "night":
            self._clouds()

    def _disc(self, colour: Colour, size: float) -> None:
        self.pen(self.chance.between(0.1, 0.9), self.chance.between(0.1, 0.25), size).oval(0, 0, 1, 1, colour)

    def _clouds(self) -> None:
        colour = mix(_SKIES[self.light][1], WHITE, 0.7)
        for _ in range(self.chance.below(4)):
            pen = self.pen(self.chance.between(0, 1), self.chance.between(0.06, 0.35), self.chance.between(0.06, 0.13))
            for x, y, r in ((-0.7, 0.1, 0.4), (0, -0.1, 0.55), (0.7, 0.1, 0.42)):
                pen.oval(x, y, r * 1.2, r, colour)

    def hills(self, colour: Colour, height: float) -> None:
        """Four mounds along the horizon; `height` is about their height divided by their width."""
        start = self.chance.between(-0.2, 0.1)
        for k in range(4):
            pen = self.pen(start + 0.38 * k, HORIZON, self.chance.between(0.25, 0.42))
            pen.shape(
                arc(0, 0, 1, height * self.chance.between(0.6, 1.2), 180, 360), shade(colour, 0.85 + 0.08 * (k % 3))
            )

    def tufts(self, colour: Colour, count: int) -> None:
        for _ in range(count):
            pen = self.pen(self.chance.between(0, 1), self.chance.between(HORIZON + 0.04, 1), 0.025)
            for x in (-0.5, 0, 0.5):
                pen.line([(x * 0.4, 0.5), (x, -0.6)], 0.2, colour)


def _meadow(brush: _Brush) -> None:
    green = brush.lit(brush.chance.one(((120, 184, 82), (96, 164, 74), (150, 190, 90))))
    brush.sky()
    brush.hills(mix(green, (90, 130, 120), 0.5), 0.5)
    brush.fade(HORIZON, 1, green, shade(green, 0.82))
    brush.tufts(shade(green, 0.72), 14)


def _beach(brush: _Brush) -> None:
    brush.sky()
    brush.fade(HORIZON, 0.72, brush.lit((44, 130, 178)), brush.lit((92, 184, 206)))
    brush.fade(0.72, 1, brush.lit((244, 222, 166)), brush.lit((226, 198, 136)))
    brush.pen(0.5, 0.72, 0.6).shape(arc(0, 0, 1, 0.03, 0, 360), brush.lit((240, 246, 246)))


def _sea(brush: _Brush) -> None:
    brush.sky()
    brush.fade(HORIZON, 1, brush.lit((70, 150, 196)), brush.lit((20, 78, 136)))
    for _ in range(16):
        pen = brush.pen(brush.chance.between(0, 1), brush.chance.between(HORIZON + 0.03, 1), 0.035)
        pen.line([(-1, 0.1), (-0.4, -0.2), (0.2, 0.1), (0.9, -0.2)], 0.2, brush.lit((150, 206, 226)))


def _underwater(brush: _Brush) -> None:
    brush.fade(0, 1, (86, 190, 216), (12, 70, 124))
    for _ in range(12):
        pen = brush.pen(brush.chance.between(0, 1), brush.chance.between(0, 0.9), brush.chance.between(0.01, 0.025))
        pen.ring(0, 0, 1, 0.3, (190, 232, 242))
    brush.pen(0.5, 1.0, 0.6).shape(arc(0, 0, 1.1, 0.2, 180, 360), (206, 184, 128))
    for _ in range(4):
        weed = [(0.0, 0.5), (0.25, 0.1), (-0.2, -0.4), (0.1, -0.95)]
        brush.pen(brush.chance.between(0, 1), 0.9, brush.chance.between(0.07, 0.13)).line(weed, 0.16, (34, 120, 88))


def _road(brush: _Brush) -> None:
    brush.sky()
    brush.fade(HORIZON, 0.66, brush.lit((140, 180, 100)), brush.lit((112, 156, 82)))
    brush.fade(0.66, 0.95, brush.lit((108, 110, 116)), brush.lit((84, 86, 92)))
    brush.fade(0.95, 1, brush.lit((196, 190, 182)), brush.lit((176, 170, 162)))
    for k in range(6):
        brush.pen(0.08 + 0.18 * k, 0.81, 0.05).box(-1, -0.16, 1, 0.16, brush.lit((244, 236, 190)))


def _city(brush: _Brush) -> None:
    brush.sky()
    x = -0.02
    while x < 1:
        width, top = brush.chance.between(0.1, 0.2), brush.chance.between(0.12, 0.42)
        wall = brush.lit(brush.chance.one(((128, 134, 150), (164, 150, 140), (98, 112, 132), (150, 160, 168))))
        side = brush.side
        brush.draw.rectangle([x * side, top * side, (x + width) * side, HORIZON * side], wall)
        lights: Colour = (250, 226, 130) if brush.light == "night" else shade(wall, 1.35)
        for row in range(int((HORIZON - top) / 0.06)):
            for column in range(int(width / 0.045)):
                brush.pen(x + 0.03 + 0.045 * column, top + 0.035 + 0.06 * row, 0.011).box(-1, -1, 1, 1, lights)
        x += width
    brush.fade(HORIZON, 1, brush.lit((166, 166, 168)), brush.lit((128, 128, 132)))


def _desert(brush: _Brush) -> None:
    brush.sky()
    brush.hills(brush.lit((214, 152, 92)), 0.35)
    brush.fade(HORIZON, 1, brush.lit((234, 190, 118)), brush.lit((214, 158, 84)))
    for _ in range(3):
        pen = brush.pen(brush.chance.between(0, 1), brush.chance.between(0.6, 0.95), 0.05)
        pen.shape(arc(0, 0.4, 1, 0.9, 180, 360), brush.lit((168, 130, 96)))


def _snow(brush: _Brush) -> None:
    brush.sky()
    brush.hills(brush.lit((206, 218, 232)), 0.9)
    brush.fade(HORIZON, 1, brush.lit((240, 244, 250)), brush.lit((214, 224, 238)))
    for _ in range(30):
        brush.pen(brush.chance.between(0, 1), brush.chance.between(0, 1), 0.006).oval(0, 0, 1, 1, WHITE)


def _mountains(brush: _Brush) -> None:
    brush.sky()
    for k in range(3):
        pen = brush.pen(0.15 + 0.35 * k + brush.chance.between(-0.1, 0.1), 0.36, 0.3)
        pen.shape([(-1, 0.65), (0, -0.75), (1, 0.65)], brush.lit(shade((120, 124, 140), 0.85 + 0.12 * k)))
        pen.shape([(-0.28, -0.36), (0, -0.75), (0.28, -0.36), (0.1, -0.24), (-0.08, -0.4)], brush.lit(WHITE))
    brush.fade(HORIZON, 1, brush.lit((122, 160, 96)), brush.lit((98, 138, 78)))


def _room(brush: _Brush) -> None:
    wall = brush.chance.one(((226, 214, 196), (196, 212, 214), (232, 220, 170), (206, 190, 204), (186, 204, 180)))
    floor = brush.chance.one(((168, 122, 80), (120, 84, 58), (190, 170, 146)))
    brush.fade(0, 0.68, shade(wall, 1.05), wall)
    brush.fade(0.68, 1, floor, shade(floor, 0.85))
    brush.pen(0.5, 0.68, 0.5).box(-1, -0.02, 1, 0.03, WHITE)
    frame = brush.pen(brush.chance.between(0.2, 0.8), 0.25, 0.12)
    frame.box(-1, -0.8, 1, 0.8, (108, 76, 48))
    frame.box(-0.84, -0.64, 0.84, 0.64, brush.chance.one(((170, 200, 214), (214, 190, 160), (190, 206, 170))))
    if brush.chance.happens(0.5):
        rug = brush.pen(0.5, 0.87, 0.34)
        rug.oval(0, 0, 1, 0.26, brush.chance.one(((168, 70, 66), (74, 96, 140), (196, 166, 96))))


def _kitchen(brush: _Brush) -> None:
    brush.fade(0, 0.6, (238, 240, 236), (226, 230, 226))
    step = brush.side / 9
    for k in range(10):
        brush.draw.line([(k * step, 0), (k * step, 0.6 * brush.side)], (202, 210, 208), 2)
        if k < 6:
            brush.draw.line([(0, k * step), (brush.side, k * step)], (202, 210, 208), 2)
    top = brush.chance.one(((150, 104, 68), (92, 96, 102), (196, 180, 158)))
    brush.fade(0.6, 0.7, shade(top, 1.2), top)
    front = brush.chance.one(((214, 220, 224), (120, 150, 150), (226, 206, 170)))
    brush.fade(0.7, 1, front, shade(front, 0.9))
    for x in (0.33, 0.66):
        brush.draw.line([(x * brush.side, 0.7 * brush.side), (x * brush.side, brush.side)], shade(front, 0.75), 2)


def _studio(brush: _Brush) -> None:
    ground = brush.chance.one(
        (
            (240, 240, 238),
            (222, 228, 234),
            (250, 226, 200),
            (206, 226, 206),
            (230, 210, 226),
            (60, 64, 74),
            (250, 240, 190),
        )
    )
    brush.fade(0, 1, shade(ground, 1.04), shade(ground, 0.9))


def _pattern(brush: _Brush) -> None:
    ground = brush.chance.one(((236, 224, 204), (204, 220, 230), (228, 204, 204), (210, 226, 200)))
    brush.fade(0, 1, ground, ground)
    dots = brush.chance.happens(0.5)
    for k in range(7):
        if dots:
            for row in range(7):
                brush.pen((k + 0.5 * (row % 2)) / 6.5, row / 6.5, 0.022).oval(0, 0, 1, 1, shade(ground, 0.86))
        else:
            brush.pen(k / 6.5, 0.5, 0.5).box(-0.06, -1, 0.06, 1, shade(ground, 0.9))


PLACES: dict[str, Callable[[_Brush], None]] = {
    "meadow": _meadow,
    "beach": _beach,
    "sea": _sea,
    "underwater": _underwater,
    "road": _road,
    "city": _city,
    "desert": _desert,
    "snow": _snow,
    "mountains": _mountains,
    "room": _room,
    "kitchen": _kitchen,
    "studio": _studio,
    "pattern": _pattern,
}
"""Name of a backdrop -> function that paints it."""

LIGHTS = tuple(_SKIES)
