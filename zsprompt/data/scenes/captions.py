"""Image captions like those on the web: they mention some of the things, in varying words.

The words are data, in words.toml next to this file.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from zsprompt._utils.text import words_of
from zsprompt.data.scenes.chance import Chance
from zsprompt.data.scenes.colours import SHADES
from zsprompt.data.scenes.world import KINDS, Scene, Thing
from zsprompt.prompts.articles import with_article

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_INDOORS = frozenset(("room", "kitchen", "studio", "pattern", "underwater"))
_NUMBERS = {2: "two", 3: "three", 4: "four"}


def caption(scene: Scene, chance: Chance) -> str:
    """One caption of `scene`, in lower case. It mentions at least one of its things, rarely all."""
    about = _nothing(scene, chance) if not scene.things else _mention(scene, chance)
    text = chance.one(_phrases("frames", "texts")).format(about)
    return f"{text}, {chance.one(_phrases('around', 'texts'))}" if chance.happens(0.08) else text


def vocabulary() -> frozenset[str]:
    """Every word that a caption may contain."""
    texts = [text for part in _wordings().values() for texts in _leaves(part) for text in texts]
    colours = [name for shades in SHADES.values() for name in shades]
    return frozenset(words_of([*texts, *colours, *KINDS, *_NUMBERS.values(), "a an the and of in with"]))


def _nothing(scene: Scene, chance: Chance) -> str:
    if chance.happens(0.5):
        return chance.one(_phrases("nothing", "texts"))
    place = chance.one(_phrases("places", scene.place))
    return f"{chance.one(_phrases('nothing', 'texts'))} {place}"


def _mention(scene: Scene, chance: Chance) -> str:
    things = chance.shuffled(scene.things)
    named = things[: 1 + chance.below(len(things))]
    plain = chance.happens(0.4)
    mentions = _several(named, chance) + [
        _name(thing, chance) if plain else _described(thing, chance)
        for thing in named
        if Counter(t.kind for t in named)[thing.kind] == 1
    ]
    if not plain or chance.happens(0.4):
        mentions = [with_article(mention) for mention in mentions]
    text = _joined(chance.shuffled(mentions), chance)
    if chance.happens(0.12 if plain else 0.35):
        text = f"{text} {chance.one(_phrases('places', scene.place))}"
    if scene.place not in _INDOORS and chance.happens(0.05 if plain else 0.15):
        text = f"{text} {chance.one(_phrases('lights', scene.light))}"
    return text


def _several(named: Sequence[Thing], chance: Chance) -> list[str]:
    """ "two dogs": one mention of each kind that occurs more than once."""
    mentions = []
    for kind, count in Counter(thing.kind for thing in named).items():
        if count > 1:
            many = chance.one(_phrases(kind, "many"))
            mentions.append(f"{_NUMBERS[count]} {many}" if chance.happens(0.6) else many)
    return mentions


def _described(thing: Thing, chance: Chance) -> str:
    """A thing with some of its colour, size, parts, actions and position."""
    text = _name(thing, chance)
    if thing.kind == "person" and chance.happens(0.3):
        text = f"{text} in {_colour(thing, chance)}"
    elif chance.happens(0.45):
        text = f"{_colour(thing, chance)} {text}"
    elif chance.happens(0.25):
        text = f"{chance.one(_phrases(thing.kind, 'how'))} {text}"
    if chance.happens(0.15) and (size := _size(thing)):
        text = f"{chance.one(_phrases('sizes', size))} {text}"
    if chance.happens(0.2):
        text = f"{text} with {chance.one(_phrases(thing.kind, 'has'))}"
    elif chance.happens(0.25):
        text = f"{text} {chance.one(_phrases(thing.kind, 'does'))}"
    if chance.happens(0.12):
        text = f"{text} {chance.one(_phrases('where', chance.one(_where(thing))))}"
    return text


def _name(thing: Thing, chance: Chance) -> str:
    at = chance.between(0, 1)
    if at < 0.45:
        return thing.kind
    of_variant: Sequence[str] = _wordings()[thing.kind]["variants"].get(thing.variant)
    return chance.one(of_variant if of_variant and at < 0.75 else _phrases(thing.kind, "names"))


def _colour(thing: Thing, chance: Chance) -> str:
    return thing.colour if chance.happens(0.6) else thing.shade


def _size(thing: Thing) -> str | None:
    return "large" if thing.size > 0.3 else "small" if thing.size < 0.19 else None


def _where(thing: Thing) -> list[str]:
    across = "left" if thing.x < 0.38 else "right" if thing.x > 0.62 else "middle"
    return [across, *(["top"] if thing.y < 0.42 else ["bottom"] if thing.y > 0.66 else [])]


def _joined(mentions: list[str], chance: Chance) -> str:
    style = chance.below(4)
    if style == 0 or len(mentions) == 1:
        return ", ".join(mentions)
    if style == 1:
        return f"{', '.join(mentions[:-1])}, and {mentions[-1]}"
    if style == 2:
        return chance.one((" and ", " with ", " next to ", " by ", " near ")).join(mentions)
    return f"{', '.join(mentions[:-1])} and {mentions[-1]}"


def _phrases(section: str, key: str) -> Sequence[str]:
    phrases: Sequence[str] = _wordings()[section][key]
    return phrases


def _leaves(part: Any) -> list[tuple[str, ...]]:
    return [part] if isinstance(part, tuple) else [leaf for inner in part.values() for leaf in _leaves(inner)]


@cache
def _wordings() -> dict[str, Any]:
    """words.toml with every text split into phrases: at line ends if it has several lines, else at commas."""

    def cut(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: cut(value) for key, value in part.items()}
        return tuple(phrase.strip() for phrase in part.split("\n" if "\n" in part else ",") if phrase.strip())

    source = files(__package__).joinpath("words.toml").read_text(encoding="utf-8")
    return {key: cut(value) for key, value in tomllib.loads(source).items()}
