"""Page: what a report says, as plain values, and how they become one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from zsprompt._version import __version__
from zsprompt.report.drawing import Figure
from zsprompt.report.terminal import printable
from zsprompt.strategies import STRATEGIES

_WRAPPED = re.compile(r"(Normalised|Thresholded)\(strategy=")

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Card:
    """A number with what stands beside it."""

    name: str
    value: str
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """A table; its first `words` columns are words, the others numbers."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Line:
    """A line under an image: what is said, and "better" or "worse" if it is either."""

    what: str
    said: str
    mood: str = ""


@dataclass(frozen=True)
class GalleryImage:
    """An image of a gallery.

    Attributes:
        name: its id, on one line.
        lines: what is true and what was said.
        thumbnail: a data URL; empty where there is none.
        width: of the thumbnail, pixels.
        height: of the thumbnail, pixels.
        reason: why there is no thumbnail.
    """

    name: str
    lines: Sequence[Line]
    thumbnail: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""

    @property
    def alternative(self) -> str:
        """What a reader who does not see it should know."""
        return f"Image {self.name}. " + "; ".join(f"{line.what}: {line.said}" for line in self.lines)


@dataclass(frozen=True)
class Group:
    """Images that show one kind of thing about one label; label and kind are keys."""

    label: str
    kind: str
    heading: str
    cards: Sequence[GalleryImage]


@dataclass(frozen=True)
class Key:
    """Something to filter by: its key, and its name for readers."""

    key: str
    name: str


@dataclass(frozen=True)
class Gallery:
    """Groups of images, and what to filter them by."""

    labels: Sequence[Key]
    kinds: Sequence[Key]
    groups: Sequence[Group]


@dataclass(frozen=True)
class Fold:
    """A long text behind its name."""

    name: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    anchor: str
    heading: str
    texts: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    gallery: Gallery | None = None
    folded: Sequence[Fold] = ()


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    cards: Sequence[Card]
    sections: Sequence[Section]
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Report:
    """A page with its figures, and the same in short.

    Attributes:
        page: what it says.
        figures: those on it, for files.
        text: a summary for a terminal.
        facts: a summary for a program.
    """

    page: Page
    figures: Sequence[Figure]
    text: str
    facts: Mapping[str, Any]


def fact(key: str, value: object) -> list[str]:
    """A row of a table of facts."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return [key.replace("_", " "), printable(str(value))]


def strategy_name(recipe: Mapping[str, Any]) -> str:
    """ "normalised:per-label (photo)": a recipe's strategy and prompts as people type them."""
    text, names, prefix, suffix = str(recipe["strategy"]), _typed_names(), "", ""
    while wrapped := _WRAPPED.match(text):
        prefix += "normalised:" if wrapped[1] == "Normalised" else ""
        suffix += " with thresholds" if wrapped[1] == "Thresholded" else ""
        text = text[wrapped.end() :]
    kind = text.partition("(")[0]
    prompts = ", ".join(str(one).split(" ")[0] for one in recipe["prompts"])
    return prefix + names.get(kind, kind) + (f" ({prompts})" if prompts else "") + suffix


def _typed_names() -> dict[str, str]:
    return {kind.__name__: name for name, kind in STRATEGIES.items()}


def render(page: Page) -> str:
    """The HTML of a page. Every text is escaped, and its policy lets no script run but its own."""
    from jinja2 import Environment, StrictUndefined

    script, style = _source("filter.js"), _source("style.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["printable"] = printable
    template = environment.from_string(_source("page.html"))
    return template.render(
        page=page, style=style, script=script, script_hash=f"sha256-{digest}", version=__version__
    ).lstrip()


@cache
def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
