"""Images with captions and label numbers: the CSV of the coco-captions-clip source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt.data.caption_csv import CaptionFile, CaptionRow, read_captions
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base
from zsprompt.data.datasets.image_index import ImageIndex
from zsprompt.data.image_lists.places import with_slashes
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

NUMBERS = tuple(n for n in range(1, 20) if n != 12)
"""The 18 label numbers."""

NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse",
)  # fmt: skip
"""Their meaning, by inference: COCO's category ids also lack 12, and the source uses COCO's data."""

VALIDATION = 2000
"""Rows at the end of train.csv that the source uses for validation; the 28,000 before them are for training."""

_FILE = "train.csv"
_BAD_NAMED = 5


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Captioned images with 18 labels (coco-captions-clip); splits val (default, the last 2,000 rows), train, all.

    Captions may contain quotes, commas and line breaks. Unreadable rows are excluded before the split is taken; the
    notes count and name them.

    Args:
        root: a folder with train.csv (ImageID, Labels as numbers separated by spaces, Caption) and its images in
            data/, images/ or next to it; or a CSV file of another name.
        split: "val", "train" or "all".
        names: "readable" ("person") or "raw" ("1").

    Raises:
        DataError: the file is missing, has no labels, an unknown label number, or no row for the split.
        UnknownName: there is no such split.
    """
    split = split or "val"
    if split not in ("all", "train", "val"):
        raise UnknownName("split of captions-csv", split, ["all", "train", "val"])
    path = root if root.is_file() else find_base(root, _FILE, ("captions-csv",), lambda base: (base / _FILE).is_file())
    path = path if path.is_file() else path / _FILE
    file = read_captions(path)
    rows = _part(file.rows, split)
    if not rows:
        raise DataError(f"expected more than {VALIDATION:,} rows in {path} for split train, found {len(file.rows):,}")
    index = ImageIndex.below(path.parent, ("data", "images"))
    images = [ImageFile(image, index.path(image)) for image in (with_slashes(row.image) for row in rows)]
    labels = NAMES if names == "readable" else tuple(map(str, NUMBERS))
    captions = tuple(row.caption for row in rows)
    targets, notes = _targets(path, rows), _notes(path, file)
    return Dataset("captions-csv", labels, images, targets, split=split, names=names, captions=captions, notes=notes)


def _part(rows: Sequence[CaptionRow], split: str) -> Sequence[CaptionRow]:
    return {"all": rows, "train": rows[:-VALIDATION], "val": rows[-VALIDATION:]}[split]


def _targets(path: Path, rows: Sequence[CaptionRow]) -> Targets:
    column = {number: c for c, number in enumerate(NUMBERS)}
    targets = np.zeros((len(rows), len(NUMBERS)), dtype=np.int8)
    for n, row in enumerate(rows):
        if row.labels is None:
            raise DataError(f"expected a label column in {path}, found none; without labels, use `zsprompt predict`")
        for number in row.labels:
            if number not in column:
                raise DataError(f"{path}, line {row.line}: expected a label from 1 to 19 except 12, found {number}")
            targets[n, column[number]] = 1
    return targets


def _notes(path: Path, file: CaptionFile) -> tuple[str, ...]:
    if not file.bad:
        return ()
    named = "; ".join(f"line {line}: {reason}" for line, reason in file.bad[:_BAD_NAMED])
    rest = f"; and {len(file.bad) - _BAD_NAMED:,} more" if len(file.bad) > _BAD_NAMED else ""
    return (f"{len(file.bad):,} rows of {path.name} cannot be read and are excluded ({named}{rest})",)
