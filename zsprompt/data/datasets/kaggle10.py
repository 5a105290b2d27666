"""The ten-class Kaggle data set of the MMM-CLIP paper.

Source: Meherun Nesa Shraboni 2022, Kaggle multi-label image classification dataset, as used by MMM-CLIP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Indices
from zsprompt._utils.files import unreadable
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, listed
from zsprompt.data.datasets.image_index import ImageIndex
from zsprompt.data.image_lists import flag_targets, read_rows
from zsprompt.data.images import ImageFile
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

RAW_NAMES = ("motorcycle", "truck", "boat", "bus", "cycle", "sitar", "ektara", "flutes", "tabla", "harmonium")
"""The ten labels as spelt in the CSV."""

SHARES = (70, 2, 5, 10, 20)
"""Percentages P of images in train-P; test-(100 − P) holds the rest."""

_READABLE = {"cycle": "bicycle", "flutes": "flute"}
_NAMES_COLUMN = "Classes"  # the same labels as a text, in the published table
_IMAGE_COLUMNS = ("Image_Name", "image_name", "image")
_FOLDERS = ("kaggle10", "multilabel_modified", "archive")
_SPLIT = re.compile(r"(train|test)-(\d+)")


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Kaggle's ten classes, 7,843 images; splits all (default), train-70/test-30, and 2/98, 5/95, 10/90, 20/80.

    The paper states the shares but not the images, so the splits are our own: images are ordered by the sha256 of
    their names, and the first P percent are for training. Smaller training splits are subsets of larger ones.

    Args:
        root: folder with the CSV (Image_Name, then one 0/1 column per label; others are ignored) and images/.
        split: "all", "train-P" or "test-Q".
        names: "readable" ("bicycle", "flute") or "raw" ("cycle", "flutes").

    Raises:
        DataError: files are missing or broken.
        UnknownName: there is no such split.
    """
    remarks = Remarks()
    expected = "the CSV of Kaggle's ten classes"
    base = find_base(root, expected, _FOLDERS, lambda folder: any(folder.glob("*.csv")), remarks)
    path = _table_file(base)
    rows = list(read_rows(path, remarks=remarks))
    for name in rows[0].values:
        if name not in (_NAMES_COLUMN, *RAW_NAMES):
            remarks.add("ignored-column", f"{name!r} of {path.name}")
    _, targets = flag_targets(path, rows, RAW_NAMES)
    ids, notes = _corrected(path, [row.image for row in rows])
    kept = _chosen(ids, split or "all")
    index = ImageIndex.below(base, ("images", "Images", "train"))
    images = [ImageFile(ids[n], index.path(ids[n])) for n in kept]
    labels = RAW_NAMES if names == "raw" else tuple(_READABLE.get(name, name) for name in RAW_NAMES)
    return Dataset(
        "kaggle10",
        labels,
        images,
        targets[kept],
        split=split or "all",
        names=names,
        notes=notes,
        remarks=remarks.found(),
    )


def _table_file(base: Path) -> Path:
    """The only CSV whose header has the ten labels."""
    headers = {path: _header(path) for path in sorted(base.glob("*.csv"))}
    tables = [path for path, header in headers.items() if set(RAW_NAMES) <= set(header)]
    if len(tables) != 1:
        files = listed(path.name for path in (tables or headers))
        raise DataError(
            f"expected one CSV with the columns {', '.join(RAW_NAMES)} in {base}, found {len(tables)} ({files})"
        )
    if not set(_IMAGE_COLUMNS) & set(header := headers[tables[0]]):
        wanted = ", ".join((_IMAGE_COLUMNS[0], *RAW_NAMES))
        raise DataError(f"{tables[0]}, line 1: expected the columns {wanted}, found {', '.join(header)}")
    return tables[0]


def _header(path: Path) -> list[str]:
    """The columns of a CSV. Raises DataError for a file in another encoding: it may be the table."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return [cell.strip().strip('"') for cell in file.readline(2**16).split(",")]
    except OSError:
        return []
    except ValueError as error:
        raise DataError(unreadable(path, error)) from None


def _corrected(path: Path, written: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The image of each row, and a note for each image that the published table names twice.

    Row n describes image<n>.jpg, but rows 7822 and 7823 of the published table name image7722.jpg and image7723.jpg.
    """
    ids, notes = list(written), []
    first = {name: n for n, name in reversed(list(enumerate(written)))}
    for n, name in enumerate(written):
        if first[name] == n:
            continue
        corrected = f"image{n + 1}.jpg"
        if corrected in first:
            raise DataError(f"{path}: expected each image once, found {name!r} in rows {first[name] + 1} and {n + 1}")
        ids[n] = corrected
        notes.append(f"row {n + 1} of {path.name} repeats {name}; it is read as {corrected}, which no row names")
    return ids, tuple(notes)


def _chosen(ids: Sequence[str], split: str) -> Indices:
    """Positions of the images of a split, ascending."""
    if split == "all":
        return np.arange(len(ids))
    match = _SPLIT.fullmatch(split)
    share = int(match[2]) if match else 0
    share = 100 - share if match and match[1] == "test" else share
    if not match or share not in SHARES:
        raise UnknownName("split of kaggle10", split, ["all", *(f"train-{p}" for p in SHARES), *_tests()])
    order = sorted(range(len(ids)), key=lambda n: hashlib.sha256(ids[n].encode()).digest())
    count = round(len(ids) * share / 100)
    return np.array(sorted(order[:count] if match[1] == "train" else order[count:]), dtype=np.intp)


def _tests() -> list[str]:
    return [f"test-{100 - share}" for share in SHARES]
