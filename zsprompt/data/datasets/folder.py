"""Pictures of your own with a labels CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt.data.dataset import Dataset
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

SEPARATORS = "|;,"
"""Between names in one cell: the first of these that occurs anywhere in the column."""

_FILE = "labels.csv"
_VALUES = {"1": 1, "0": 0, "-1": -1}

Row = tuple[int, list[str]]  # line number, cells


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own pictures with a labels.csv: an image column, then one 0/1 column a label, or one column of names.

    Args:
        root: a folder that holds labels.csv, or a CSV file of another name. Pictures are named relative to it.
        split: keeps the rows with that word in a column called "split"; None keeps all. Labels are those of all rows.
        names: label names are taken as they stand either way.

    Raises:
        DataError: no CSV, no rows, ragged rows, a value that is not 1, 0 or -1, a picture or label named twice.
        UnknownName: no row of that split.
    """
    path = root if root.is_file() else root / _FILE
    header, rows = _read(path)
    header, rows, kept = _take_split(path, header, rows, split)
    one_column_of_names = len(header) == 2 and not any(cells[1] in _VALUES for _, cells in rows)
    labels, targets = _names_column(path, rows) if one_column_of_names else _flag_columns(path, header, rows)
    images = [ImageFile(cells[0], path.parent / cells[0]) for _, cells in rows]
    name = path.parent.resolve().name
    return Dataset(name, labels, images, targets, split=split or "all", names=names).select(kept)


def read_flags(path: Path, image_columns: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...], Targets]:
    """Picture names, as often as they stand there, and [N, C] flags of a CSV whose columns may be in any order.

    Args:
        path: the file.
        image_columns: names that the column of pictures may have.
        labels: the columns of flags, C of them.

    Raises:
        DataError: see `load`.
    """
    header, rows = _read(path, each_once=False)
    column = next((header.index(name) for name in image_columns if name in header), None)
    if column is None or not set(labels) <= set(header):
        wanted = ", ".join((image_columns[0], *labels))
        raise DataError(f"{path}, line 1: expected the columns {wanted}, found {', '.join(header)}")
    places = [column, *(header.index(label) for label in labels)]
    taken = [(line, [cells[place] for place in places]) for line, cells in rows]
    _, targets = _flag_columns(path, [header[place] for place in places], taken)
    return tuple(cells[0] for _, cells in taken), targets


def _read(path: Path, *, each_once: bool = True) -> tuple[list[str], list[Row]]:
    lines = _lines(path)
    if not lines:
        raise DataError(f"expected a header and rows in {path}, found an empty file")
    (_, header), *rows = lines
    if len(header) < 2:
        raise DataError(
            f"{path}, line 1: expected an image column and at least one more, separated by commas, found {header}"
        )
    if not rows:
        raise DataError(f"expected rows under the header of {path}, found none")
    _check_rows(path, header, rows, each_once)
    return header, rows


def _lines(path: Path) -> list[Row]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"expected a labels CSV at {path}, found none; give its folder or the file itself with --root"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: expected UTF-8, found byte 0x{error.object[error.start]:02x}; save the file as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: expected comma-separated cells, found {error}") from None


def _check_rows(path: Path, header: list[str], rows: list[Row], each_once: bool) -> None:
    seen: dict[str, int] = {}
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: expected {len(header)} columns, found {len(cells)}")
        if not cells[0]:
            raise DataError(f"{path}, line {line}: expected a picture's name in the first column, found a blank")
        if each_once and cells[0] in seen:
            raise DataError(
                f"{path}, line {line}: expected each picture once, found {cells[0]!r} again (line {seen[cells[0]]})"
            )
        seen[cells[0]] = line


def _take_split(
    path: Path, header: list[str], rows: list[Row], split: str | None
) -> tuple[list[str], list[Row], list[int]]:
    """Header and rows without the column "split", and the positions of the rows to keep."""
    if "split" not in header[1:]:
        if split is not None:
            raise DataError(f"expected a column 'split' in {path} for --split {split}, found {', '.join(header)}")
        return header, rows, list(range(len(rows)))
    column = header.index("split", 1)
    words = [cells.pop(column) for _, cells in rows]
    if split is not None and split not in words:
        raise UnknownName("split", split, set(words))
    others = [*header[:column], *header[column + 1 :]]
    return others, rows, [n for n, word in enumerate(words) if split in (None, word)]


def _flag_columns(path: Path, header: Sequence[str], rows: list[Row]) -> tuple[tuple[str, ...], Targets]:
    labels = tuple(header[1:])
    _check_labels(path, labels)
    targets = np.empty((len(rows), len(labels)), dtype=np.int8)
    for n, (line, cells) in enumerate(rows):
        for c, cell in enumerate(cells[1:]):
            if cell not in _VALUES:
                raise DataError(
                    f"{path}, line {line}: expected 1, 0 or -1 (left out) for {labels[c]!r}, found {cell!r}"
                )
            targets[n, c] = _VALUES[cell]
    return labels, targets


def _check_labels(path: Path, labels: Sequence[str]) -> None:
    if not labels or "" in labels:
        found = f"a blank above column {labels.index('') + 2}" if labels else "no such column"
        raise DataError(f"{path}, line 1: expected a label's name above each column after the first, found {found}")
    repeated = next((label for c, label in enumerate(labels) if label in labels[:c]), None)
    if repeated:
        raise DataError(f"{path}, line 1: expected each label once, found {repeated!r} again")


def _names_column(path: Path, rows: list[Row]) -> tuple[tuple[str, ...], Targets]:
    cells = [row[1] for _, row in rows]
    separator = next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), SEPARATORS[0])
    present = [{name.strip() for name in cell.split(separator) if name.strip()} for cell in cells]
    labels = tuple(sorted(set().union(*present)))
    if not labels:
        raise DataError(f"expected label names in the second column of {path}, found only blanks")
    targets = np.array([[label in names for label in labels] for names in present], dtype=np.int8)
    return labels, targets
