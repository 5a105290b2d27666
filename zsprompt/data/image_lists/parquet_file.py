"""Rows of a Parquet file; images may be file names, or bytes inside the file as Hugging Face datasets writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zsprompt.data.image_lists.columns import ListRow, image_column, remark_image_column
from zsprompt.data.images import ImageRef, file_facts
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, ImageError

_ROWS = 4096
_TEXTS = ("string", "large_string", "string_view")
_GROUPS = 2  # row groups with images that are kept in memory


@dataclass(frozen=True)
class ParquetImage:
    """An image inside a Parquet file; an ImageRef.

    Attributes:
        id: name in messages and result files.
        file: the Parquet file.
        column: name of the column of images.
        group: number of its row group.
        row: number of the row in this group.
    """

    id: str
    file: Path
    column: str
    group: int
    row: int

    def read(self) -> bytes:
        """Read the image.

        Raises:
            ImageError: it has no bytes, or the file has been removed or damaged.
        """
        facts = file_facts(self.file)
        if facts is None:
            raise ImageError(f"{self.file.name}: no such file")
        images = _group_images(self.file, facts, self.column, self.group)
        data = images[self.row] if self.row < len(images) else None
        if not data:
            raise ImageError("no bytes in the Parquet file; embed the images, or list file names")
        return data

    def identity(self, *, settled: bool = False) -> bytes | None:
        """Size, times, inode and path of the file, and the position in it; see ImageRef."""
        facts = file_facts(self.file, settled=settled)
        return facts and f"parquet {self.column} {self.group} {self.row} ".encode() + facts


@lru_cache(maxsize=_GROUPS)
def _group_images(path: Path, facts: bytes, column: str, group: int) -> Sequence[bytes | None]:
    """The bytes of all images of a row group; neighbours are read next."""
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            values = file.read_row_group(group, columns=[column]).column(0).to_pylist()
    except (arrow.ArrowException, OSError, IndexError) as error:
        raise ImageError(f"{path.name}: {' '.join(str(error).split())[:120]}") from None
    return [value and value["bytes"] for value in values]


def read_parquet(path: Path, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    """Rows of a Parquet file with a column of file names, or of bytes and paths."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"expected pyarrow to read {path}, found it missing: pip install 'zsprompt[parquet]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            yield from _rows(path, file, images_only, remarks)
    except FileNotFoundError:
        raise
    except (arrow.ArrowException, OSError) as error:  # damaged inner parts also raise OSError
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: expected a Parquet file, found a damaged or different file ({reason})") from None


def _rows(path: Path, file: Any, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    names = list(file.schema_arrow.names)
    column, inside = _image_column(path, names, file.schema_arrow, remarks)
    image = names[column]
    labels = {} if images_only else _class_names(file.schema_arrow)
    others = [] if images_only else _plain_columns(path, file.schema_arrow, image, remarks)
    wanted = [f"{image}.path" if inside else image, *others]
    number = 0
    for group in range(file.metadata.num_row_groups):
        start = number
        for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=wanted):
            for value in batch.to_pylist():
                name = value.pop(image)
                values = {key: _translated(cell, labels.get(key)) for key, cell in value.items()}
                number += 1
                if inside:
                    text = (name or {}).get("path") or f"{path.stem}-{number:06}"
                    ref: ImageRef | None = ParquetImage(text, path, image, group, number - 1 - start)
                    yield ListRow(path, number, text, values, ref)
                else:
                    yield ListRow(path, number, name or "", values)


def _image_column(path: Path, names: Sequence[str], schema: Any, remarks: Remarks) -> tuple[int, bool]:
    """Position of the image column, and whether it holds the images themselves."""
    column, _ = image_column(names, [[] for _ in names])
    if column is None:  # the only column of images under another name
        inside = [c for c, field in enumerate(schema) if _has_bytes(field)]
        column = inside[0] if len(inside) == 1 else None
        if column is not None:
            remark_image_column(remarks, path, names, column)
    if column is not None and str(schema.field(column).type) in _TEXTS:
        return column, False
    if column is not None and _has_bytes(schema.field(column)):
        return column, True
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)[:120]
    raise DataError(f"{path}: expected a column 'image' of file names (string), found {columns}")


def _has_bytes(field: Any) -> bool:
    """Whether a column holds images as Hugging Face datasets writes them: struct<bytes, path>."""
    from pyarrow import types

    return types.is_struct(field.type) and {part.name for part in field.type} == {"bytes", "path"}


def _plain_columns(path: Path, schema: Any, image: str, remarks: Remarks) -> list[str]:
    """The columns that may hold labels, a split or a caption: not bytes and not structs."""
    from pyarrow import types

    def plain(kind: Any) -> bool:
        return not (types.is_binary(kind) or types.is_large_binary(kind) or types.is_struct(kind))

    others = [field for field in schema if field.name != image]
    for field in others:
        if not plain(field.type):
            remarks.add("ignored-column", f"{field.name!r} of {path.name}")
    return [field.name for field in others if plain(field.type)]


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Column -> the names of its numbers, from the description that Hugging Face datasets writes into the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        named = {key: _names_of_feature(feature) for key, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {key: names for key, names in named.items() if names}


def _names_of_feature(feature: object) -> list[str]:
    if isinstance(feature, list):  # older versions write a list of one
        return _names_of_feature(feature[0]) if feature else []
    if not isinstance(feature, Mapping):
        return []
    if feature.get("_type") == "ClassLabel":
        return [str(name) for name in feature.get("names") or ()]
    return _names_of_feature(feature.get("feature"))


def _translated(cell: Any, names: Sequence[str] | None) -> Any:
    """A cell of class numbers as a list of names; −1 is "no label". A number without a name stays, to be refused."""
    if names is None or cell is None:
        return cell
    numbers = cell if isinstance(cell, list) else [cell]
    return [names[number] if 0 <= number < len(names) else number for number in numbers if number != -1]
