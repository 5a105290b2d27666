"""Locating the files of a data set below the folder that the user passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zsprompt._utils.files import read_fault
from zsprompt.errors import DataError


def find_base(root: Path, expected: str, folders: Sequence[str], holds: Callable[[Path], bool]) -> Path:
    """The first folder that `holds` the data set: `root`, or one of `folders` in it.

    Args:
        root: folder that the user passed.
        expected: files that must be there, for the message.
        folders: usual names of the data set's folder.
        holds: whether a folder is the right one.

    Raises:
        DataError: none of the folders is the right one.
    """
    try:
        if not root.is_dir():
            raise DataError(f"expected {expected} in {root}, found {'a file' if root.exists() else 'no such folder'}")
        base = next((base for base in (root, *(root / name for name in folders)) if holds(base)), None)
        if base is None:
            content = listed(sorted(path.name for path in root.iterdir()))
            raise DataError(f"expected {expected} in {root}, found {content}; pass the right folder with --root DIR")
    except (OSError, ValueError) as error:
        raise DataError(f"expected {expected} in {root}: {read_fault(root, error)}") from None
    return base


def listed(names: Iterable[str]) -> str:
    """The first names, for a message."""
    names = list(names)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
