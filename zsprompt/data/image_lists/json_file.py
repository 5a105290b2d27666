"""Rows of JSON lines, of a JSON array of objects, and of Label Studio's exports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zsprompt.data.datasets.json_stream import read_arrays, read_items
from zsprompt.data.image_lists.cells import named_labels
from zsprompt.data.image_lists.columns import (
    ANNOTATION,
    ListRow,
    image_column,
    remark_image_column,
)
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

_LONGEST_LINE = 2**24
_START = 2**12
_COCO = {"images", "annotations", "categories"}


def read_json(path: Path, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    """Rows of a .json file: an array of objects, Label Studio's tasks, or JSON lines under this name."""
    with path.open(encoding="utf-8-sig") as file:
        start = file.read(_START).lstrip()
    if start.startswith("["):
        yield from _read_array(path, images_only, remarks)
        return
    if "\n" in start and _is_object(start) and next(read_arrays(path, _COCO), None):
        raise _coco(path)
    yield from read_json_lines(path, images_only, remarks)


def _is_object(start: str) -> bool:
    """Whether the text begins with an object that goes on after the first line, as no JSON line does."""
    try:
        json.loads(start.partition("\n")[0])
    except (ValueError, RecursionError):
        return start.startswith("{")
    return False


def _coco(path: Path) -> DataError:
    return DataError(f"{path}: expected rows of images, found a COCO file; use --dataset coco-json")


def read_json_lines(path: Path, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    """Rows of a file with one JSON object per line."""
    guessed: set[str] = set()
    with path.open(encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if line.strip():
                yield _flat_row(path, number, "line", _parsed(path, number, line), images_only, guessed, remarks)


def _parsed(path: Path, number: int, line: str) -> Mapping[str, Any]:
    shown = line.strip()[:40]
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = "; one object per line, or an array of objects, is read" if shown == "{" else ""
        raise DataError(f"{path}, line {number}: expected a JSON object, found {shown!r} ({error}){hint}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, found {shown!r}")
    if _COCO & value.keys() and isinstance(value.get("images"), list):
        raise _coco(path)
    return value


def _read_array(path: Path, images_only: bool, remarks: Remarks) -> Iterator[ListRow]:
    guessed: set[str] = set()
    for number, item in enumerate(_flattened(read_items(path)), 1):
        if not isinstance(item, dict):
            raise DataError(f"{path}, item {number}: expected a JSON object, found {str(item)[:40]!r}")
        if isinstance(item.get("data"), dict) and isinstance(item.get("annotations"), list):
            yield _task_row(path, number, item, images_only, guessed, remarks)
        else:
            yield _flat_row(path, number, "item", item, images_only, guessed, remarks)


def _flattened(items: Iterator[Any]) -> Iterator[Any]:
    """The items; an array in the array, as the converter of Label Studio writes per input file, item by item."""
    for item in items:
        yield from item if isinstance(item, list) else (item,)


def _flat_row(
    path: Path,
    number: int,
    unit: str,
    value: Mapping[str, Any],
    images_only: bool,
    guessed: set[str],
    remarks: Remarks,
) -> ListRow:
    names = list(value)
    column, certain = image_column(names, [[cell] for cell in value.values()])
    image = None if column is None else value[names[column]]
    if not isinstance(image, str):
        shown = json.dumps(value, ensure_ascii=False)[:60]
        raise DataError(f'{path}, {unit} {number}: expected a file name under "image", found {shown}')
    assert column is not None
    if not certain and names[column] not in guessed:
        guessed.add(names[column])
        remark_image_column(remarks, path, names, column)
    others = {} if images_only else {name: cell for name, cell in value.items() if name != names[column]}
    return ListRow(path, number, image, others, unit=unit)


def _task_row(
    path: Path, number: int, task: Mapping[str, Any], images_only: bool, guessed: set[str], remarks: Remarks
) -> ListRow:
    """A task of Label Studio, with the labels of its first annotation that was not cancelled."""
    row = _flat_row(path, number, "item", task["data"], True, guessed, remarks)
    if images_only:
        return row
    done = [one for one in task["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    chosen = next((one for one in done if one.get("ground_truth")), done[0] if done else None)
    for one in done:
        if one is not chosen:
            remarks.add("further-annotation", f"{path.name}, item {number}")
    if chosen is None:
        return ListRow(path, number, row.image, {ANNOTATION: None, "labels": []}, unit="item")
    labels = _result_labels(path, number, chosen.get("result"))
    return ListRow(
        path, number, row.image, {ANNOTATION: str(chosen.get("id", "")) or "-", "labels": labels}, unit="item"
    )


def _result_labels(path: Path, number: int, results: object) -> list[str]:
    """The labels of all regions and choices of an annotation."""
    if not isinstance(results, list):
        raise DataError(f"{path}, item {number}: expected a list under 'result', found {str(results)[:40]!r}")
    values = [one["value"] for one in results if isinstance(one, dict) and isinstance(one.get("value"), dict)]
    return [name for value in values for name in named_labels(value) or []]
