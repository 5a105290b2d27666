"""Arrays in safetensors files with a header of JSON: written whole, read with a name for what is wrong. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.files import whole_path
from zsprompt.errors import AdapterError

_HEADER = "zsprompt"
_CHECKSUM = "checksum"


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write arrays and facts. Raises OutputError."""
    from safetensors.numpy import save_file

    whole = {name: np.array(value, order="C") for name, value in arrays.items()}  # ascontiguousarray adds a dimension
    # in the same text as the facts: the library writes several texts in an order that changes from run to run
    header = {_HEADER: json.dumps({_CHECKSUM: _checksum(whole, facts), **facts})}
    with whole_path(path) as half:
        try:
            save_file(whole, half, header)
        except Exception as error:  # the library wraps what the disk says in a class of its own
            raise OSError(None, " ".join(str(error).split())) from None


def read_arrays(path: Path, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and facts of a file.

    Args:
        path: the file.
        kind: what the facts must call it.

    Raises:
        AdapterError: missing, no such file, cut short, or changed since it was written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise AdapterError(f"expected {_an(kind)} at {path}, found {'a folder' if path.is_dir() else 'nothing'}")
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            if not isinstance(facts, dict) or facts.get("format") != f"zsprompt {kind}":
                raise AdapterError(
                    f"expected {_an(kind)} in {path}, found a safetensors file of another kind; "
                    "`zsprompt train` writes one"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no dict
            if facts.pop(_CHECKSUM, None) != _checksum(arrays, facts):
                raise ValueError("its checksum is another one")
            return arrays, facts
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise AdapterError(
            f"expected {_an(kind)} in {path}, found a file that is none or is damaged ({reason}); "
            "train it again, or copy it again"
        ) from None


def _checksum(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> str:
    """Of everything that was written: a weight with one bit turned is still a number, and would go unnoticed."""
    found = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
    for name in sorted(arrays):
        value = arrays[name]
        found.update(f"{name}\0{value.dtype.str}{value.shape}".encode() + value.tobytes())
    return found.hexdigest()


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
