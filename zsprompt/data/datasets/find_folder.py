"""Where the files of a data set lie below the folder that the reader names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zsprompt.errors import DataError


def find_base(root: Path, expected: str, folders: Sequence[str], holds: Callable[[Path], bool]) -> Path:
    """`root`, or one of `folders` in it, whichever `holds` the data set first.

    Args:
        root: what was given.
        expected: what must be there, for the message.
        folders: names that such a data set's folder often has.
        holds: whether a folder is the right one.

    Raises:
        DataError: none of them is.
    """
    try:
        if not root.is_dir():
            raise DataError(f"expected {expected} in {root}, found {'a file' if root.exists() else 'no such folder'}")
        base = next((base for base in (root, *(root / name for name in folders)) if holds(base)), None)
        if base is None:
            there = found_there(sorted(path.name for path in root.iterdir()))
            raise DataError(f"expected {expected} in {root}, found {there}; say where it is with --root DIR")
    except (OSError, ValueError) as error:
        raise DataError(f"expected {expected} in {root}: {error}") from None
    return base


def found_there(names: Iterable[str]) -> str:
    """A few names for a message."""
    names = list(names)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
