"""Your own images with a label file: data sets `list` (CSV, JSON lines, Parquet) and `folder` (labels.csv)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base
from zsprompt.data.image_lists import CsvLayout, ListRow, image_folder, read_rows
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

NAMES_COLUMNS = ("labels", "label", "tags", "classes")
"""Columns, in lower case, with label names: a list, or a text separated by "|", ";" or ","."""

_SEPARATORS = "|;,"  # of names in one cell; the first that occurs anywhere in the column is used
_CAPTION, _SPLIT = "caption", "split"
_STEM = "labels"
_FLAGS: Mapping[Any, int] = {1: 1, 0: 0, -1: -1, "1": 1, "0": 0, "-1": -1}
_FOLDER_CSV = CsvLayout(separators=",", image_first=True)


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images in a list (CSV, JSON lines, Parquet) with label names or flags, optional splits and captions.

    Each row has an image ("image") and its labels. Labels are a column "labels" with a list of names or a text
    separated by "|", ";" or ","; or one column per label with 1, 0 or −1. "split" and "caption" are not labels.

    Args:
        root: the list, or a folder with labels.jsonl, labels.parquet or labels.csv. File names are relative to it.
        split: keep the rows with this value under "split"; None keeps all. All splits have the same labels.
        names: ignored; label names are used unchanged.

    Raises:
        DataError: there is no list, a row cannot be read, an image is repeated, a flag is invalid, or there are no
            labels.
        UnknownName: no row has that split.
    """
    path = _list_file(root)
    rows = list(read_rows(path))
    # JSON objects may omit keys, so collect the columns of all rows
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    names_column = next((name for name in columns if name.lower() in NAMES_COLUMNS), None)
    if names_column is not None:
        labels, targets = _names(path, rows, names_column)
    else:
        labels, targets = flag_targets(path, rows, [name for name in columns if name not in (_CAPTION, _SPLIT)])
    captions = tuple(str(row.values[_CAPTION] or "") for row in rows) if _CAPTION in rows[0].values else None
    return _dataset(path, rows, labels, targets, split, names, captions)


def load_folder(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images with a labels.csv: an image column, then one 0/1 column per label, or one column of names.

    Args:
        root: a folder with labels.csv, or a comma-separated file of another name. Its first column has file names
            relative to it.
        split: keep the rows with this value under "split"; None keeps all. All splits have the same labels.
        names: ignored; label names are used unchanged.

    Raises:
        DataError: there is no CSV, it has no rows or ragged rows, a value is not 1, 0 or −1, or an image or label is
            repeated.
        UnknownName: no row has that split.
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
    """The labels, and their [N, C] int8 flags of 1, 0 or −1 from the columns of the same names.

    Raises:
        DataError: there are no labels, a label has no name, or a value is not a flag.
    """
    if not labels:
        raise DataError(
            f"expected a column 'labels' or one column per label in {path}, found none; "
            "without labels, use `zsprompt predict`"
        )
    if "" in labels:
        raise DataError(f"{path}, line 1: expected a label above each column, found a blank")
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
        raise DataError(f"cannot read {root}: {read_fault(root, error)}") from None
    files = [f"{_STEM}{suffix}" for suffix in (".jsonl", ".parquet", ".csv", ".tsv", ".ndjson")]
    base = find_base(root, f"a list of images ({', '.join(files[:3])})", (), lambda base: any(_existing(base, files)))
    return _existing(base, files)[0]


def _existing(base: Path, files: Sequence[str]) -> list[Path]:
    return [base / file for file in files if (base / file).is_file()]


def _check_once(path: Path, rows: Sequence[ListRow]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        if row.image in seen:
            raise DataError(
                f"{path}, line {row.line}: expected each image once, found {row.image!r} again (line {seen[row.image]})"
            )
        seen[row.image] = row.line


def _kept(path: Path, rows: Sequence[ListRow], split: str | None) -> list[int]:
    splits = [str(row.values.get(_SPLIT) or "") for row in rows]
    if split is not None and not any(splits):
        columns = ", ".join(rows[0].values)
        raise DataError(f"expected a column 'split' in {path} for --split {split}, found {columns}")
    if split is not None and split not in splits:
        raise UnknownName("split", split, set(splits) - {""})
    return [n for n, name in enumerate(splits) if split in (None, name)]


def _names(path: Path, rows: Sequence[ListRow], column: str) -> tuple[tuple[str, ...], Targets]:
    cells = [row.values.get(column) for row in rows]
    texts = [cell for cell in cells if isinstance(cell, str)]
    separator = next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), _SEPARATORS[0])
    present = [_split_names(path, row.line, cell, separator) for row, cell in zip(rows, cells, strict=True)]
    labels = tuple(sorted(set().union(*present)))
    if not labels:
        raise DataError(f"expected label names under {column!r} in {path}, found none")
    columns = {label: c for c, label in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for n, names in enumerate(present):
        targets[n, [columns[label] for label in names]] = 1
    return labels, targets


def _split_names(path: Path, line: int, cell: object, separator: str) -> set[str]:
    names = cell.split(separator) if isinstance(cell, str) else [] if cell is None else cell
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}, line {line}: expected label names, found {str(cell)[:60]!r}")
    return {name.strip() for name in names if name.strip()}
