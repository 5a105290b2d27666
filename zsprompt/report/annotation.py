"""Annotation: an image with the names and scores of its labels, and outlines of the windows that they come from.

A label with an outline has a tag in its corner. The other labels stand in a band below the image, which covers nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import ceil
from typing import TYPE_CHECKING

from zsprompt.report.fonts import font_for

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

LARGEST = 1024
"""Pixels on the longer side of an annotated image, without the band."""

SMALLEST = 512
"""A smaller image is enlarged by a whole factor until its longer side has so many pixels."""

COLOURS = ("#e69f00", "#56b4e9", "#f0e442", "#009e73", "#ff8fc8", "#ffffff", "#d55e00")
"""Colours of outlines, which are told apart with any colour vision. Black text can be read on each.

Source: Okabe and Ito, Color Universal Design; the purple is lighter here, and white replaces the dark blue.
"""

NO_LABEL = "no label"
"""What the band says about an image without a label."""

_DARK, _BAND, _TEXT, _MUTED = "#000000", "#1d1e20", "#f2f0ea", "#b9b6ae"
_NARROWEST = 320  # pixels, so that the band of a tall image can be read
_TAG = 4  # most labels in a tag; the others of its window stand in the band

Box = tuple[float, float, float, float]
Pixels = tuple[int, int, int, int]


@dataclass(frozen=True)
class Mark:
    """A label on an image.

    Attributes:
        name: the label.
        score: its score as text.
        box: left, top, right and bottom of its window, as shares of the image's width and height; None without one.
    """

    name: str
    score: str
    box: Box | None = None


def annotated(image: Image, marks: Sequence[Mark]) -> Image:
    """A copy of an RGB image with its marks, the most important first.

    There are at most as many outlines as colours. Labels of one window share an outline.
    """
    from PIL import ImageDraw

    picture = _resized(image)
    style = _Style.of(picture)
    layout = _Layout(picture.size, style.stroke + 2)
    pen = ImageDraw.Draw(picture)
    outlines = [(colour, *outline) for colour, outline in zip(COLOURS, layout.outlines(marks), strict=False)]
    for colour, box, _ in outlines:
        _outline(pen, box, colour, style.stroke)
    width = max(picture.width, _NARROWEST)
    below: list[_Line] = []
    for colour, box, group in outlines:  # after all outlines, which would cross them
        tag = [_Line.of(mark, style, picture.width // 2, colour) for mark in group[:_TAG]]
        rest = group[_TAG:] if _tag(pen, layout, box, tag) else group
        below += [_Line.of(mark, style, width - style.text, colour) for mark in rest]
    below += [_Line.of(mark, style, width) for mark in layout.others]
    if not marks:
        below.append(_Line(NO_LABEL, "", font_for(NO_LABEL, style.text), style, ink=_MUTED))
    return _with_band(picture, below, style)


def _resized(image: Image) -> Image:
    from PIL.Image import Resampling

    longest = max(image.size)
    if longest > LARGEST:
        width, height = (max(1, round(side * LARGEST / longest)) for side in image.size)
        return image.resize((width, height), Resampling.LANCZOS)
    factor = -(-SMALLEST // longest)
    return image.resize((image.width * factor, image.height * factor), Resampling.BICUBIC)


@dataclass(frozen=True)
class _Style:
    """Sizes in pixels: of text, of a line of it, of the blank around it, and of an outline without its dark edges."""

    text: int
    line: int
    blank: int
    stroke: int

    @classmethod
    def of(cls, picture: Image) -> _Style:
        text = min(18, max(14, max(picture.size) // 56))
        return cls(text, round(1.5 * text), round(0.4 * text), 3 if max(picture.size) > 700 else 2)


@dataclass(frozen=True)
class _Line:
    """One line of text: a name, cut to fit, and a score.

    Attributes:
        name: the name.
        score: the score; it may be empty.
        font: the font of the name.
        style: sizes.
        colour: of its outline; empty without one.
        ink: colour of the text in the band.
    """

    name: str
    score: str
    font: FreeTypeFont
    style: _Style
    colour: str = ""
    ink: str = _TEXT

    @classmethod
    def of(cls, mark: Mark, style: _Style, room: int, colour: str = "") -> _Line:
        line = cls(mark.name, mark.score, font_for(mark.name, style.text), style, colour)
        return line if line.width <= room else replace(line, name=line.cut(room))

    def cut(self, room: int) -> str:
        """As much of the name as fits into `room` pixels with the score, and "…"."""
        fits, too_long = 0, len(self.name)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            shorter = replace(self, name=f"{self.name[:middle].rstrip()}…")
            fits, too_long = (middle, too_long) if shorter.width <= room else (fits, middle)
        return f"{self.name[:fits].rstrip()}…"

    @property
    def width(self) -> int:
        """Pixels with the blank on both sides."""
        parts = (self.font.getlength(self.name), font_for(self.score, self.style.text).getlength(self.score))
        return ceil(sum(parts)) + (3 if self.score else 2) * self.style.blank

    def draw(self, pen: ImageDraw, left: int, top: int, ink: str) -> None:
        """Write the name and the score. They are two texts, so that a name from right to left moves no score."""
        middle, right = top + self.style.line // 2, left + self.width - self.style.blank
        pen.text((left + self.style.blank, middle), self.name, fill=ink, font=self.font, anchor="lm")
        pen.text((right, middle), self.score, fill=ink, font=font_for(self.score, self.style.text), anchor="rm")


@dataclass
class _Layout:
    """Where outlines and tags stand on an image.

    Attributes:
        size: width and height of the image.
        step: pixels between outlines on one edge.
        others: marks without an outline.
        taken: rectangles of the tags so far.
        edges: number of outlines so far per side and place.
    """

    size: tuple[int, int]
    step: int
    others: list[Mark] = field(default_factory=list)
    taken: list[Pixels] = field(default_factory=list)
    edges: Counter[tuple[int, int]] = field(default_factory=Counter)

    def outlines(self, marks: Sequence[Mark]) -> Iterator[tuple[Pixels, list[Mark]]]:
        """Each window that gets an outline, in pixels, with its marks; `others` gets the other marks."""
        groups: dict[Box, list[Mark]] = {}
        for mark in marks:
            if mark.box is not None and (mark.box in groups or len(groups) < len(COLOURS)):
                groups.setdefault(mark.box, []).append(mark)
            else:
                self.others.append(mark)
        for box, group in groups.items():
            yield self._pixels(box), group

    def _pixels(self, box: Box) -> Pixels:
        """Left, top, right and bottom pixel of a window; moved inwards where an earlier outline has the same edge."""
        width, height = self.size
        left, top, right, bottom = (round(share * side) for share, side in zip(box, self.size * 2, strict=True))
        left, top = min(left, width - 1), min(top, height - 1)
        right, bottom = max(left, right - 1), max(top, bottom - 1)
        moved = []
        for side, place in enumerate((left, top, right, bottom)):
            moved.append(self.step * self.edges[side, place])
            self.edges[side, place] += 1
        return left + moved[0], top + moved[1], right - moved[2], bottom - moved[3]

    def place(self, box: Pixels, width: int, height: int) -> tuple[int, int] | None:
        """Left and top of a free place for a tag: in a corner of its outline, else along its sides; None without."""
        if width > self.size[0] or height > self.size[1]:
            return None
        sides = (box[0], box[2] + 1 - width)
        heights = (box[1], box[3] + 1 - height, *range(box[1], box[3], max(1, height // 2)))
        for y, x in product(heights, sides):
            left, top = min(max(0, x), self.size[0] - width), min(max(0, y), self.size[1] - height)
            tag = left, top, left + width, top + height
            if not any(_overlap(tag, other) for other in self.taken):
                self.taken.append(tag)
                return left, top
        return None


def _overlap(one: Pixels, other: Pixels) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _outline(pen: ImageDraw, box: Pixels, colour: str, stroke: int) -> None:
    """A coloured outline within a box, with dark edges so that it shows on bright images too."""
    for inset, width, ink in ((0, 1, _DARK), (1, stroke, colour), (1 + stroke, 1, _DARK)):
        left, top, right, bottom = box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset
        if left <= right and top <= bottom:
            pen.rectangle((left, top, right, bottom), outline=ink, width=width)


def _tag(pen: ImageDraw, layout: _Layout, box: Pixels, lines: Sequence[_Line]) -> bool:
    """Write lines on a ground of their outline's colour; False if there is no room."""
    step = lines[0].style.line
    width, height = max(line.width for line in lines), len(lines) * step
    place = layout.place(box, width, height)
    if place is None:
        return False
    left, top = place
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=lines[0].colour, outline=_DARK)
    for number, line in enumerate(lines):
        line.draw(pen, left, top + number * step, _DARK)
    return True


def _with_band(picture: Image, lines: Sequence[_Line], style: _Style) -> Image:
    """The picture with lines below it, next to each other as far as they fit; the picture itself without lines."""
    from PIL import Image, ImageDraw

    if not lines:
        return picture
    width = max(picture.width, _NARROWEST)
    places = []
    left, top = 0, picture.height + style.blank
    for line in lines:
        square = style.text if line.colour else 0
        if left and left + square + line.width > width:
            left, top = 0, top + style.line
        places.append((left, top))
        left += square + line.width + style.blank
    whole = Image.new("RGB", (width, top + style.line + style.blank), _BAND)
    whole.paste(picture, ((width - picture.width) // 2, 0))
    pen = ImageDraw.Draw(whole)
    for line, (left, top) in zip(lines, places, strict=True):
        if line.colour:
            middle, half = top + style.line // 2, style.text // 3
            pen.rectangle((left + half, middle - half, left + 3 * half, middle + half), fill=line.colour)
            left += style.text
        line.draw(pen, left, top, line.ink)
    return whole
