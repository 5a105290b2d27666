"""Your own images with a list of them: data sets `list` (CSV, JSON lines, Parquet) and `folder` (a labels.csv)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base
from zsprompt.data.image_lists import CsvLayout, ListRow, image_folder, read_rows
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

NAMES_COLUMNS = ("labels", "label", "tags", "classes")
"""Columns, in lower case, that hold an image's label names: a list, or a text with "|", ";" or "," between them."""

_SEPARATORS = "|;,"  # between names in one cell: the first of these that occurs anywhere in the column
_CAPTION, _SPLIT = "caption", "split"
_STEM = "labels"
_FLAGS: Mapping[Any, int] = {1: 1, 0: 0, -1: -1, "1": 1, "0": 0, "-1": -1}
_FOLDER_CSV = CsvLayout(separators=",", image_first=True)


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """A list of your own images (CSV, JSON lines, Parquet) with label names or flags, and splits and captions if any.

    Each row names an image ("image") and its labels: a column "labels" with a list of names or a text with "|", ";"
    or "," between them, or else a column of 1, 0 or −1 for each label. "split" and "caption" are not labels.

    Args:
        root: the list, or a folder with labels.jsonl, labels.parquet or labels.csv. Images are named relative to it.
        split: keeps the rows with that word under "split"; None keeps all. Labels are those of all rows.
        names: label names are taken as they stand either way.

    Raises:
        DataError: no list, a row that cannot be read, an image named twice, a flag that is none, no label at all.
        UnknownName: no row of that split.
    """
    path = _list_file(root)
    rows = list(read_rows(path))
    # JSON objects may leave keys out, so columns are those of all rows
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    names_column = next((name for name in columns if name.lower() in NAMES_COLUMNS), None)
    if names_column is not None:
        labels, targets = _names(path, rows, names_column)
    else:
        labels, targets = flag_targets(path, rows, [name for name in columns if name not in (_CAPTION, _SPLIT)])
    captions = tuple(str(row.values[_CAPTION] or "") for row in rows) if _CAPTION in rows[0].values else None
    return _dataset(path, rows, labels, targets, split, names, captions)


def load_folder(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images with a labels.csv: an image column, then one 0/1 column a label, or one column of names.

    Args:
        root: a folder that holds labels.csv, or a CSV file of another name, with commas between its cells. The first
            column names images relative to it.
        split: keeps the rows with that word in a column called "split"; None keeps all. Labels are those of all rows.
        names: label names are taken as they stand either way.

    Raises:
        DataError: no CSV, no rows, ragged rows, a value that is not 1, 0 or -1, an image or label named twice.
        UnknownName: no row of that split.
    """
    path = root if root.is_file() else root / f"{_STEM}.csv"
    rows = list(read_rows(path, layout=_FOLDER_CSV))
    columns = [name for name in rows[0].values if name != _SPLIT]
    if len(columns) == 1 and not any(row.values[columns[0]] in _FLAGS for row in rows):
        labels, targets = _names(path, rows, columns[0])
    else:
        labels, targets = flag_targets(path, rows, columns)
    return _dataset(path, rows, labels, targets, split, names)


def flag_targets(path: Path, rows: Sequence[ListRow], labels: Sequence[str]) -> tuple[tuple[str, ...], Targets]:
    """The labels, and their [N, C] flags of 1, 0 or −1 in columns of the same names.

    Raises:
        DataError: no label, one without a name, or a value that is no flag.
    """
    if not labels:
        raise DataError(
            f"expected a column 'labels' or one for each label in {path}, found none; use `zsprompt predict` on it"
        )
    if "" in labels:
        raise DataError(f"{path}, line 1: expected a label's name above each column, found a blank")
    targets = np.empty((len(rows), len(labels)), dtype=np.int8)
    for n, row in enumerate(rows):
        for c, label in enumerate(labels):
            value = row.values.get(label)
            if isinstance(value, list | dict) or value not in _FLAGS:
                raise DataError(
                    f"{path}, line {row.line}: expected 1, 0 or -1 (left out) for {label!r}, found {value!r}"
                )
            targets[n, c] = _FLAGS[value]
    return tuple(labels), targets


def _dataset(
    path: Path,
    rows: Sequence[ListRow],
    labels: tuple[str, ...],
    targets: Targets,
    split: str | None,
    names: str,
    captions: tuple[str, ...] | None = None,
) -> Dataset:
    _check_once(path, rows)
    kept = _kept(path, rows, split)
    folder = image_folder(path, rows[0].image)
    images = [ImageFile(row.image, folder / row.image) for row in rows]
    name = path.parent.resolve().name
    data = Dataset(name, labels, images, targets, split=split or "all", names=names, captions=captions)
    return data if split is None else data.select(kept)


def _list_file(root: Path) -> Path:
    try:
        if root.is_file():
            return root
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {root}: {error}") from None
    files = [f"{_STEM}{suffix}" for suffix in (".jsonl", ".parquet", ".csv", ".tsv", ".ndjson")]
    base = find_base(root, f"a list of pictures ({', '.join(files[:3])})", (), lambda base: any(_there(base, files)))
    return _there(base, files)[0]


def _there(base: Path, files: Sequence[str]) -> list[Path]:
    return [base / file for file in files if (base / file).is_file()]


def _check_once(path: Path, rows: Sequence[ListRow]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        if row.image in seen:
            raise DataError(
                f"{path}, line {row.line}: expected each picture once, found {row.image!r} again "
                f"(line {seen[row.image]})"
            )
        seen[row.image] = row.line


def _kept(path: Path, rows: Sequence[ListRow], split: str | None) -> list[int]:
    words = [str(row.values.get(_SPLIT) or "") for row in rows]
    if split is not None and not any(words):
        columns = ", ".join(rows[0].values)
        raise DataError(f"expected a column 'split' in {path} for --split {split}, found {columns}")
    if split is not None and split not in words:
        raise UnknownName("split", split, set(words) - {""})
    return [n for n, word in enumerate(words) if split in (None, word)]


def _names(path: Path, rows: Sequence[ListRow], column: str) -> tuple[tuple[str, ...], Targets]:
    cells = [row.values.get(column) for row in rows]
    texts = [cell for cell in cells if isinstance(cell, str)]
    separator = next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), _SEPARATORS[0])
    present = [_split_names(path, row.line, cell, separator) for row, cell in zip(rows, cells, strict=True)]
    labels = tuple(sorted(set().union(*present)))
    if not labels:
        raise DataError(f"expected label names under {column!r} in {path}, found none")
    place = {label: c for c, label in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for n, found in enumerate(present):
        targets[n, [place[label] for label in found]] = 1
    return labels, targets


def _split_names(path: Path, line: int, cell: object, separator: str) -> set[str]:
    names = cell.split(separator) if isinstance(cell, str) else [] if cell is None else cell
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}, line {line}: expected label names, found {str(cell)[:60]!r}")
    return {name.strip() for name in names if name.strip()}
