"""Your own images with a label file: data sets `list` (CSV, JSON, Parquet) and `folder` (labels.csv)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, listed
from zsprompt.data.image_lists import ListRow, distinct_rows, find_place, flag_targets, name_targets, read_rows
from zsprompt.data.image_lists.cells import flag, named_labels
from zsprompt.data.image_lists.columns import ANNOTATION, CAPTION, IMAGE_COLUMNS, OTHER_COLUMNS, SPLIT
from zsprompt.data.image_lists.parquet_file import ParquetImage
from zsprompt.data.images import ImageFile, ImageRef
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

NAMES_COLUMNS = ("labels", "label", "tags", "classes")
"""Columns, in lower case, with label names: a list, or a text separated by "|", ";" or ","."""

_FURTHER_NAMES = tuple(
    "tag class category categories choice choices label_names class_names labelname label_name".split()
)
"""Further names of such columns; one of flags or numbers only is no column of names."""

_STEMS = ("labels", "metadata", "_classes")  # ours, Hugging Face's imagefolder, Roboflow's
_LIST_ORDER = (".jsonl", ".parquet", ".csv", ".tsv", ".ndjson", ".json")
_FOLDER_ORDER = (".csv", ".jsonl", ".parquet", ".tsv", ".ndjson", ".json")
_PART = re.compile(r"(.+?)-\d{5}-of-\d{5}")  # Hugging Face's names of Parquet files
_BOX_COLUMNS = frozenset("xmin x_min x1 left bbox bounding_box".split())  # one row per object
_ADDRESS = ("http://", "https://", "s3://", "gs://")


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images in a list (CSV, JSON, Parquet) with label names or flags, optional splits and captions.

    Each row has an image ("image") and its labels. Labels are a column "labels" with a list of names or a text
    separated by "|", ";" or ","; or one column per label with 1, 0 or −1 (or yes, no, x, …). "split" and "caption"
    are not labels. Label Studio's CSV and JSON exports are such lists. What is guessed or left out is a remark.

    Args:
        root: the list, or a folder with labels.jsonl, labels.parquet or labels.csv (or metadata.*, _classes.csv), or
            with one folder per split that has one. File names are relative to the list.
        split: keep the rows with this value under "split", or of this folder; None keeps all. All splits have the
            same labels.
        names: ignored; label names are used unchanged.

    Raises:
        DataError: there is no list, a row cannot be read, an image is repeated, a flag is invalid, or there are no
            labels.
        UnknownName: no row has that split.
    """
    return _load(root, split, names, _LIST_ORDER)


def load_folder(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images with a labels.csv: an image column, then one 0/1 column per label, or one column of names.

    The same as `load`, except that a labels.csv comes before other lists in the folder.
    """
    return _load(root, split, names, _FOLDER_ORDER)


@dataclass(frozen=True)
class _Entry:
    """One image of the lists."""

    row: ListRow
    split: str
    image: ImageRef


def _load(root: Path, split: str | None, names: str, order: Sequence[str]) -> Dataset:
    remarks = Remarks()
    files = _list_files(root, order, remarks)
    entries = [entry for path, part in files.items() for entry in _entries(path, part, len(files) > 1, remarks)]
    path = root if len(files) > 1 else next(iter(files))
    labels, targets, places = _labels(path, [entry.row for entry in entries], remarks)
    entries, targets = _distinct(entries, targets, remarks)
    rows = [entry.row for entry in entries]
    kept = _kept(path, entries, split)
    captions = tuple(str(row.values.get(CAPTION) or "") for row in rows) if CAPTION in rows[0].values else None
    data = Dataset(
        (path if len(files) > 1 else path.parent).resolve().name,
        labels,
        [entry.image for entry in entries],
        targets,
        split=split or "all",
        names=names,
        captions=captions,
        remarks=remarks.found(),
        places=places,
    )
    return data if split is None else data.select(kept)


# -- the files


def _list_files(root: Path, order: Sequence[str], remarks: Remarks) -> dict[Path, str]:
    """The lists, each with its split; "" if the list itself tells."""
    try:
        if root.is_file():
            return {root: ""}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {root}: {read_fault(root, error)}") from None
    expected = f"a list of images (labels{', labels'.join(order[:3])}; --root FILE names another)"
    base = find_base(root, expected, (), lambda base: bool(_named_lists(base, order) or _parts(base, order)))
    lists = _named_lists(base, order)
    if len(lists) > 1:
        remarks.add("list-file", f"{lists[0].name}, not {listed(path.name for path in lists[1:])}")
    return {lists[0]: ""} if lists else _parts(base, order)


def _named_lists(base: Path, order: Sequence[str]) -> list[Path]:
    """The lists with a usual name in a folder, the first of which is read."""
    names = [f"{stem}{suffix}" for stem in _STEMS for suffix in order]
    return [base / name for name in names if (base / name).is_file()]


def _parts(base: Path, order: Sequence[str]) -> dict[Path, str]:
    """One list per folder, else Parquet files named by their split."""
    folders = sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    lists = {found[0]: folder.name for folder in folders if (found := _named_lists(folder, order))}
    if lists:
        return lists
    files = sorted([*base.glob("*.parquet"), *(base / "data").glob("*.parquet")])
    return {path: match[1] if (match := _PART.fullmatch(path.stem)) else path.stem for path in files}


def _entries(path: Path, part: str, several: bool, remarks: Remarks) -> Iterable[_Entry]:
    rows = [row for row in read_rows(path, remarks=remarks) if _annotated(row, remarks)]
    if not rows:
        raise DataError(f"expected annotated images in {path}, found none")
    place = find_place(path, [row.image for row in rows if row.ref is None], remarks)
    for row in distinct_rows(place, rows):
        image = row.ref or place.image(row.image)
        if row.ref is None and row.image.startswith(_ADDRESS) and not place.path(row.image).exists():
            raise DataError(
                f"{row.where}: expected a file name, found the address {row.image[:60]!r}; download the images next to "
                "the list"
            )
        prefix = f"{path.parent.name}/" if several and isinstance(image, ImageFile) else ""
        image = replace(image, id=prefix + image.id) if isinstance(image, ImageFile) else image
        yield _Entry(row, str(row.values.get(SPLIT) or "") or part, image)


def _annotated(row: ListRow, remarks: Remarks) -> bool:
    """Whether a row of Label Studio has an annotation; other rows have no such column."""
    if ANNOTATION not in row.values or row.values[ANNOTATION] not in (None, ""):
        return True
    remarks.add("unannotated", row.place)
    return False


def _distinct(entries: Sequence[_Entry], targets: Targets, remarks: Remarks) -> tuple[list[_Entry], Targets]:
    """The entries with distinct ids, and their targets. Rows of the objects of one image are joined."""
    boxes = _has_boxes(entries[0].row.values)
    positions: dict[str, int] = {}
    done: list[_Entry] = []
    kept: list[int] = []
    for n, entry in enumerate(entries):
        image = entry.image
        if image.id in positions and isinstance(image, ParquetImage):  # files may contain several images of one name
            image = replace(image, id=f"{image.id} ({entry.row.place})")
        if image.id not in positions:
            positions[image.id] = len(done)
            kept.append(n)
            done.append(replace(entry, image=image))
            continue
        first = done[positions[image.id]].row
        if not boxes:
            raise DataError(
                f"{entry.row.where}: expected each image once, found {entry.row.image!r} again "
                f"({first.unit} {first.line}); write all its labels in one row"
            )
        remarks.add("joined-rows", entry.row.place)
        whole = kept[positions[image.id]]
        targets[whole] = np.maximum(targets[whole], targets[n])
    return done, targets[kept]


def _kept(path: Path, entries: Sequence[_Entry], split: str | None) -> list[int]:
    splits = [entry.split for entry in entries]
    if split is not None and not any(splits):
        columns = ", ".join(entries[0].row.values)
        raise DataError(f"expected a column 'split' in {path} for --split {split}, found {columns}")
    if split is not None and split not in splits:
        raise UnknownName("split", split, set(splits) - {""})
    return [n for n, name in enumerate(splits) if split in (None, name)]


# -- the labels


def _labels(
    path: Path, rows: Sequence[ListRow], remarks: Remarks
) -> tuple[tuple[str, ...], Targets, Mapping[str, str]]:
    """The labels, their targets, and where each was first met."""
    # JSON objects may omit keys, so collect the columns of all rows
    every_name = dict.fromkeys(name for row in rows for name in row.values)
    columns = {name: [row.values.get(name) for row in rows] for name in every_name}
    names_column = _names_column(path, columns, remarks)
    flags = [] if names_column is not None else _flag_columns(columns)
    used = {names_column, CAPTION, SPLIT, ANNOTATION, *flags}
    for name in columns:
        if name not in used:
            remarks.add("ignored-column", f"{name!r} of {path.name}")
    if names_column is not None:
        return name_targets(path, rows, names_column, remarks)
    labels, targets = flag_targets(path, rows, flags, remarks)
    return labels, targets, dict.fromkeys(labels, f"{path.name}, {rows[0].unit} 1")


def _names_column(path: Path, columns: Mapping[str, Sequence[Any]], remarks: Remarks) -> str | None:
    """The column of label names: by its name, else the only one with texts where no column has flags.

    A category next to flags is left out, unless the rows are boxes: their flags tell of the box (truncated).
    """
    named = [name for name in columns if name.lower() in NAMES_COLUMNS]
    further = [name for name in columns if name.lower() in _FURTHER_NAMES and any(map(_is_name, columns[name]))]
    if further and (
        _has_boxes(columns) or not any(_has_flags(columns[name]) for name in columns if _may_be_label(name))
    ):
        named += further
    if named:
        return named[0]
    texts = [name for name in columns if _may_be_label(name) and _is_text(columns[name])]
    if not texts or _flag_columns(columns):
        return None
    if len(texts) > 1:
        raise DataError(
            f"expected a column 'labels' or one column per label in {path}, found texts under "
            f"{listed(texts)}; call the column of labels 'labels'"
        )
    remarks.add("labels-column", f"{texts[0]!r} of {path.name}")
    return texts[0]


def _flag_columns(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The columns with flags; one that also has something else is refused later, with its line."""
    return [
        name
        for name, cells in columns.items()
        if _may_be_label(name)
        and not _is_text(cells)
        and not (name.lower() in IMAGE_COLUMNS and not any(flag(cell) is not None for cell in cells))
    ]


def _has_boxes(names: Iterable[str]) -> bool:
    return any(name.lower() in _BOX_COLUMNS for name in names)


def _has_flags(cells: Sequence[Any]) -> bool:
    """Whether a column has flags only."""
    filled = [cell for cell in cells if cell not in (None, "")]
    return bool(filled) and all(flag(cell) is not None for cell in filled)


def _may_be_label(name: str) -> bool:
    return name not in (CAPTION, SPLIT) and name.lower() not in OTHER_COLUMNS


def _is_text(cells: Sequence[Any]) -> bool:
    """Whether a column has texts or lists of names, and no flag or other number."""
    filled = [cell for cell in cells if cell not in (None, "")]
    return bool(filled) and all(_is_name(cell) for cell in filled)


def _is_name(cell: object) -> bool:
    if isinstance(cell, str):
        return bool(cell) and flag(cell) is None and not _is_number(cell)
    return isinstance(cell, list | dict) and named_labels(cell) is not None


def _is_number(text: str) -> bool:
    """Whether a text is a number; "nan" and "inf" are words."""
    try:
        return math.isfinite(float(text.replace(",", ".")))
    except ValueError:
        return False
