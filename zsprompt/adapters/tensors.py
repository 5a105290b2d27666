"""Arrays in safetensors files with a JSON header: atomic writes, checked reads, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.file_kinds import MARK, ArraysKind
from zsprompt._utils.files import read_fault
from zsprompt._utils.outputs import whole_path
from zsprompt.errors import AdapterError

_CHECKSUM = "checksum"


def write_arrays(
    path: Path,
    kind: ArraysKind,
    arrays: Mapping[str, NDArray[Any]],
    facts: Mapping[str, Any],
    *,
    force: bool = False,
) -> None:
    """Write arrays and facts, with the format of their kind. Raises OutputError, see `whole_path`."""
    from safetensors.numpy import save_file

    copies = {name: np.array(value, order="C") for name, value in arrays.items()}  # ascontiguousarray adds a dimension
    # one text for checksum and facts: the library writes several texts in an order that changes between runs
    facts = {"format": kind.format, **facts}
    header = {MARK: json.dumps({_CHECKSUM: _checksum(copies, facts), **facts})}
    with whole_path(path, kind, force=force) as half:
        try:
            save_file(copies, half, header)
        except Exception as error:  # the library wraps errors of the disk in its own class
            raise OSError(None, " ".join(str(error).split())) from None


def read_arrays(path: Path, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and facts of a file.

    Args:
        path: the file.
        kind: the kind of file that the facts must name ("adapter").

    Raises:
        AdapterError: the file is missing, of another kind, truncated, or changed since it was written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise AdapterError(f"expected {_an(kind)} at {path}, found {'a folder' if path.is_dir() else 'nothing'}")
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get(MARK, "null"))
            if not isinstance(facts, dict) or facts.get("format") != f"zsprompt {kind}":
                raise AdapterError(
                    f"expected {_an(kind)} in {path}, found a safetensors file of another kind; "
                    "`zsprompt train` writes one"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is not a dict
            if facts.pop(_CHECKSUM, None) != _checksum(arrays, facts):
                raise ValueError("its checksum differs")
            return arrays, facts
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(read_fault(path, error).split())[:160] or type(error).__name__
        raise AdapterError(
            f"expected {_an(kind)} in {path}, found another or damaged file ({reason}); "
            "train it again, or copy it again"
        ) from None


def _checksum(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> str:
    """A checksum of everything that was written. Without it, a weight with a flipped bit would go unnoticed."""
    checksum = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
    for name in sorted(arrays):
        value = arrays[name]
        checksum.update(f"{name}\0{value.dtype.str}{value.shape}".encode() + value.tobytes())
    return checksum.hexdigest()


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
