"""Image lists in CSV, JSON lines and Parquet, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsprompt._utils.files import unreadable
from zsprompt.data.caption_csv import is_caption_header, read_captions
from zsprompt.data.images import SUFFIXES
from zsprompt.errors import DataError

LIST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

IMAGE_COLUMNS = tuple("image path file filename file_name filepath image_path image_name imageid image_id".split())
"""Names, in lower case, of the image column. A CSV with none of them has its images in the first column."""

IMAGE_FOLDERS = ("", "data", "images")
"""Folders next to a list that may contain its images; the first image decides."""

_LONGEST_LINE = 2**24
_PARQUET_ROWS = 4096


@dataclass(frozen=True)
class ListRow:
    """One row of an image list.

    Attributes:
        line: line number in the file, from 1; in Parquet, the row number.
        image: file name of the image, as written in the list.
        values: the other columns.
    """

    line: int
    image: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class CsvLayout:
    """Format of a CSV file.

    Attributes:
        separators: possible separators of cells; the most frequent one in the first line is used.
        image_first: the first column holds the images whatever its name, and caption CSVs get no special treatment.
    """

    separators: str = ",;\t"
    image_first: bool = False


def read_rows(path: Path, *, images_only: bool = False, layout: CsvLayout | None = None) -> Iterator[ListRow]:
    """Rows of a .csv, .tsv, .jsonl or .parquet file, read one by one in constant memory.

    A caption CSV (ImageID,Labels,Caption) has its own parser, because its quotes mislead CSV readers.

    Args:
        path: the list.
        images_only: leave `values` empty; other columns of Parquet files are then not read.
        layout: read the file as a CSV of this layout, whatever its name.

    Raises:
        DataError: the file is missing, cut short or not UTF-8, lacks a header or rows, or has a row without an image;
            or pyarrow is not installed.
    """
    count = 0
    try:
        for row in _rows(path, images_only, layout):
            count += 1
            if not row.image.strip():
                raise DataError(f"{path}, line {row.line}: expected the file name of an image, found a blank")
            yield row
    except FileNotFoundError:
        raise DataError(f"expected a list of images at {path}, found none") from None
    except (OSError, ValueError) as error:  # not UTF-8, or the name is not a valid file name
        raise DataError(unreadable(path, error)) from None
    if not count:
        raise DataError(f"expected rows in {path}, found none")


def image_folder(path: Path, first: str) -> Path:
    """The folder to which file names in the list `path` are relative. The location of the image `first` decides."""
    folders = [path.parent / name for name in IMAGE_FOLDERS]
    return next((folder for folder in folders if _is_file(folder / first)), path.parent)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _rows(path: Path, images_only: bool, layout: CsvLayout | None) -> Iterator[ListRow]:
    suffix = path.suffix.lower()
    if layout is None and suffix == ".parquet":
        return _read_parquet(path, images_only)
    if layout is None and suffix in (".jsonl", ".ndjson"):
        return _read_json_lines(path, images_only)
    return _read_csv(path, images_only, layout or CsvLayout())


def _read_csv(path: Path, images_only: bool, layout: CsvLayout) -> Iterator[ListRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(_LONGEST_LINE)
        if not layout.image_first and is_caption_header(first):
            yield from _read_caption_csv(path)
            return
        file.seek(0)
        separator = max(layout.separators, key=first.count)
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            header = [cell.strip() for cell in next(filter(None, reader), [])]
            column = _first_column(path, header, separator) if layout.image_first else _image_column(path, header)
            for cells in reader:
                if cells:
                    yield _csv_row(path, reader.line_num, header, cells, column, images_only)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {reader.line_num}: expected cells separated by {separator!r}, found {error}"
            ) from None


def _csv_row(
    path: Path, line: int, header: Sequence[str], cells: Sequence[str], column: int, images_only: bool
) -> ListRow:
    if len(cells) != len(header):
        raise DataError(f"{path}, line {line}: expected {len(header)} columns, found {len(cells)}")
    others = {} if images_only else {name: cells[c].strip() for c, name in enumerate(header) if c != column}
    return ListRow(line, cells[column].strip(), others)


def _image_column(path: Path, header: Sequence[str]) -> int:
    column = _named(header) or 0
    if not header or not header[column]:
        raise DataError(f"{path}, line 1: expected a header with a column 'image', found a blank line or nothing")
    if Path(header[0]).suffix.lower() in SUFFIXES:
        raise DataError(f"{path}, line 1: expected a header with a column 'image', found an image: {header[0]!r}")
    _check_columns(path, header)
    return column


def _first_column(path: Path, header: Sequence[str], separator: str) -> int:
    if len(header) < 2:
        columns = header or "a blank line or nothing"
        raise DataError(
            f"{path}, line 1: expected an image column and at least one more column, separated by {separator!r}, "
            f"found {columns}"
        )
    _check_columns(path, header[1:])
    return 0


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    repeated = next((name for n, name in enumerate(columns) if name in columns[:n]), None)
    if repeated is not None:
        raise DataError(f"{path}, line 1: expected each column once, found {repeated!r} again")


def _named(names: Sequence[str]) -> int | None:
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in IMAGE_COLUMNS if name in lower), None)


def _read_caption_csv(path: Path) -> Iterator[ListRow]:
    file = read_captions(path)
    if file.bad:
        line, reason = file.bad[0]
        raise DataError(f"{path}, line {line}: {reason} ({len(file.bad):,} such rows); fix them first")
    for row in file.rows:
        yield ListRow(row.line, row.image, {"labels": list(map(str, row.labels or ())), "caption": row.caption})


def _read_json_lines(path: Path, images_only: bool) -> Iterator[ListRow]:
    with path.open(encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if line.strip():
                yield _json_row(path, number, line, images_only)


def _json_row(path: Path, number: int, line: str, images_only: bool) -> ListRow:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}, line {number}: expected a JSON object, found {line.strip()[:40]!r} ({error})"
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, found {line.strip()[:40]!r}")
    column = _named(list(value))
    image = None if column is None else value.pop(list(value)[column])
    if not isinstance(image, str):
        raise DataError(f'{path}, line {number}: expected a file name under "image", found {line[:60]!r}')
    return ListRow(number, image, {} if images_only else value)


def _read_parquet(path: Path, images_only: bool) -> Iterator[ListRow]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"expected pyarrow to read {path}, found it missing: pip install 'zsprompt[parquet]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            column = _parquet_column(path, names, file.schema_arrow)
            wanted = [names[column]] if images_only else names
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=wanted):
                for value in batch.to_pylist():
                    number += 1
                    yield ListRow(number, value.pop(names[column]) or "", value)
    except FileNotFoundError:
        raise
    except (arrow.ArrowException, OSError) as error:  # damaged inner parts also raise OSError
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: expected a Parquet file, found a damaged or different file ({reason})") from None


def _parquet_column(path: Path, names: Sequence[str], schema: Any) -> int:
    column = _named(names)
    kinds = ("string", "large_string", "string_view")
    if column is None or str(schema.field(column).type) not in kinds:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)[:120]
        raise DataError(f"{path}: expected a column 'image' of file names (string), found {columns}")
    return column
