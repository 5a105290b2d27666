"""Fonts for text on images: DejaVu Sans, which matplotlib brings, and the system's own for other scripts."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_RIGHT_TO_LEFT = frozenset(("R", "AL", "AN"))
_COMBINING = frozenset(("Mn", "Mc"))
_FURTHER_STYLES = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "mono", "serif")


def can_draw(text: str) -> bool:
    """Whether a font on this machine has every character of `text`, and Pillow can place them."""
    return _file_for(text) is not None


def font_for(text: str, size: int) -> FreeTypeFont:
    """A font of this size in pixels for `text`; DejaVu Sans if none has all characters."""
    return _loaded(_file_for(text) or _first(), size)


@cache
def _file_for(text: str) -> str | None:
    characters = {ord(character) for character in text if character != " "}
    if characters <= _characters(_first()):
        return _first() if _is_placed(text) else None
    fitting = (file for file in _system_files() if characters <= _characters(file))
    return next(fitting, None) if _is_placed(text) else None


def _is_placed(text: str) -> bool:
    """Whether Pillow can order and join these characters. Some scripts need Raqm, which not every Pillow has."""
    from PIL import features

    needed = any(
        unicodedata.bidirectional(character) in _RIGHT_TO_LEFT or unicodedata.category(character) in _COMBINING
        for character in text
    )
    return not needed or all(features.check(part) for part in ("raqm", "fribidi"))


@cache
def _first() -> str:
    """The file of DejaVu Sans."""
    from matplotlib import get_data_path

    file = Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    if file.exists():
        return str(file)
    from matplotlib.font_manager import findfont  # a system's own matplotlib has its fonts elsewhere

    return findfont("DejaVu Sans")


@cache
def _system_files() -> tuple[str, ...]:
    """The font files of this machine, upright sans-serif ones of medium weight first."""
    from matplotlib.font_manager import findSystemFonts

    return tuple(sorted(findSystemFonts(), key=_strangeness))


def _strangeness(file: str) -> tuple[int, str]:
    name = Path(file).stem.lower().replace("sansserif", "sans")
    return sum(style in name for style in _FURTHER_STYLES) + ("sans" not in name), file


@cache
def _characters(file: str) -> frozenset[int]:
    """The characters of a font; none for one that Pillow cannot draw at any size, such as coloured bitmaps."""
    from matplotlib.ft2font import FT2Font

    try:
        _loaded(file, 16)
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@cache
def _loaded(file: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(file, size)
