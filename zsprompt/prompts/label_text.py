"""Label lists as people write them: "dog, cat" on a command line, or a file with one label per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zsprompt._utils.files import read_text
from zsprompt.errors import LabelError, UsageError

FILE_MARK = "@"


def read_labels(text: str) -> tuple[str, ...]:
    """The labels of "dog, cat", or of "@words.txt", a text file with one label per line.

    Blank lines at the end of a file are dropped; one in the middle stays, because it is more likely a mistake.

    Raises:
        LabelError: the file cannot be read.
    """
    if not text.startswith(FILE_MARK):
        return tuple(label.strip() for label in text.split(","))
    path = Path(text.removeprefix(FILE_MARK))
    try:
        lines = read_text(path).split("\n")  # not splitlines, which also splits at rarer characters
    except (OSError, ValueError) as error:
        raise LabelError(f"cannot read labels file {path}: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(line.strip() for line in lines)


def choose_labels(known: Sequence[str], labels: Sequence[str] | None, without: Sequence[str] = ()) -> tuple[str, ...]:
    """The labels of a data set to ask about: `labels`, or all but `without`, or all.

    Args:
        known: the data set's labels.
        labels: those to keep, in this order; all where None.
        without: those to leave out.

    Raises:
        UsageError: both are given, or a label to leave out that the data set does not have.
    """
    if labels is not None and without:
        raise UsageError("expected either labels or without, found both")
    if unknown := [label for label in without if label not in known]:
        raise UsageError(f"expected labels of the data set in without, found {unknown[0]!r}")
    return tuple(label for label in known if label not in without) if labels is None else tuple(labels)
