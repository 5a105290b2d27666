"""The caption CSV of the coco-captions-clip source, whose captions contain unescaped quotes, commas and line breaks.

A CSV reader takes an unbalanced quote for the start of a cell that ends many rows later, and finds 29,996 of 30,000
rows. So rows are recognised by their beginning: the image's name, then the label numbers if the file has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsprompt._utils.files import unreadable
from zsprompt.errors import DataError

_BREAK = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")  # all kinds of line ends; the files mix them
_HEADER = re.compile(r'"?image_?id"?,("?labels?"?,)?"?captions?"?', re.IGNORECASE)
_NAME = re.compile(r'"?([^",\s]+?\.[A-Za-z]{3,4})"?,')
_NUMBER = re.compile(r'"?(\d+)"?,')
_LABELS = re.compile(r'"?(\d+(?: +\d+)*)?"? *,')
_LARGEST = 2**28


@dataclass(frozen=True)
class CaptionRow:
    """The row of one image.

    Attributes:
        line: line number of its beginning, from 1.
        image: id of the image; in the source's files, its file name.
        labels: label numbers; None in a file without a label column.
        caption: one line, without the enclosing quotes.
    """

    line: int
    image: str
    labels: tuple[int, ...] | None
    caption: str


@dataclass(frozen=True)
class CaptionFile:
    """Rows in the file's order, and (line, reason) of each row that could not be read."""

    rows: tuple[CaptionRow, ...]
    bad: tuple[tuple[int, str], ...]


def is_caption_header(line: str) -> bool:
    """Whether a line is the header ImageID,Labels,Caption or ImageID,Caption."""
    return _HEADER.fullmatch(line.strip().replace(" ", "")) is not None


def read_captions(path: Path) -> CaptionFile:
    """Read a caption CSV, with or without labels, whatever the quotes and line breaks in its captions.

    Raises:
        DataError: the file is missing, is not UTF-8, has another header or no rows, or exceeds 256 MB.
    """
    header, *lines = _BREAK.split(_text(path))
    if not is_caption_header(header):
        raise DataError(f"{path}, line 1: expected ImageID,Labels,Caption or ImageID,Caption, found {header[:60]!r}")
    labelled = header.count(",") == 2
    shape = _shape(lines)
    rows: list[CaptionRow] = []
    bad: list[tuple[int, str]] = []
    for line, text in _joined(lines, shape):
        row = _row(line, text, shape, labelled)
        if isinstance(row, str):
            bad.append((line, row))
        else:
            rows.append(row)
    if not rows:
        raise DataError(f"expected rows under the header of {path}, found none that can be read")
    return CaptionFile(*_each_once(rows, bad))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise DataError(f"expected a caption CSV at {path}, found none") from None
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error)) from None
    if len(data) > _LARGEST:
        raise DataError(f"expected at most {_LARGEST >> 20} MB in {path}, found more")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(unreadable(path, error)) from None


def _shape(lines: Sequence[str]) -> re.Pattern[str]:
    """The pattern of this file's image ids, by its first row: file names or bare numbers."""
    first = next((line for line in lines if line.strip()), "")
    return _NAME if _NAME.match(first) or not _NUMBER.match(first) else _NUMBER


def _joined(lines: Sequence[str], shape: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """(line, text) of each row: a line that begins like a row, joined with the continuation lines after it."""
    start = 0
    parts: list[str] = []
    for number, line in enumerate(lines, 2):
        if shape.match(line):
            if parts:
                yield start, " ".join(parts)
            start, parts = number, [line]
        elif line.strip():
            start = start or number
            parts.append(line)
    if parts:
        yield start, " ".join(parts)


def _row(line: int, text: str, shape: re.Pattern[str], labelled: bool) -> CaptionRow | str:
    """The parsed row, or the reason why it cannot be read."""
    name = shape.match(text)
    if not name:
        return f"expected an image id and a comma, found {text[:40]!r}"
    rest, labels = text[name.end() :], None
    if labelled:
        numbers = _LABELS.match(rest)
        if not numbers:
            return f"expected label numbers and a comma after {name[1]}, found {rest[:40]!r}"
        labels = tuple(map(int, (numbers[1] or "").split()))
        rest = rest[numbers.end() :]
    caption = _caption(rest)
    return CaptionRow(line, name[1].strip(), labels, caption) if caption else f"expected a caption for {name[1]}"


def _caption(text: str) -> str:
    """The caption without enclosing quotes; doubled quotes become single, white space becomes single spaces."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return " ".join(text.replace('""', '"').split())


def _each_once(
    rows: Sequence[CaptionRow], bad: Sequence[tuple[int, str]]
) -> tuple[tuple[CaptionRow, ...], tuple[tuple[int, str], ...]]:
    first: dict[str, CaptionRow] = {}
    repeated = []
    for row in rows:
        if row.image in first:
            repeated.append((row.line, f"{row.image} is already in line {first[row.image].line}"))
        else:
            first[row.image] = row
    return tuple(first.values()), tuple(sorted([*bad, *repeated]))
