"""Rows of a CSV file as spreadsheets, pandas and annotation tools write it."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TextIO

from zsprompt._utils.csv_cells import restored
from zsprompt._utils.file_kinds import is_own_csv
from zsprompt._utils.files import other_encoding
from zsprompt.data.caption_csv import is_caption_header, read_captions
from zsprompt.data.image_lists.columns import (
    ListRow,
    image_column,
    is_row_number,
    looks_like_image,
    remark_image_column,
)
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

SEPARATORS = ",;\t"

_LONGEST_LINE = 2**24
_SAMPLE = 2**16  # characters after the first line that decide on separator and columns
_MARKS = (  # the first bytes of a file -> encoding
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .xls
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')  # Excel's own first line


@dataclass(frozen=True)
class _Layout:
    """What the first rows show.

    Attributes:
        skipped: lines before the header.
        header: names of the columns.
        image: position of the image column.
        blank: columns without a name and without content.
        dropped: other columns that are not read: row numbers.
        own: whether zsprompt wrote the file, whose cells `restored` reads.
    """

    skipped: int
    separator: str
    header: tuple[str, ...]
    image: int
    blank: frozenset[int]
    dropped: frozenset[int]
    own: bool


def read_csv(path: Path, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    """Rows of a CSV file. Separator, encoding and image column are found out; `remarks` names what was guessed."""
    with path.open(encoding=_encoding(path), newline="") as file:
        first = file.readline(_LONGEST_LINE)
        if is_caption_header(first):
            yield from _read_caption_csv(path)
            return
        rest = file.read(_SAMPLE)
        layout = _layout(path, first + rest, len(rest) == _SAMPLE, remarks)
        file.seek(0)
        for _ in range(layout.skipped):
            file.readline()
        yield from _rows(path, file, layout, images_only, remarks)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2**12)
    if start.startswith(_WORKBOOKS):
        raise DataError(f"{path}: expected a CSV file, found an Excel workbook; save it as CSV UTF-8")
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if marked is None and b"\0" in start:
        line = start.count(b"\n", 0, start.index(b"\0")) + 1
        raise DataError(f"{path}, line {line}: {other_encoding(path, 'a zero byte', 'UTF-16LE')}")
    return marked or "utf-8-sig"


def _layout(path: Path, sample: str, cut: bool, remarks: Remarks) -> _Layout:
    line = _SEPARATOR_LINE.fullmatch(sample.partition("\n")[0])
    if line:
        sample = sample.partition("\n")[2]
    separator = line[1] if line else _separator(path, sample, cut)
    if separator != ("\t" if path.suffix.lower() == ".tsv" else ",") and not line:
        remarks.add("separator", f"{separator!r} in {path.name}")
    records = _records(sample, separator, cut)
    own = is_own_csv(path)
    header = tuple((restored(cell) if own else cell).strip() for cell in (records[0] if records else ()))
    columns = [[row[c] for row in records[1:] if c < len(row)] for c in range(len(header))]
    numbers = frozenset(c for c, cells in enumerate(columns) if is_row_number(header[c], cells))
    blank = frozenset(
        c for c, cells in enumerate(columns) if not header[c] and not any(cell.strip() for cell in cells) and cells
    )
    dropped = frozenset(c for c in numbers if c == 0 or c - 1 in numbers)
    for c in sorted(dropped):
        remarks.add("row-numbers", f"column {c + 1} of {path.name}")
    image = _image(path, header, columns, dropped | blank, remarks)
    return _Layout(int(bool(line)), separator, header, image, blank, dropped, own)


def _separator(path: Path, sample: str, cut: bool) -> str:
    """The separator that gives rows of equal length, best with a named image column; else the one in the header."""
    order = "\t,;" if path.suffix.lower() == ".tsv" else SEPARATORS

    def rank(separator: str) -> tuple[bool, bool, int]:
        records = _records(sample, separator, cut)
        header = [cell.strip() for cell in (records[0] if records else ())]
        regular = len(header) > 1 and all(len(row) == len(header) for row in records)
        return regular, image_column(header, [[] for _ in header])[0] is not None, len(header)

    return max(order, key=rank)


def _records(sample: str, separator: str, cut: bool) -> list[list[str]]:
    """The rows of the sample up to the first damaged one, without blank lines and a row cut short."""
    records: list[list[str]] = []
    try:
        for record in filter(None, csv.reader(StringIO(sample, newline=""), delimiter=separator, strict=True)):
            records.append(record)  # one by one: an error must not lose the rows before it
    except csv.Error:
        cut = False  # the rows before the damaged one are whole
    return records[:-1] if cut and len(records) > 1 else records


def _image(
    path: Path, header: Sequence[str], columns: Sequence[Sequence[str]], dropped: frozenset[int], remarks: Remarks
) -> int:
    if not header or not any(header):
        raise DataError(f"{path}, line 1: expected a header with a column 'image', found a blank line or nothing")
    if looks_like_image(header[0]):
        raise DataError(f"{path}, line 1: expected a header with a column 'image', found an image: {header[0]!r}")
    column, certain = image_column(header, columns)
    if column is None:
        column = next((c for c in range(len(header)) if c not in dropped), None)  # even if it is called id
    if column is None or not (header[column] or certain or any(map(looks_like_image, columns[column]))):
        raise DataError(
            f"{path}, line 1: expected a header with a column 'image', found a blank above the first column"
        )
    counts = Counter(name for c, name in enumerate(header) if c not in dropped and c != column)
    repeated = next((name for name, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise DataError(f"{path}, line 1: expected each column once, found {repeated!r} again")
    if not certain:
        remark_image_column(remarks, path, header, column)
    return column


def _rows(path: Path, file: TextIO, layout: _Layout, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    reader = csv.reader(file, delimiter=layout.separator, strict=True)
    left_out = layout.dropped | layout.blank | {layout.image}
    kept = [(c, name) for c, name in enumerate(layout.header) if c not in left_out]
    try:
        next(filter(None, reader), None)
        for cells in reader:
            line = reader.line_num + layout.skipped
            if not any(cell.strip() for cell in cells):
                if cells:
                    remarks.add("blank-row", f"{path.name}, line {line}")
                continue
            _check_row(path, line, cells, layout)
            cells = [*map(restored, cells)] if layout.own else cells
            values = {} if images_only else {name: cells[c].strip() for c, name in kept}
            yield ListRow(path, line, cells[layout.image].strip(), values)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num + layout.skipped}: expected cells separated by {layout.separator!r}, "
            f"found {error}"
        ) from None


def _check_row(path: Path, line: int, cells: Sequence[str], layout: _Layout) -> None:
    if len(cells) != len(layout.header):
        raise DataError(f"{path}, line {line}: expected {len(layout.header)} columns, found {len(cells)}")
    for c in layout.blank:
        if cells[c].strip():
            raise DataError(f"{path}, line {line}: expected a blank cell under a blank header, found {cells[c]!r}")


def _read_caption_csv(path: Path) -> Iterator[ListRow]:
    file = read_captions(path)
    if file.bad:
        line, reason = file.bad[0]
        raise DataError(f"{path}, line {line}: {reason} ({len(file.bad):,} such rows); fix them first")
    for row in file.rows:
        yield ListRow(path, row.line, row.image, {"labels": list(map(str, row.labels or ())), "caption": row.caption})
