"""Reading small text files, and JSON as text. `outputs` writes files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

_LARGEST_TEXT = 2**24

_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
"""First bytes of a file, and the encoding that they name. A longer mark comes before one that it begins with."""


def read_text(path: Path) -> str:
    """Text of a small UTF-8 file, without a byte-order mark.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8, or larger than 16 MB. The limit also stops at devices that never end.
    """
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(_LARGEST_TEXT + 1)
    if len(text) > _LARGEST_TEXT:
        raise ValueError("more than 16 MB")
    if "\0" in text:  # every second byte of English in UTF-16; no text has one
        raise ValueError(other_encoding(path, "a zero byte", "UTF-16LE"))
    return text


def read_fault(path: Path, error: Exception) -> str:
    """Why `path` could not be read as text, for a message: no error numbers, no names of codecs.

    A file in another encoding is named with its likely encoding and the command that converts it.
    """
    if isinstance(error, UnicodeDecodeError):
        return other_encoding(path, f"byte 0x{error.object[error.start]:02x}", _marked(path) or "WINDOWS-1252")
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def unreadable(path: Path, error: Exception) -> str:
    """A message that `path` could not be read, with the line of a byte that is not UTF-8. See read_fault."""
    line = _first_bad_line(path) if isinstance(error, UnicodeDecodeError) else None
    return (
        f"{path}, line {line}: {read_fault(path, error)}" if line else f"cannot read {path}: {read_fault(path, error)}"
    )


def other_encoding(path: Path, found: str, encoding: str) -> str:
    """What is wrong with a text file in another encoding, and the command that converts it."""
    named = "Latin-1 (Windows-1252)" if encoding == "WINDOWS-1252" else encoding[:6]
    convert = f"iconv -f {encoding} -t UTF-8 {path.name} > new-{path.name}"
    return f"expected UTF-8, found {found}, as in {named}; save it as UTF-8, or convert it: {convert}"


def _marked(path: Path) -> str | None:
    """The encoding that the first bytes of a file name; None if they name none."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        first = file.read(4)
        return next((encoding for mark, encoding in _MARKS if first.startswith(mark)), None)
    return None


def _first_bad_line(path: Path) -> int | None:
    """The number of the first line that is not UTF-8; None if the file cannot be read again."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None


def to_json(value: dict[str, Any]) -> str:
    """`value` as strict, indented JSON in ASCII."""
    return json.dumps(value, indent=2, allow_nan=False)
