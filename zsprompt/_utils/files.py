"""Reading small text files, and JSON as text. `outputs` writes files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_LARGEST_TEXT = 2**24


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
    return text


def to_json(value: dict[str, Any]) -> str:
    """`value` as strict, indented JSON in ASCII."""
    return json.dumps(value, indent=2, allow_nan=False)
