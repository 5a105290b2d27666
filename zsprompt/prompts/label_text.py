"""Label lists on the command line: "dog, cat", or a file with one label per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zsprompt._utils.files import read_fault, read_text
from zsprompt._utils.text import quoted
from zsprompt.errors import LabelError, UsageError

FILE_MARK = "@"


def read_labels(text: str) -> tuple[str, ...]:
    """Labels from "dog, cat", or from "@words.txt", a text file with one label per line.

    Blanks at the end are ignored: a last comma, and blank lines. A blank elsewhere is kept, so that it is reported: it
    may stand for a label that is missing.

    Raises:
        LabelError: the file cannot be read, or there are no labels.
    """
    where = quoted(text)
    if text.startswith(FILE_MARK):
        path = Path(text.removeprefix(FILE_MARK))
        parts, where = _lines(path), str(path)
    else:
        parts = text.split(",")
    while parts and not parts[-1].strip():
        parts.pop()
    if not parts:
        raise LabelError(f'expected labels such as "dog, cat", found none in {where}')
    return tuple(part.strip() for part in parts)


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).split("\n")  # not splitlines, which also splits at rarer characters
    except FileNotFoundError:
        raise LabelError(f"expected a labels file at {path}, found none; write one label per line") from None
    except (OSError, ValueError) as error:
        raise LabelError(f"cannot read labels file {path}: {read_fault(path, error)}") from None


def label_places(text: str) -> dict[str, str]:
    """Label -> file and line, for the labels of "@words.txt"; empty for labels that are given as text."""
    if not text.startswith(FILE_MARK):
        return {}
    name = Path(text.removeprefix(FILE_MARK)).name
    return {label: f"{name}, line {line}" for line, label in reversed(list(enumerate(read_labels(text), 1)))}


def choose_labels(
    available: Sequence[str], labels: Sequence[str] | None, without: Sequence[str] = ()
) -> tuple[str, ...]:
    """The labels to use: `labels`, else all available labels except `without`.

    Args:
        available: labels of the data set.
        labels: labels to keep, in this order; None keeps all.
        without: labels to exclude.

    Raises:
        UsageError: both `labels` and `without` are given, or the data set lacks a label of `without`.
    """
    if labels is not None and without:
        raise UsageError("expected either labels or without, found both")
    if unknown := [label for label in without if label not in available]:
        raise UsageError(f"expected labels of the data set in without, found {unknown[0]!r}")
    return tuple(label for label in available if label not in without) if labels is None else tuple(labels)
