"""Cells of label lists: flags, and names in the spellings of spreadsheets, pandas and Label Studio."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt.data.image_lists.columns import ListRow
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

SEPARATORS = "|;,"
"""Separators of names in one cell; the first that occurs anywhere in the column is used."""

_PRESENT = "1 true t yes y x ✓ ✔ wahr ja vrai oui verdadero sí si vero sì verdadeiro sim waar"
_ABSENT = "0 false f no n falsch nein faux non falso não onwaar nee"
_WORDS = {"-1": -1} | dict.fromkeys(_PRESENT.split(), 1) | dict.fromkeys(_ABSENT.split(), 0)
_FAST: Mapping[Any, int] = {1: 1, 0: 0, -1: -1, "1": 1, "0": 0, "-1": -1}  # nearly all cells
_NUMBER = re.compile(r"(-?[01])[.,]0+")  # a comma is the decimal point of many countries

_LABEL_KEYS = (
    *("choices labels rectanglelabels polygonlabels ellipselabels keypointlabels brushlabels".split()),
    *("bitmasklabels hypertextlabels taxonomy".split()),
)
"""Keys of Label Studio's values that hold label names."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.S)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def flag(value: object) -> int | None:
    """1 present, 0 absent, −1 left out, or None: from numbers, booleans, and words such as yes, x and WAHR."""
    if isinstance(value, list | dict):
        return None
    if value in _FAST:
        return _FAST[value]
    if not isinstance(value, str):
        return None
    text = value.strip().casefold()
    number = _NUMBER.fullmatch(text)
    return _WORDS.get(number[1] if number else text)


def flag_targets(
    path: Path, rows: Sequence[ListRow], labels: Sequence[str], remarks: Remarks | None = None
) -> tuple[tuple[str, ...], Targets]:
    """The labels, and their [N, C] int8 flags of 1, 0 or −1 from the columns of the same names.

    Blank cells of a CSV are absent labels if no cell of the table says absent, as in lists ticked with "x".

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
    blanks: dict[Any, int] | None = None
    for c, label in enumerate(labels):
        cells = [row.values.get(label) for row in rows]
        try:
            targets[:, c] = [_FAST[cell] for cell in cells]
        except (KeyError, TypeError):  # another spelling, or an unhashable value
            if blanks is None:
                blanks = {"": 0} if _only_ticks(rows, labels) else {}
            targets[:, c] = _states(rows, label, cells, blanks)
            if blanks and remarks is not None and (count := cells.count("")):
                places = (f"{row.place}, {label!r}" for row, cell in zip(rows, cells, strict=True) if cell == "")
                remarks.add_many("blank-flag", count, places)
    return tuple(labels), targets


def _only_ticks(rows: Sequence[ListRow], labels: Sequence[str]) -> bool:
    """Whether no cell of the table says that a label is absent or left out."""
    return not any(flag(cell) in (0, -1) for label in labels for cell in _distinct([r.values.get(label) for r in rows]))


def _distinct(cells: Sequence[Any]) -> Iterable[Any]:
    try:
        return set(cells)
    except TypeError:  # lists or objects
        return cells


def _states(rows: Sequence[ListRow], label: str, cells: Sequence[Any], blanks: Mapping[Any, int]) -> list[int]:
    """The flags of a column. Each spelling is looked at once."""
    known: dict[Any, int] = {**_FAST, **blanks}
    states = []
    for row, cell in zip(rows, cells, strict=True):
        try:
            states.append(known[cell])
        except (KeyError, TypeError):  # another spelling, or an unhashable value
            known[cell] = _state(row, label, cell, cells)
            states.append(known[cell])
    return states


def _state(row: ListRow, label: str, cell: object, column: Sequence[Any]) -> int:
    state = flag(cell)
    if state is None:
        none = all(flag(other) is None for other in column)  # not one wrong cell, but a column of something else
        remedy = "; remove the column, or name the column of labels 'labels'" if none else ""
        raise DataError(f"{row.where}: expected 1, 0 or -1 (left out) for {label!r}, found {cell!r}{remedy}")
    return state


def name_targets(
    path: Path, rows: Sequence[ListRow], column: str, remarks: Remarks | None = None
) -> tuple[tuple[str, ...], Targets, dict[str, str]]:
    """The sorted labels, their [N, C] int8 targets, and where each was first met, from a column of label names.

    Raises:
        DataError: a cell is not a list of names, or there are no names.
    """
    column_names = _Column.of([row.values.get(column) for row in rows])
    if column_names.separator not in ("", SEPARATORS[0]) and remarks is not None:
        remarks.add("name-separator", f"{column_names.separator!r} under {column!r} of {path.name}")
    present = []
    places: dict[str, str] = {}
    for row in rows:
        names = column_names.names(row.values.get(column))
        if names is None:
            raise DataError(f"{row.where}: expected label names, found {str(row.values.get(column))[:60]!r}")
        present.append(names)
        for name in names:
            places.setdefault(name, row.place)
    labels = tuple(sorted(places))
    if not labels:
        raise DataError(f"expected label names under {column!r} in {path}, found none")
    columns = {label: c for c, label in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for n, names in enumerate(present):
        targets[n, [columns[label] for label in names]] = 1
    return labels, targets, places


@dataclass(frozen=True)
class _Column:
    """How the cells of a column of names are written.

    Attributes:
        separator: between names in plain cells; "" if no plain cell has one.
        bracketed: whether every plain cell is in brackets, as in [dog, cat].
    """

    separator: str
    bracketed: bool

    @classmethod
    def of(cls, cells: Sequence[object]) -> _Column:
        plain = [
            cell.strip() for cell in cells if isinstance(cell, str) and cell.strip() and named_labels(cell) is None
        ]
        bracketed = bool(plain) and all(_in_brackets(cell) for cell in plain)
        return cls(next((mark for mark in SEPARATORS if any(mark in cell for cell in plain)), ""), bracketed)

    def names(self, cell: object) -> list[str] | None:
        """The distinct names of a cell, or None if it holds something else."""
        names = named_labels(cell)
        if names is None and isinstance(cell, str):
            text = cell.strip()
            text = text[1:-1] if self.bracketed and text else text
            names = text.split(self.separator) if self.separator else [text]
        if names is None:
            return None
        return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def named_labels(value: Any) -> list[str] | None:
    """The names of a list, or of a text or object that is one in JSON, Python, or Label Studio; None for others.

    Blanks and None are no names.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return _written_list(value.strip())
    if isinstance(value, Mapping):
        parts = [named_labels(value[key]) for key in _LABEL_KEYS if key in value]
        return _joined(parts) if parts else None
    if isinstance(value, list | tuple):
        return _joined([[part] if isinstance(part, str) else named_labels(part) for part in value if part is not None])
    return None


def _joined(parts: Sequence[list[str] | None]) -> list[str] | None:
    names = [name for part in parts if part is not None for name in part]
    return None if any(part is None for part in parts) else names


def _in_brackets(text: str) -> bool:
    return len(text) > 1 and _BRACKETS.get(text[0]) == text[-1]


def _written_list(text: str) -> list[str] | None:
    """The names of a list that is written out: JSON, or quoted names in brackets as Python and numpy write them."""
    if not _in_brackets(text):
        return None if text else []
    try:
        return named_labels(json.loads(text))
    except (ValueError, RecursionError):
        pass
    inside = text[1:-1]
    if _QUOTED.sub("", inside).strip(" ,\n"):
        return None
    try:
        return [ast.literal_eval(name) for name in _QUOTED.findall(inside)]
    except (ValueError, SyntaxError):
        return None
