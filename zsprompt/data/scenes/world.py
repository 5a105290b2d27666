"""Composing and painting an image: its things with their variants, colours, sizes and positions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zsprompt.data.scenes import backdrops, colours, things
from zsprompt.data.scenes.canvas import Pen, shade
from zsprompt.data.scenes.chance import Chance
from zsprompt.data.scenes.colours import SHADES
from zsprompt.data.scenes.things import Draw, Look

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 160
"""Side of an image in pixels."""

_FINE = 2  # images are drawn larger by this factor and scaled down, for smooth edges
_LEANING = 10.0  # largest rotation of a thing, in degrees
_SMALLEST, _LARGEST = 0.16, 0.34  # half the side of a thing, as a share of the image's side


@dataclass(frozen=True)
class Kind:
    """A kind of thing: its frequency, drawing function, variants and basic colours."""

    weight: float
    draw: Draw
    variants: tuple[str, ...]
    colours: tuple[str, ...]
    company: tuple[str, ...]  # kinds that often occur with it
    places: tuple[str, ...]  # backdrops where it often occurs
    size: float = 1.0


KINDS: dict[str, Kind] = {
    "person": Kind(10, things.person, ("man", "woman", "child"), colours.ANY, ("dog", "bicycle", "umbrella", "ball"), ("road", "city", "beach", "meadow"), 1.1),
    "tree": Kind(8, things.tree, ("round", "conifer", "palm", "bare"), colours.LEAVES, ("house", "bird"), ("meadow", "mountains", "snow"), 1.15),
    "car": Kind(7, things.car, ("saloon", "small", "pickup", "taxi"), colours.BRIGHT, ("person", "house", "bus"), ("road", "city")),
    "house": Kind(6, things.house, ("cottage", "tall", "barn"), colours.WALLS, ("tree", "car", "flower"), ("meadow", "mountains", "snow"), 1.15),
    "dog": Kind(6, things.dog, ("hound", "shepherd", "poodle"), colours.COATS, ("person", "ball", "cat"), ("meadow", "room", "beach")),
    "flower": Kind(5, things.flower, ("daisy", "tulip", "sunflower", "rose"), colours.BRIGHT, ("tree", "house"), ("meadow", "room"), 0.9),
    "chair": Kind(5, things.chair, ("wooden", "stool", "armchair"), colours.WOODS, ("cat", "cup"), ("room", "kitchen")),
    "cat": Kind(4.5, things.cat, ("sitting", "lying"), colours.COATS, ("chair", "dog", "bird"), ("room", "kitchen")),
    "bird": Kind(4.5, things.bird, ("songbird", "flying", "duck", "owl"), colours.ANY, ("tree", "boat"), ("sea", "mountains", "beach"), 0.8),
    "cup": Kind(4, things.cup, ("mug", "teacup", "paper"), colours.ANY, ("chair", "flower"), ("kitchen", "room"), 0.75),
    "boat": Kind(4, things.boat, ("sailing", "motor", "steamer", "rowing"), colours.ANY, ("fish", "bird", "person"), ("sea", "beach"), 1.1),
    "bicycle": Kind(3.5, things.bicycle, ("plain", "basket"), colours.BRIGHT, ("person", "house"), ("road", "city")),
    "ball": Kind(3.5, things.ball, ("football", "basketball", "beach ball", "tennis"), colours.BRIGHT, ("dog", "person"), ("meadow", "beach"), 0.65),
    "fish": Kind(3, things.fish, ("plain", "striped", "disc"), colours.BRIGHT, ("boat", "fish"), ("underwater", "underwater", "sea"), 0.9),
    "bus": Kind(2.5, things.bus, ("city", "double-decker", "school"), colours.BRIGHT, ("car", "person"), ("road", "city"), 1.1),
    "umbrella": Kind(2, things.umbrella, ("plain", "panels"), colours.BRIGHT, ("person", "chair"), ("beach", "city"), 0.9),
}  # fmt: skip
"""The labels, most frequent first, with their kinds."""

OWN_SHADES: dict[str, tuple[str, str]] = {
    "taxi": ("yellow", "golden"),
    "school": ("yellow", "yellow"),
    "sunflower": ("yellow", "yellow"),
    "football": ("white", "white"),
    "basketball": ("orange", "orange"),
    "tennis": ("yellow", "lemon"),
    "bare": ("brown", "brown"),
}
"""Variants with a fixed colour and shade."""

_HOW_MANY = {0: 0.08, 1: 0.25, 2: 0.32, 3: 0.22, 4: 0.13}
_IN_COMPANY = 0.45  # probability that the next thing is a usual companion of the last
_AT_HOME = 0.6  # probability that the backdrop is a usual one of the first thing


@dataclass(frozen=True)
class Thing:
    """One thing in an image. x, y and size (half the side of its square) are shares of the image's side."""

    kind: str
    variant: str
    colour: str  # basic colour
    shade: str  # name of a shade of that colour
    x: float
    y: float
    size: float
    turn: float
    mirrored: bool


@dataclass(frozen=True)
class Scene:
    """The content of an image, with things from back to front."""

    seed: str
    place: str
    light: str
    things: tuple[Thing, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its labels, in the order of KINDS."""
        present = {thing.kind for thing in self.things}
        return tuple(kind for kind in KINDS if kind in present)


def compose(seed: str) -> Scene:
    """Compose the scene of a seed; it is the same on every machine."""
    chance = Chance(f"scene {seed}")
    kinds = _choose_kinds(chance)
    suits = KINDS[kinds[0]].places if kinds and chance.happens(_AT_HOME) else tuple(backdrops.PLACES)
    place = chance.one(suits)
    light = chance.weighed({"day": 6, "dusk": 1.5, "night": 1.5, "overcast": 1.5})
    placed = _places(chance, [KINDS[kind].size for kind in kinds])
    made = [_thing(chance, kind, *spot) for kind, spot in zip(kinds, placed, strict=True)]
    made.sort(key=lambda thing: thing.y + thing.size)  # lower things are nearer
    return Scene(seed, place, light, tuple(made))


def paint(scene: Scene) -> Image:
    """Paint a scene as an RGB image of 160 × 160 pixels."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    side = SIDE * _FINE
    image = Pillow.new("RGB", (side, side))
    backdrops.paint(scene.place, scene.light, image, Chance(f"backdrop {scene.seed}"))
    draw = ImageDraw.Draw(image)
    for k, thing in enumerate(scene.things):
        chance = Chance(f"thing {k} {scene.seed}")
        base = SHADES[thing.colour][thing.shade]
        look = Look(thing.variant, shade(base, chance.between(0.92, 1.06)), chance)
        pen = Pen(draw, thing.x * side, thing.y * side, thing.size * side, thing.turn, thing.mirrored)
        KINDS[thing.kind].draw(pen, look)
    return image.resize((SIDE, SIDE), Pillow.Resampling.BOX)


def _choose_kinds(chance: Chance) -> list[str]:
    weights = {kind: about.weight for kind, about in KINDS.items()}
    kinds: list[str] = []
    for _ in range(chance.weighed(_HOW_MANY)):
        together = KINDS[kinds[-1]].company if kinds else ()
        if together and chance.happens(_IN_COMPANY):
            kinds.append(chance.one(together))
        else:
            kinds.append(chance.weighed(weights))
    return kinds


def _places(chance: Chance, sizes: list[float]) -> list[tuple[float, float, float]]:
    """(x, y, size) of each thing. Things may overlap, but their centres keep apart."""
    largest = _LARGEST * (1.0, 1.0, 0.9, 0.78, 0.7)[len(sizes)]
    placed: list[tuple[float, float, float]] = []
    for kind_size in sizes:
        best, room = (0.5, 0.5, _SMALLEST), -math.inf
        for _ in range(24):
            size = chance.between(_SMALLEST, largest) * kind_size
            x = chance.between(0.75 * size, 1 - 0.75 * size)
            y = chance.between(max(0.3, 0.8 * size), 1 - 0.9 * size)
            free = min((math.hypot(x - a, y - b) / (size + c) for a, b, c in placed), default=2.0)
            if free > room:
                best, room = (x, y, size), free
            if free > 0.85:
                break
        placed.append(best)
    return placed


def _thing(chance: Chance, kind: str, x: float, y: float, size: float) -> Thing:
    about = KINDS[kind]
    variant, colour = chance.one(about.variants), chance.one(about.colours)
    colour, shade_name = OWN_SHADES.get(variant) or (colour, chance.one(tuple(SHADES[colour])))
    return Thing(
        kind=kind,
        variant=variant,
        colour=colour,
        shade=shade_name,
        x=x,
        y=y,
        size=size,
        turn=chance.between(-_LEANING, _LEANING),
        mirrored=chance.happens(0.5),
    )
