"""Drawings of the sixteen kinds of things: upright, from their usual viewpoint, in the pen's square."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from zsprompt.data.scenes.canvas import INK, WHITE, Colour, Pen, arc, mix, shade
from zsprompt.data.scenes.chance import Chance


@dataclass(frozen=True)
class Look:
    """Look of one thing: variant of its kind, main colour, and small random differences."""

    variant: str
    colour: Colour
    chance: Chance


Draw = Callable[[Pen, Look], None]

_SKIN: tuple[Colour, ...] = ((255, 219, 190), (234, 190, 150), (198, 140, 98), (141, 92, 60), (92, 60, 42))
_HAIR: tuple[Colour, ...] = (
    (38, 30, 28),
    (92, 58, 36),
    (150, 100, 52),
    (222, 184, 104),
    (150, 150, 152),
    (168, 72, 32),
)
_GLASS: Colour = (190, 222, 238)
_TYRE: Colour = (46, 46, 50)
_METAL: Colour = (176, 180, 186)
_WOOD: Colour = (134, 90, 54)
_LEAF: Colour = (74, 146, 64)


def person(pen: Pen, look: Look) -> None:
    """A man, a woman or a child: standing, walking or waving."""
    skin, hair = look.chance.one(_SKIN), look.chance.one(_HAIR)
    trousers = shade(look.colour, look.chance.one((0.35, 0.5, 1.5)))
    step = look.chance.one((0.08, 0.1, 0.3))
    for side in (-1, 1):
        foot = 0.1 * side + step * side
        leg = skin if look.variant == "woman" else trousers
        pen.line([(0.1 * side, 0.25), (foot, 0.9)], 0.17, leg)
        pen.line([(foot, 0.93), (foot + 0.1, 0.93)], 0.12, INK)
    raised = look.chance.happens(0.35)
    for side, up in ((-1, False), (1, raised)):
        hand = (0.5 * side, -0.62) if up else (0.4 * side, 0.22)
        pen.line([(0.2 * side, -0.34), (0.38 * side, -0.12)], 0.14, shade(look.colour, 0.85))
        pen.line([(0.38 * side, -0.12), hand], 0.1, skin)
        pen.oval(*hand, 0.08, 0.08, skin)
    if look.variant == "woman":
        pen.shape(
            [(-0.2, -0.42), (0.2, -0.42), (0.16, -0.05), (0.38, 0.48), (-0.38, 0.48), (-0.16, -0.05)], look.colour
        )
        pen.oval(0, -0.66, 0.27, 0.3, hair)
        pen.box(-0.27, -0.68, 0.27, -0.4, hair)
    else:
        pen.shape([(-0.27, -0.42), (0.27, -0.42), (0.22, 0.3), (-0.22, 0.3)], look.colour)
    pen.box(-0.07, -0.5, 0.07, -0.38, skin)
    head = 0.25 if look.variant == "child" else 0.2
    pen.oval(0, -0.66, head, head * 1.15, skin)
    pen.shape(arc(0, -0.7, head * 1.06, head * 1.15, 180, 360), hair)
    for side in (-1, 1):
        pen.oval(0.08 * side, -0.63, 0.028, 0.035, INK)
    pen.line([(-0.06, -0.53), (0, -0.51), (0.06, -0.53)], 0.03, (170, 60, 60))


def dog(pen: Pen, look: Look) -> None:
    """Seen from the side, head to the right: a hound with hanging ears, a shepherd with pointed ones, a poodle."""
    coat, dark = look.colour, shade(look.colour, 0.68)
    for x in (-0.5, 0.28):
        pen.line([(x + 0.12, 0.3), (x + 0.14, 0.85)], 0.15, dark)
    pen.line([(-0.62, 0.05), (-0.82, -0.22), (-0.86, -0.45)], 0.13, coat)
    pen.oval(-0.12, 0.15, 0.58, 0.29, coat)
    pen.line([(0.32, 0.05), (0.5, -0.35)], 0.34, coat)
    for x in (-0.5, 0.28):
        pen.line([(x, 0.25), (x, 0.88)], 0.17, coat)
        pen.line([(x, 0.92), (x + 0.08, 0.92)], 0.13, coat)
    pen.oval(0.52, -0.45, 0.27, 0.24, coat)
    pen.shape([(0.6, -0.56), (0.96, -0.42), (0.96, -0.28), (0.6, -0.24)], shade(coat, 1.12))
    pen.oval(0.95, -0.38, 0.075, 0.07, INK)
    pen.oval(0.6, -0.52, 0.045, 0.05, INK)
    if look.variant == "hound":
        pen.oval(0.36, -0.36, 0.13, 0.3, dark, 12)
    elif look.variant == "shepherd":
        pen.shape([(0.3, -0.55), (0.34, -0.98), (0.56, -0.62)], dark)
        pen.oval(-0.15, 0.0, 0.42, 0.14, dark)
    else:
        for x, y, r in ((-0.86, -0.5, 0.15), (0.42, -0.68, 0.2), (0.32, -0.34, 0.17), (-0.5, 0.75, 0.14)):
            pen.oval(x, y, r, r, shade(coat, 1.2))
        pen.oval(0.28, 0.75, 0.14, 0.14, shade(coat, 1.2))
    pen.line([(0.34, -0.12), (0.56, -0.04)], 0.09, look.chance.one(((200, 50, 50), (50, 90, 190), (60, 140, 70))))


def cat(pen: Pen, look: Look) -> None:
    """Sitting and facing us, or lying; plain or tabby."""
    coat, dark = look.colour, shade(look.colour, 0.62)
    if look.variant == "lying":
        pen.line([(-0.6, 0.75), (-0.95, 0.6), (-0.92, 0.3)], 0.14, coat)
        pen.oval(-0.12, 0.55, 0.7, 0.36, coat)
        pen.box(-0.6, 0.7, 0.6, 0.9, coat)
        stripes = [((x, 0.24), (x + 0.05, 0.55)) for x in (-0.5, -0.3, -0.1)]
        head = (0.45, 0.18)
    else:
        pen.line([(0.3, 0.8), (0.75, 0.75), (0.85, 0.35), (0.72, 0.15)], 0.14, coat)
        pen.oval(0, 0.45, 0.42, 0.52, coat)
        pen.oval(0, 0.5, 0.22, 0.36, shade(coat, 1.4))
        for side in (-1, 1):
            pen.oval(0.2 * side, 0.88, 0.17, 0.1, shade(coat, 1.12))
        stripes = [((0.24 * side, y), (0.4 * side, y + 0.05)) for side in (-1, 1) for y in (0.25, 0.42, 0.59)]
        head = (0.0, -0.28)
    tabby = look.chance.happens(0.5)
    if tabby:
        for stripe in stripes:
            pen.line(stripe, 0.07, dark)
    _cat_head(pen, head, coat, dark if tabby else coat)


def _cat_head(pen: Pen, at: tuple[float, float], coat: Colour, mark: Colour) -> None:
    x, y = at
    for side in (-1, 1):
        pen.shape([(x + 0.1 * side, y - 0.24), (x + 0.4 * side, y - 0.66), (x + 0.43 * side, y - 0.05)], coat)
        pen.shape(
            [(x + 0.2 * side, y - 0.26), (x + 0.35 * side, y - 0.5), (x + 0.36 * side, y - 0.15)], (232, 160, 160)
        )
    pen.oval(x, y, 0.45, 0.37, coat)
    for shift in (-0.1, 0, 0.1):
        pen.line([(x + shift, y - 0.33), (x + shift, y - 0.2)], 0.05, mark)
    for side in (-1, 1):
        pen.oval(x + 0.18 * side, y - 0.04, 0.1, 0.12, (206, 220, 90))
        pen.oval(x + 0.18 * side, y - 0.04, 0.035, 0.11, INK)
        for tip in (0.06, 0.2):
            pen.line([(x + 0.14 * side, y + 0.16), (x + 0.62 * side, y + tip)], 0.022, shade(coat, 0.4))
    pen.shape([(x - 0.06, y + 0.1), (x + 0.06, y + 0.1), (x, y + 0.17)], (220, 110, 120))


def bird(pen: Pen, look: Look) -> None:
    """A songbird, one with spread wings, a duck or an owl."""
    {"songbird": _songbird, "flying": _flying_bird, "duck": _duck, "owl": _owl}[look.variant](pen, look.colour)


_BEAK: Colour = (242, 160, 38)


def _songbird(pen: Pen, feathers: Colour) -> None:
    for x in (-0.02, 0.14):
        pen.line([(x, 0.5), (x, 0.92), (x + 0.12, 0.92)], 0.05, shade(_BEAK, 0.8))
    pen.shape([(-0.4, 0.1), (-0.98, 0.42), (-0.9, 0.6), (-0.3, 0.42)], shade(feathers, 0.7))
    pen.oval(0.0, 0.2, 0.52, 0.4, feathers, -18)
    pen.oval(0.14, 0.34, 0.32, 0.24, shade(feathers, 1.5), -18)
    pen.oval(0.38, -0.28, 0.31, 0.3, feathers)
    pen.shape([(0.62, -0.4), (0.98, -0.24), (0.62, -0.14)], _BEAK)
    pen.oval(0.46, -0.34, 0.06, 0.065, INK)
    pen.oval(-0.16, 0.14, 0.4, 0.22, shade(feathers, 0.68), 18)


def _flying_bird(pen: Pen, feathers: Colour) -> None:
    pen.shape([(-0.05, 0.1), (-0.25, -0.9), (0.45, 0.05)], shade(feathers, 0.6))
    pen.shape([(-0.5, 0.05), (-0.98, -0.1), (-0.98, 0.3), (-0.5, 0.28)], shade(feathers, 0.7))
    pen.oval(0.05, 0.16, 0.62, 0.22, feathers)
    pen.oval(0.6, 0.02, 0.22, 0.2, feathers)
    pen.shape([(0.76, -0.06), (0.99, 0.06), (0.76, 0.12)], _BEAK)
    pen.oval(0.66, -0.03, 0.04, 0.045, INK)
    pen.shape([(-0.35, 0.1), (-0.7, -0.72), (-0.3, -0.55), (-0.1, -0.6), (0.3, 0.1)], shade(feathers, 0.8))


def _duck(pen: Pen, feathers: Colour) -> None:
    pen.shape([(-0.9, 0.0), (-0.3, 0.25), (-0.5, 0.6)], feathers)
    pen.oval(-0.08, 0.4, 0.66, 0.38, feathers)
    pen.line([(0.36, 0.3), (0.42, -0.3)], 0.26, feathers)
    pen.oval(0.46, -0.4, 0.28, 0.26, shade(feathers, 0.75))
    pen.shape([(0.66, -0.46), (0.99, -0.38), (0.99, -0.26), (0.66, -0.24)], _BEAK)
    pen.oval(0.54, -0.46, 0.05, 0.055, INK)
    pen.oval(-0.16, 0.36, 0.4, 0.22, shade(feathers, 0.7), 10)


def _owl(pen: Pen, feathers: Colour) -> None:
    for side in (-1, 1):
        pen.shape([(0.1 * side, -0.6), (0.46 * side, -0.97), (0.5 * side, -0.4)], shade(feathers, 0.75))
        pen.line([(0.18 * side, 0.85), (0.18 * side, 0.95)], 0.14, _BEAK)
    pen.oval(0, 0.15, 0.52, 0.76, feathers)
    pen.oval(0, 0.32, 0.32, 0.48, shade(feathers, 1.5))
    for side in (-1, 1):
        pen.oval(0.46 * side, 0.25, 0.14, 0.44, shade(feathers, 0.68), -8 * side)
        pen.oval(0.22 * side, -0.34, 0.23, 0.23, WHITE)
        pen.oval(0.2 * side, -0.34, 0.11, 0.12, INK)
    pen.shape([(-0.08, -0.24), (0.08, -0.24), (0, -0.02)], _BEAK)


def fish(pen: Pen, look: Look) -> None:
    """Seen from the side, head to the right: plain, striped, or round as a disc."""
    scales, fin = look.colour, shade(look.colour, 0.7)
    height = 0.62 if look.variant == "disc" else 0.4
    pen.shape([(-0.4, 0), (-0.98, -0.5), (-0.84, 0), (-0.98, 0.5)], fin)
    pen.shape([(-0.25, -height * 0.8), (0.05, -height - 0.3), (0.35, -height * 0.75)], fin)
    pen.shape([(-0.1, height * 0.8), (0.05, height + 0.22), (0.25, height * 0.8)], fin)
    pen.oval(0.12, 0, 0.68, height, scales)
    pen.shape([(0.1, height * 0.25), *arc(0.12, 0, 0.62, height * 0.94, 20, 160)], shade(scales, 1.4))
    if look.variant == "striped":
        for x, share in ((-0.22, 0.8), (0.06, 0.95), (0.32, 0.88)):
            pen.line([(x, -height * share), (x + 0.04, 0), (x, height * share)], 0.12, WHITE)
    pen.shape([(0.0, 0.02), (-0.25, 0.26), (0.12, 0.22)], fin)
    pen.oval(0.54, -0.1, 0.11, 0.11, WHITE)
    pen.oval(0.57, -0.1, 0.055, 0.06, INK)
    pen.line([(0.76, 0.1), (0.62, 0.15)], 0.04, shade(scales, 0.4))


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.oval(x, y, radius, radius, _TYRE)
    pen.oval(x, y, radius * 0.52, radius * 0.52, _METAL)
    pen.oval(x, y, radius * 0.16, radius * 0.16, _TYRE)


def car(pen: Pen, look: Look) -> None:
    """Seen from the side: a saloon, a small one, a pickup, a taxi with its sign."""
    paint = look.colour
    if look.variant == "pickup":
        cabin = [(-0.05, -0.02), (0.02, -0.48), (0.42, -0.48), (0.62, -0.02)]
        panes = [[(0.08, -0.06), (0.12, -0.38), (0.36, -0.38), (0.5, -0.06)]]
        pen.box(-0.97, -0.1, 0.0, 0.1, shade(paint, 0.8))
    elif look.variant == "small":
        cabin = [(-0.7, 0.0), (-0.52, -0.58), (0.2, -0.58), (0.52, 0.0)]
        panes = [
            [(-0.55, -0.06), (-0.42, -0.46), (-0.16, -0.46), (-0.16, -0.06)],
            [(-0.06, -0.06), (-0.06, -0.46), (0.14, -0.46), (0.36, -0.06)],
        ]
    else:
        cabin = [(-0.68, -0.02), (-0.4, -0.48), (0.26, -0.48), (0.58, -0.02)]
        panes = [
            [(-0.5, -0.06), (-0.32, -0.38), (-0.1, -0.38), (-0.1, -0.06)],
            [(0.0, -0.06), (0.0, -0.38), (0.2, -0.38), (0.42, -0.06)],
        ]
    pen.shape(cabin, paint)
    for pane in panes:
        pen.shape(pane, _GLASS)
    pen.shape([(-0.97, 0.02), (-0.9, -0.06), (0.7, -0.06), (0.95, 0.06), (0.98, 0.38), (-0.97, 0.38)], paint)
    pen.box(-0.97, 0.28, 0.98, 0.4, shade(paint, 0.66))
    pen.oval(0.9, 0.13, 0.07, 0.07, (255, 240, 170))
    pen.box(-0.97, 0.06, -0.88, 0.18, (200, 40, 40))
    pen.line([(-0.08, 0.08), (0.06, 0.08)], 0.035, shade(paint, 0.5))
    if look.variant == "taxi":
        pen.box(-0.2, -0.62, 0.14, -0.48, INK)
        pen.box(-0.16, -0.59, 0.1, -0.51, (250, 240, 150))
    for x in (-0.55, 0.55):
        _wheel(pen, x, 0.4, 0.21)


def bus(pen: Pen, look: Look) -> None:
    """Seen from the side: a city bus, a double-decker, a yellow school bus."""
    paint = look.colour
    top = -0.82 if look.variant == "double-decker" else -0.5
    pen.shape([(-0.98, top + 0.08), (-0.92, top), (0.92, top), (0.98, top + 0.1), (0.98, 0.55), (-0.98, 0.55)], paint)
    pen.box(-0.98, 0.42, 0.98, 0.56, shade(paint, 0.62))
    rows = (-0.7, -0.18) if look.variant == "double-decker" else (-0.34,)
    for row in rows:
        for k in range(5):
            pen.box(-0.9 + 0.32 * k, row, -0.66 + 0.32 * k, row + 0.32, _GLASS)
        pen.box(0.76, row, 0.97, row + 0.36, shade(_GLASS, 0.85))
    pen.box(0.46, rows[-1], 0.68, 0.5, shade(_GLASS, 0.75))
    pen.line([(0.57, rows[-1]), (0.57, 0.5)], 0.03, shade(paint, 0.6))
    if look.variant == "school":
        pen.box(-0.98, 0.1, 0.44, 0.18, INK)
    else:
        pen.box(-0.98, 0.2, 0.44, 0.27, shade(paint, 1.6))
    pen.oval(0.92, 0.34, 0.055, 0.06, (255, 240, 170))
    for x in (-0.58, 0.3):
        _wheel(pen, x, 0.58, 0.2)


def bicycle(pen: Pen, look: Look) -> None:
    """Seen from the side: two wheels and a frame, with or without a basket."""
    for x in (-0.56, 0.56):
        pen.ring(x, 0.38, 0.38, 0.075, _TYRE)
        for angle in (0, 45, 90, 135):
            half_turn = arc(x, 0.38, 0.36, 0.36, angle, angle + 180)
            pen.line([half_turn[0], half_turn[-1]], 0.016, _METAL)
    frame = look.colour
    pen.line([(-0.56, 0.38), (-0.2, -0.22), (0.4, -0.26), (-0.06, 0.4), (-0.56, 0.38)], 0.085, frame)
    pen.line([(-0.06, 0.4), (-0.26, -0.4)], 0.085, frame)
    pen.line([(0.56, 0.38), (0.36, -0.5)], 0.085, frame)
    pen.line([(0.36, -0.5), (0.2, -0.6), (0.12, -0.52)], 0.07, INK)
    pen.line([(-0.42, -0.42), (-0.12, -0.44)], 0.12, INK)
    pen.line([(-0.06, 0.4), (0.06, 0.58), (0.14, 0.58)], 0.06, INK)
    pen.oval(-0.06, 0.4, 0.09, 0.09, INK)
    if look.variant == "basket":
        pen.shape([(0.44, -0.48), (0.92, -0.48), (0.84, -0.12), (0.52, -0.12)], _WOOD)
        for y in (-0.38, -0.26):
            pen.line([(0.5, y), (0.86, y)], 0.03, shade(_WOOD, 1.5))


def boat(pen: Pen, look: Look) -> None:
    """On its keel, bow to the right: a sailing boat, a motor boat, a steamer, a rowing boat with oars."""
    hull = [(-0.9, 0.4), (0.98, 0.34), (0.66, 0.86), (-0.66, 0.86)]
    if look.variant == "sailing":
        pen.line([(0.0, 0.5), (0.0, -0.96)], 0.06, _WOOD)
        pen.shape([(0.06, -0.92), (0.06, 0.26), (0.78, 0.26)], look.chance.one((WHITE, (226, 74, 60), (252, 226, 160))))
        pen.shape([(-0.06, -0.8), (-0.06, 0.26), (-0.66, 0.26)], WHITE)
    elif look.variant == "motor":
        pen.shape([(-0.5, 0.4), (-0.42, 0.0), (0.2, 0.0), (0.48, 0.38)], WHITE)
        pen.shape([(-0.02, 0.3), (-0.02, 0.07), (0.17, 0.07), (0.32, 0.3)], _GLASS)
        pen.box(-0.34, 0.08, -0.1, 0.28, _GLASS)
        pen.line([(-0.3, 0.0), (-0.3, -0.36)], 0.04, _METAL)
        pen.shape([(-0.3, -0.36), (-0.64, -0.26), (-0.3, -0.14)], (220, 60, 60))
    elif look.variant == "steamer":
        pen.box(-0.6, -0.02, 0.5, 0.42, WHITE)
        for x in (-0.42, -0.16, 0.1, 0.34):
            pen.oval(x, 0.2, 0.075, 0.075, (90, 140, 180))
        for x in (-0.3, 0.14):
            pen.box(x - 0.11, -0.62, x + 0.11, 0.0, (206, 62, 48))
            pen.box(x - 0.11, -0.62, x + 0.11, -0.48, INK)
    pen.shape(hull, look.colour)
    pen.shape([(-0.9, 0.4), (0.98, 0.34), (0.9, 0.48), (-0.84, 0.52)], shade(look.colour, 1.45))
    if look.variant == "rowing":
        pen.line([(-0.5, 0.38), (0.5, 0.36)], 0.07, shade(_WOOD, 0.8))
        for x in (-0.1, 0.3):
            pen.line([(x + 0.2, 0.12), (x - 0.42, 0.94)], 0.055, shade(_WOOD, 1.3))
            pen.oval(x - 0.42, 0.92, 0.07, 0.13, shade(_WOOD, 1.3), 36)


def tree(pen: Pen, look: Look) -> None:
    """Round, a conifer, a palm, or bare."""
    leaves = look.colour
    if look.variant == "conifer":
        pen.box(-0.1, 0.6, 0.1, 0.97, _WOOD)
        for top, bottom, half in ((-0.1, 0.68, 0.62), (-0.5, 0.32, 0.5), (-0.97, -0.1, 0.36)):
            pen.shape(
                [(0, top - 0.2 if top > -0.9 else top), (half, bottom), (-half, bottom)],
                shade(leaves, 0.9 + 0.1 * bottom),
            )
        return
    if look.variant == "palm":
        pen.line([(-0.06, 0.95), (0.04, 0.3), (0.0, -0.4)], 0.15, shade(_WOOD, 1.15))
        for angle in (-165, -130, -90, -50, -15, 20, 160):
            tip = arc(0, -0.4, 0.86, 0.62, angle, angle + 1)[0]
            pen.shape([(0, -0.5), (tip[0] * 0.55, tip[1] - 0.16), tip, (tip[0] * 0.5, tip[1] * 0.55 - 0.12)], leaves)
        for x in (-0.09, 0.09):
            pen.oval(x, -0.34, 0.09, 0.1, shade(_WOOD, 0.7))
        return
    pen.shape([(-0.13, 0.97), (-0.09, 0.0), (0.09, 0.0), (0.13, 0.97)], _WOOD)
    for end in ((-0.4, -0.3), (0.36, -0.34), (0.04, -0.6)):
        pen.line([(0, 0.2), end], 0.1, _WOOD)
    if look.variant == "bare":
        for start, end in (
            ((-0.4, -0.3), (-0.72, -0.42)),
            ((-0.4, -0.3), (-0.42, -0.74)),
            ((0.36, -0.34), (0.72, -0.52)),
            ((0.36, -0.34), (0.34, -0.78)),
            ((0.04, -0.6), (-0.1, -0.94)),
            ((0.04, -0.6), (0.16, -0.95)),
        ):
            pen.line([start, end], 0.055, _WOOD)
        return
    for x, y, r in (
        (-0.4, -0.16, 0.38),
        (0.4, -0.18, 0.38),
        (0.0, -0.5, 0.45),
        (-0.26, -0.42, 0.36),
        (0.28, -0.44, 0.36),
    ):
        pen.oval(x, y, r, r * 0.92, shade(leaves, look.chance.one((0.85, 1.0, 1.12))))
    if look.chance.happens(0.25):
        for x, y in ((-0.45, -0.2), (0.1, -0.55), (0.42, -0.12), (-0.1, -0.2), (0.3, -0.5)):
            pen.oval(x, y, 0.07, 0.07, (214, 44, 40))


def house(pen: Pen, look: Look) -> None:
    """From the front: a cottage, a tall town house, a barn."""
    wall, roof = look.colour, look.chance.one(((150, 62, 48), (92, 84, 88), (120, 78, 50), (70, 92, 120)))
    if look.variant == "tall":
        pen.box(-0.5, -0.6, 0.5, 0.95, wall)
        pen.shape([(-0.58, -0.58), (0, -0.97), (0.58, -0.58)], roof)
        for y in (-0.46, -0.04):
            for x in (-0.3, 0.04):
                _window(pen, x, y, 0.26, 0.3)
        _window(pen, 0.1, 0.44, 0.28, 0.28)
        pen.box(-0.34, 0.42, -0.06, 0.95, _WOOD)
        return
    if look.chance.happens(0.7):
        pen.box(0.34, -0.85, 0.54, -0.3, shade(roof, 0.75))
    pen.box(-0.74, -0.12, 0.74, 0.95, wall)
    if look.variant == "barn":
        pen.shape([(-0.84, -0.06), (-0.6, -0.5), (0, -0.84), (0.6, -0.5), (0.84, -0.06)], roof)
        pen.box(-0.36, 0.2, 0.36, 0.95, shade(wall, 0.6))
        for ends in (((-0.34, 0.22), (0.34, 0.93)), ((0.34, 0.22), (-0.34, 0.93))):
            pen.line(ends, 0.06, WHITE)
        _window(pen, -0.14, -0.42, 0.28, 0.24)
        return
    pen.shape([(-0.92, -0.06), (0, -0.9), (0.92, -0.06)], roof)
    pen.box(-0.14, 0.38, 0.18, 0.95, shade(roof, 0.7))
    pen.oval(0.11, 0.67, 0.03, 0.03, (230, 200, 80))
    for x in (-0.6, 0.32):
        _window(pen, x, 0.14, 0.3, 0.32)
    pen.oval(0, -0.36, 0.13, 0.13, _GLASS)


def _window(pen: Pen, left: float, top: float, width: float, height: float) -> None:
    pen.box(left - 0.03, top - 0.03, left + width + 0.03, top + height + 0.03, WHITE)
    pen.box(left, top, left + width, top + height, (120, 170, 200))
    pen.line([(left + width / 2, top), (left + width / 2, top + height)], 0.03, WHITE)
    pen.line([(left, top + height / 2), (left + width, top + height / 2)], 0.03, WHITE)


def flower(pen: Pen, look: Look) -> None:
    """On its stem: a daisy, a tulip, a sunflower, a rose."""
    pen.line([(0, -0.2), (0.04, 0.4), (0, 0.97)], 0.09, _LEAF)
    for side in (-1, 1):
        pen.oval(0.26 * side, 0.5, 0.28, 0.1, shade(_LEAF, 0.9), -28 * side)
    petal = look.colour
    if look.variant == "tulip":
        pen.shape(
            [
                (-0.42, -0.85),
                (-0.18, -0.55),
                (0, -0.95),
                (0.18, -0.55),
                (0.42, -0.85),
                (0.4, -0.3),
                (0.2, -0.08),
                (-0.2, -0.08),
                (-0.4, -0.3),
            ],
            petal,
        )
        pen.oval(0, -0.38, 0.18, 0.32, shade(petal, 1.25))
    elif look.variant == "rose":
        for x, y, r in ((-0.2, -0.3, 0.3), (0.2, -0.3, 0.3), (0, -0.55, 0.34), (0, -0.25, 0.28)):
            pen.oval(x, y, r, r, shade(petal, 0.86))
        pen.oval(0, -0.42, 0.26, 0.26, petal)
        for k in (0, 1, 2):
            pen.line(arc(0, -0.42, 0.2 - 0.06 * k, 0.18 - 0.055 * k, 120 * k, 120 * k + 230), 0.045, shade(petal, 0.6))
    else:
        petals, long = (14, 0.52) if look.variant == "sunflower" else (8, 0.48)
        for k in range(petals):
            x, y = arc(0, -0.42, long * 0.62, long * 0.62, 360 * k / petals, 360 * k / petals + 1)[0]
            pen.oval(x, y, long * 0.42, 1.5 / petals, petal if k % 2 else shade(petal, 0.9), 360 * k / petals)
        centre = (98, 62, 34) if look.variant == "sunflower" else (250, 206, 60)
        pen.oval(0, -0.42, long * 0.4, long * 0.4, centre)


def chair(pen: Pen, look: Look) -> None:
    """Half from the side: a wooden one, a stool, an armchair."""
    wood, dark = look.colour, shade(look.colour, 0.68)
    if look.variant == "armchair":
        for x in (-0.6, 0.6):
            pen.line([(x, 0.8), (x, 0.94)], 0.12, _WOOD)
        pen.shape([(-0.55, 0.5), (-0.6, -0.6), (-0.4, -0.82), (0.4, -0.82), (0.6, -0.6), (0.55, 0.5)], dark)
        pen.box(-0.55, 0.15, 0.55, 0.85, wood)
        pen.oval(0, 0.2, 0.52, 0.15, shade(wood, 1.25))
        for side in (-1, 1):
            pen.box(0.72 * side - 0.16, -0.06, 0.72 * side + 0.16, 0.85, shade(wood, 0.84))
            pen.oval(0.72 * side, -0.06, 0.18, 0.14, wood)
        return
    seat = -0.1 if look.variant == "stool" else 0.12
    for x, foot in ((-0.36, -0.46), (0.44, 0.56)):
        pen.line([(x, seat), (foot, 0.8)], 0.09, dark)
    for x, foot in ((-0.5, -0.62), (0.32, 0.4)):
        pen.line([(x, seat + 0.08), (foot, 0.95)], 0.1, wood)
    pen.line([(-0.5, 0.55), (0.38, 0.55)], 0.06, dark)
    if look.variant == "stool":
        pen.oval(-0.02, seat, 0.6, 0.16, wood)
        pen.oval(-0.02, seat - 0.04, 0.52, 0.11, shade(wood, 1.3))
        return
    for x in (-0.56, -0.3):
        pen.line([(x + 0.02, seat), (x - 0.1, -0.95)], 0.1, wood)
    for y in (-0.8, -0.55, -0.3):
        pen.line([(-0.62, y), (-0.38, y - 0.06)], 0.13, dark)
    pen.shape([(-0.6, seat), (-0.34, seat - 0.16), (0.56, seat - 0.16), (0.42, seat + 0.04)], shade(wood, 1.25))
    pen.shape([(-0.6, seat), (0.42, seat + 0.04), (0.42, seat + 0.14), (-0.6, seat + 0.1)], dark)


def umbrella(pen: Pen, look: Look) -> None:
    """Open: in one colour, or in panels with white."""
    pen.line([(0, -0.8), (0, 0.72)], 0.06, _WOOD)
    pen.line(arc(-0.14, 0.72, 0.14, 0.18, 0, 190), 0.07, _WOOD)
    pen.line([(0, -0.95), (0, -0.75)], 0.06, INK)
    edge = [(-0.96, 0.02), (-0.48, 0.02), (0.0, 0.02), (0.48, 0.02), (0.96, 0.02)]
    pen.shape([*arc(0, 0.02, 0.96, 0.86, 180, 360), (0.96, 0.02)], look.colour)
    panel = WHITE if look.variant == "panels" else shade(look.colour, 0.78)
    top = (0.0, -0.84)
    for k in (0, 2):
        (left, y), (right, _) = edge[k], edge[k + 1]
        bulge = [((left + right) / 2 - 0.05 * (1 - k), -0.58), top]
        pen.shape([(left, y), *([] if k else arc(0, 0.02, 0.96, 0.86, 180, 240)), *bulge, (right, y)], panel)
    for (left, y), (right, _) in pairwise(edge):
        pen.shape(
            [(left, y), *arc((left + right) / 2, y + 0.02, 0.2, 0.12, 180, 360), (right, y)], shade(look.colour, 0.5)
        )


def cup(pen: Pen, look: Look) -> None:
    """A mug, a teacup on its saucer, a paper cup with a lid."""
    china, dark = look.colour, shade(look.colour, 0.72)
    if look.variant == "paper":
        pen.shape([(-0.46, -0.6), (0.46, -0.6), (0.34, 0.92), (-0.34, 0.92)], china)
        pen.shape([(-0.44, -0.2), (0.44, -0.2), (0.39, 0.4), (-0.39, 0.4)], (176, 128, 84))
        pen.shape([(-0.54, -0.55), (-0.5, -0.72), (-0.4, -0.86), (0.4, -0.86), (0.5, -0.72), (0.54, -0.55)], WHITE)
        return
    steam = look.chance.happens(0.6)
    if steam:
        for x in (-0.26, 0.1):
            pen.line([(x, -0.55), (x + 0.1, -0.68), (x, -0.8), (x + 0.1, -0.94)], 0.05, (225, 228, 232))
    if look.variant == "teacup":
        pen.oval(0, 0.8, 0.92, 0.16, dark)
        pen.oval(0, 0.76, 0.86, 0.12, shade(china, 1.2))
        pen.ring(0.66, 0.1, 0.2, 0.09, china)
        pen.shape([(-0.66, -0.28), *arc(0, -0.28, 0.66, 1.0, 180, 0), (0.66, -0.28)], china)
        pen.oval(0, -0.28, 0.66, 0.15, shade(china, 1.3))
        pen.oval(0, -0.26, 0.56, 0.1, (112, 66, 36))
        return
    pen.ring(0.6, 0.2, 0.28, 0.13, dark)
    pen.shape([(-0.55, -0.4), (0.55, -0.4), (0.5, 0.9), (-0.5, 0.9)], china)
    pen.oval(0, 0.88, 0.5, 0.1, china)
    pen.box(-0.55, -0.4, -0.36, 0.88, shade(china, 1.3))
    pen.oval(0, -0.4, 0.55, 0.14, dark)
    pen.oval(0, -0.38, 0.46, 0.1, (92, 54, 32))


def ball(pen: Pen, look: Look) -> None:
    """A football, a basketball, a beach ball, a tennis ball."""
    radius = 0.9
    if look.variant == "football":
        pen.oval(0, 0, radius, radius, WHITE)
        pen.ring(0, 0, radius - 0.03, 0.05, (150, 150, 156))
        pen.shape(arc(0, 0, 0.32, 0.32, -90, 270)[::4], INK)
        for k in range(5):
            angle = -90 + 72 * k
            near, far = arc(0, 0, 0.3, 0.3, angle, angle + 1)[0], arc(0, 0, 0.66, 0.66, angle, angle + 1)[0]
            pen.line([near, far], 0.04, INK)
            pen.shape([far, *arc(0, 0, 0.86, 0.86, angle - 17, angle + 17)], INK)
    elif look.variant == "basketball":
        pen.oval(0, 0, radius, radius, look.colour)
        for line in (
            [(-0.9, 0), (0.9, 0)],
            [(0, -0.9), (0, 0.9)],
            arc(-1.05, 0, 0.6, 0.75, -65, 65),
            arc(1.05, 0, 0.6, 0.75, 115, 245),
        ):
            pen.line(line, 0.06, INK)
    elif look.variant == "tennis":
        pen.oval(0, 0, radius, radius, look.colour)
        for x, start in ((-1.0, -62), (1.0, 118)):
            pen.line(arc(x, 0, 0.62, 0.78, start, start + 124), 0.09, WHITE)
    else:
        for k in range(6):
            sector = [(0, 0), *arc(0, 0, radius, radius, 60 * k, 60 * k + 60)]
            pen.shape(sector, look.colour if k % 2 == 0 else mix(WHITE, look.colour, 0.05))
        pen.oval(0, 0, 0.17, 0.17, shade(look.colour, 0.8))
    pen.oval(-0.36, -0.42, 0.14, 0.09, WHITE, -40)
