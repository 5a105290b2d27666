"""Captions of images in a file of their own: a CSV with columns image and caption, or any other image list."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from zsprompt._utils.files import whole_file
from zsprompt.data.image_lists import ListRow, read_rows
from zsprompt.errors import DataError

_COLUMNS = ("caption", "captions")
_NAMED = 10


def read_image_captions(path: Path) -> dict[str, str]:
    """Image id -> its caption on one line, from any list that `rows.read_rows` reads; blank captions are left out.

    Raises:
        DataError: missing, broken, no captions, or two captions for an image.
    """
    captions: dict[str, str] = {}
    columns: dict[str, None] = {}
    for row in read_rows(path):
        columns |= dict.fromkeys(row.values)
        text = _caption(path, row)
        if text and captions.setdefault(row.image, text) != text:
            raise DataError(f"{path}, line {row.line}: expected one caption a picture, found another for {row.image!r}")
    if not captions:
        found = ", ".join(columns)[:120] or "none besides the pictures"
        raise DataError(f"expected captions in a column 'caption' of {path}, found columns {found}")
    return captions


def captions_for(images: Sequence[str], path: Path) -> tuple[str, ...]:
    """The N captions of the images with these ids, from the file at `path`; it may hold others.

    Raises:
        DataError: images have no caption there; they are counted and the first ones named. See also
            `read_image_captions`.
    """
    captions = read_image_captions(path)
    found = [captions.get(image.strip()) for image in images]  # cells are read without blanks around them
    missing = [image for image, caption in zip(images, found, strict=True) if caption is None]
    if missing:
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise DataError(
            f"expected a caption in {path} for each of {len(images):,} pictures, found none for {len(missing):,} "
            f"({', '.join(missing[:_NAMED])}{more}); `zsprompt describe` with the same pictures writes such a file"
        )
    return tuple(caption for caption in found if caption is not None)


def save_image_captions(captions: Mapping[str, str], path: Path) -> None:
    """Write a CSV with columns image and caption, which `read_image_captions` reads.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as file:
        file.write("image,caption\n")
        # all in quotes: before Python 3.13 a carriage return in a name would end the row without them
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(captions.items())


def _caption(path: Path, row: ListRow) -> str:
    """On one line; empty where there is none."""
    value = next((row.values[name] for name in row.values if name.lower() in _COLUMNS), None)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{path}, line {row.line}: expected a caption, found {str(value)[:60]!r}")
    return " ".join((value or "").split())
