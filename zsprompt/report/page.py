"""Page: the content of a report as plain values, and its rendering as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from zsprompt._version import __version__
from zsprompt.report.charts import Figure
from zsprompt.report.terminal import printable

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Card:
    """A number with remarks."""

    name: str
    value: str
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        header: names of its columns.
        rows: one cell per column each; the last cell of a shorter row spans the rest.
        words: how many columns, from the first, are text; the others are numbers.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Line:
    """A line of text under an image; `mood` is "better", "worse" or empty."""

    name: str
    text: str
    mood: str = ""


@dataclass(frozen=True)
class GalleryImage:
    """An image of a gallery.

    Attributes:
        name: id of the image, on one line.
        lines: its true labels, predictions and scores.
        thumbnail: a data URL; empty where there is none.
        width: width of the thumbnail in pixels.
        height: height of the thumbnail in pixels.
        reason: why there is no thumbnail.
        window: left, top, right and bottom of the outlined window, as shares of width and height; None without one.
    """

    name: str
    lines: Sequence[Line]
    thumbnail: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""
    window: tuple[float, float, float, float] | None = None

    @property
    def alternative(self) -> str:
        """Text for readers who cannot see the image."""
        facts = [f"{line.name}: {line.text}" for line in self.lines]
        if self.window is not None:
            left, top, right, bottom = (f"{100 * share:.0f}" for share in self.window)
            facts.append(f"window: {left} to {right} % from the left, {top} to {bottom} % from the top")
        return f"Image {self.name}. " + "; ".join(facts)

    @property
    def outline(self) -> tuple[float, float, float, float] | None:
        """Left, top, width and height of the window in pixels of the thumbnail."""
        if self.window is None or not self.thumbnail:
            return None
        left, top, right, bottom = self.window
        return left * self.width, top * self.height, (right - left) * self.width, (bottom - top) * self.height


@dataclass(frozen=True)
class Group:
    """Images of one kind for one label; `label` and `kind` are keys."""

    label: str
    kind: str
    heading: str
    cards: Sequence[GalleryImage]


@dataclass(frozen=True)
class Key:
    """A value of a filter: its key, and its name for readers."""

    key: str
    name: str


@dataclass(frozen=True)
class Gallery:
    """Groups of images, and the values of their filters; `first` is the key of the label that is shown first."""

    labels: Sequence[Key]
    kinds: Sequence[Key]
    groups: Sequence[Group]
    first: str = ""


@dataclass(frozen=True)
class Fold:
    """A long text that opens by its name."""

    name: str
    text: str


@dataclass(frozen=True)
class Section:
    """A section of a page: texts, notes, figures, tables, a gallery and folded texts, in this order."""

    anchor: str
    heading: str
    texts: Sequence[str] = ()
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    gallery: Gallery | None = None
    folded: Sequence[Fold] = ()


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Attributes:
        title: its heading.
        subtitle: a line below.
        cards: the numbers that matter most, at most three.
        sections: its sections.
        more: other numbers.
        notes: warnings that no table shows.
    """

    title: str
    subtitle: str
    cards: Sequence[Card]
    sections: Sequence[Section]
    more: Sequence[Card] = ()
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Report:
    """A page with its figures and summaries.

    Attributes:
        page: its content.
        figures: its figures, for files.
        text: a summary for a terminal.
        facts: a summary for programs.
    """

    page: Page
    figures: Sequence[Figure]
    text: str
    facts: Mapping[str, Any]


def fact(key: str, value: object) -> list[str]:
    """A row of a provenance table: the field and its value as text."""
    return [key.replace("_", " "), printable(_fact_text(value))]


def _fact_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact_text(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def strategy_name(recipe: Mapping[str, Any]) -> str:
    """Strategy and prompt sets of a recipe, such as "normalised:per-label (photo) with thresholds"."""
    if "spec" not in recipe:  # of an older version, whose results hold the repr only
        return str(recipe["strategy"])
    prompts = ", ".join(str(one).rpartition(" ")[0] or str(one) for one in recipe["prompts"])
    return (
        f"{recipe['spec']}{f' ({prompts})' if prompts else ''}{' with thresholds' if recipe.get('thresholds') else ''}"
    )


def render(page: Page) -> str:
    """The HTML of a page. All text is escaped, and its content policy allows no script but its own."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    script, style = _source("page.js"), _source("style.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"printable": printable, "unbroken": _unbroken, "longest": _longest}
    environment.tests["finite"] = isfinite
    template = environment.get_template("page.html")
    return template.render(
        page=page, style=style, script=script, script_hash=f"sha256-{digest}", version=__version__
    ).lstrip()


def _unbroken(number: str) -> str:
    """A number that may break before the bracket with its interval only."""
    return number.replace(" to ", "\u00a0to\u00a0")


def _longest(names: Iterable[str]) -> int:
    """The number of characters of the longest name."""
    return max(map(len, names), default=0)


@cache
def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
