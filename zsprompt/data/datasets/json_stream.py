"""Streaming the arrays of a JSON file: half a gigabyte of annotations would take several gigabytes as objects."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, TextIO

from zsprompt._utils.files import unreadable
from zsprompt.errors import DataError

_CHUNK = 2**22  # characters
_LARGEST_ITEM = 2**26
_LONGEST_SCRAP = 8  # characters of a literal or number that the end of a chunk or file may cut
_OPEN_STRING = re.compile(r'"(?:[^"\\]|\\.)*\\?', re.S)  # a string without its closing quote

_decode = json.JSONDecoder().raw_decode


def read_arrays(path: Path, names: Container[str]) -> Iterator[tuple[str, Any]]:
    """(array name, item) for each item of the named top-level arrays, in the file's order.

    Raises:
        DataError: the file is missing, unreadable, not UTF-8, not a JSON object or cut short, or a named value is not
            an array.
    """
    yield from _read(path, lambda reader: reader.arrays(names))


def read_items(path: Path) -> Iterator[Any]:
    """The items of a file that is one array, in order.

    Raises:
        DataError: the file is missing, unreadable, not UTF-8, not a JSON array or cut short.
    """
    yield from _read(path, lambda reader: reader.items())


def _read(path: Path, take: Callable[[_Reader], Iterator[Any]]) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from take(_Reader(path, file))
    except FileNotFoundError:
        raise DataError(f"expected annotations at {path}, found none") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(unreadable(path, error)) from None


class _Reader:
    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._text, self._at, self._dropped = "", 0, 0

    def arrays(self, names: Container[str]) -> Iterator[tuple[str, Any]]:
        self._expect("{")
        while self._next() != "}":
            name = self._value()
            self._expect(":")
            if name in names:
                yield from ((name, item) for item in self.items(name))
            elif self._next() == "[":
                deque(self.items(name), maxlen=0)  # skipped, also item by item
            else:
                self._value()
            if self._next() != "}":
                self._expect(",")

    def items(self, name: str = "") -> Iterator[Any]:
        if self._next() != "[":
            raise self._broken(f"expected a list under {name!r}" if name else "expected a list")
        self._at += 1
        while self._next() != "]":
            yield self._value()
            if self._next() != "]":
                self._expect(",")
        self._at += 1

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise self._broken(f"expected {mark!r}")
        self._at += 1

    def _next(self) -> str:
        """The next character that is not white space; "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > _LARGEST_ITEM:
                    raise self._broken(f"expected items of at most {_LARGEST_ITEM:,} characters") from None
                if self._more():
                    continue  # the item may continue in the next chunk
                raise self._broken(error.msg, error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self._broken(str(error)) from None
            if isinstance(value, int | float) and end + _LONGEST_SCRAP > len(self._text) and self._more():
                continue  # the chunk may end inside a number: "1" of "1.5" is valid too
            self._at = end
            return value

    def _more(self) -> bool:
        chunk = self._file.read(_CHUNK)
        if not chunk:
            return False
        self._dropped += self._at
        self._text, self._at = self._text[self._at :] + chunk, 0
        return True

    def _broken(self, what: str, at: int | None = None) -> DataError:
        """The error at position `at`, where decoding failed at the end of the file, or at the current position."""
        position = self._at if at is None else at
        rest = self._text[position:]
        open_string = at is not None and _OPEN_STRING.fullmatch(rest)
        if open_string or (len(rest) < _LONGEST_SCRAP and not set(rest) & set(",]}")):
            size = self._dropped + len(self._text)
            return DataError(f"{self._path}: cut short after {size:,} characters; create or download it again")
        return DataError(f"{self._path}, character {self._dropped + position + 1:,}: {what}, found {rest[:20]!r}")
