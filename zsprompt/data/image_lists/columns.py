"""Rows of an image list, and which of its columns holds the images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from zsprompt.data.images import SUFFIXES, ImageRef
from zsprompt.data.remarks import Remarks

IMAGE_COLUMNS = (
    *("image path file filename file_name filepath image_path image_name imageid image_id".split()),
    *("img img_path img_name image_file imagepath imagename image_filename image_url photo picture".split()),
)
"""Names, in lower case, of the image column; the first of them that is in the list is taken."""

CAPTION, SPLIT, ANNOTATION = "caption", "split", "annotation_id"

OTHER_COLUMNS = frozenset(
    (
        "id index level_0 annotator annotation_id completed_by created_at updated_at lead_time was_cancelled "
        "ground_truth width height image_width image_height license date_captured"
    ).split()
)
"""Names, in lower case, of columns that tools add, such as Label Studio and pandas. They are never labels."""

_UNNAMED = re.compile(r"(Unnamed: \d+(\.\d+)*)?")  # pandas' index, as it is written and as it is read again
_WHOLE = re.compile(r"-?\d+(\.0+)?")


@dataclass(frozen=True)
class ListRow:
    """One row of an image list.

    Attributes:
        file: the list.
        line: number of the line in the file, from 1; in Parquet and JSON arrays, number of the row or item.
        image: file name of the image, as written in the list.
        values: the other columns.
        ref: the image itself, if the list contains it (Parquet with bytes).
        unit: what `line` counts.
    """

    file: Path
    line: int
    image: str
    values: Mapping[str, Any]
    ref: ImageRef | None = None
    unit: str = "line"

    @property
    def where(self) -> str:
        """File and line, for a message."""
        return f"{self.file}, {self.unit} {self.line}"

    @property
    def place(self) -> str:
        """Name of the file, and line."""
        return f"{self.file.name}, {self.unit} {self.line}"


def looks_like_image(value: object) -> bool:
    """Whether a cell is a text that ends in the suffix of an image."""
    if not isinstance(value, str):
        return False
    name = value.strip().partition("?")[0].replace("\\", "/")
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def is_row_number(name: str, cells: Sequence[str]) -> bool:
    """Whether a column has no name, or pandas' name for none, and whole numbers only."""
    return bool(_UNNAMED.fullmatch(name)) and bool(cells) and all(_WHOLE.fullmatch(cell.strip()) for cell in cells)


def image_column(names: Sequence[str], columns: Sequence[Sequence[object]]) -> tuple[int | None, bool]:
    """Position of the image column, or None, and whether its name leaves no doubt.

    A column of another name is taken if its cells look like images, and no cells of the named one do.

    Args:
        names: names of the columns.
        columns: the first cells of each column.
    """
    lower = [name.strip().lower() for name in names]
    named = [lower.index(name) for name in IMAGE_COLUMNS if name in lower]
    pictured = [c for c, cells in enumerate(columns) if any(map(looks_like_image, cells))]
    for c in named:
        if c in pictured:
            return c, True
    if named and not pictured:
        return named[0], True
    return (pictured[0], False) if pictured else (None, False)


def remark_image_column(remarks: Remarks, path: Path, names: Sequence[str], column: int) -> None:
    """Note the column that was taken for the images."""
    remarks.add("image-column", f"{names[column]!r} (column {column + 1} of {path.name})")
