"""Words in texts, and numbers as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from textwrap import shorten

_LONGEST_QUOTE = 80
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


def words_of(texts: Iterable[str]) -> Iterator[str]:
    """Every word of `texts` in lower case; "double-decker" and "dog's" are one word each."""
    for text in texts:
        yield from _WORD.findall(text.lower())


def counted(number: int, noun: str) -> str:
    """ "1 image", "2,000 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quoted(text: str) -> str:
    """`text` in quotes for a message, cut where it is too long to be read there."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")


def without_number(text: str) -> str:
    """The text of a library's error on one line, without the system's error number: "[Errno -2] Name not known"."""
    return _NUMBER.sub("", " ".join(text.split()))


def finite(value: float | str) -> float:
    """`value` as a number. Every number of an option or a field is read here.

    Raises:
        ValueError: it is not a number, or it is nan or infinite, which no setting can mean.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number


def in_bytes(count: int) -> str:
    """A number of bytes with its unit: "451 MB", "13.5 GB"."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def reason(error: BaseException) -> str:
    """The message of a library's error in one line of at most 160 characters; its class if it has none."""
    return shorten(without_number(str(error)), 160, placeholder=" …") or type(error).__name__
