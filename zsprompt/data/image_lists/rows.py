"""Rows of an image list in any format, read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from zsprompt._utils.files import unreadable
from zsprompt.data.image_lists.columns import ListRow
from zsprompt.data.image_lists.csv_file import read_csv
from zsprompt.data.image_lists.json_file import read_json, read_json_lines
from zsprompt.data.image_lists.parquet_file import read_parquet
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

_Reader = Callable[[Path, bool, Remarks], Iterator[ListRow]]

_READERS: dict[str, _Reader] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".parquet": read_parquet,
}

LIST_SUFFIXES = tuple(_READERS)


def read_rows(path: Path, *, images_only: bool = False, remarks: Remarks | None = None) -> Iterator[ListRow]:
    """Rows of a .csv, .tsv, .jsonl, .json or .parquet file, read one by one in constant memory.

    Files of other names are read as CSV. A caption CSV (ImageID,Labels,Caption) has its own parser, because its
    quotes mislead CSV readers.

    Args:
        path: the list.
        images_only: leave `values` empty; other columns of Parquet files are then not read.
        remarks: receives what was guessed (separator, image column) or left out (row numbers, blank rows).

    Raises:
        DataError: the file is missing, cut short or not UTF-8, lacks a header or rows, or has a row without an image;
            or pyarrow is not installed.
    """
    reader = _READERS.get(path.suffix.lower(), read_csv)
    count = 0
    try:
        for row in reader(path, images_only, Remarks() if remarks is None else remarks):
            count += 1
            if not row.image.strip():
                raise DataError(f"{row.where}: expected the file name of an image, found a blank")
            yield row
    except FileNotFoundError:
        raise DataError(f"expected a list of images at {path}, found none") from None
    except (OSError, ValueError) as error:  # not UTF-8, or the name is not a valid file name
        raise DataError(unreadable(path, error)) from None
    if not count:
        raise DataError(f"expected rows in {path}, found none")
