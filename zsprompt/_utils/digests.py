"""Digests of values: equal values have equal digests in every process. Identity is compared by digest, not by repr."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

from zsprompt._utils.registry import object_path

_LENGTH = 12


def digest(value: object) -> str:
    """12 hexadecimal digits of the hash of a value's canonical JSON.

    A dataclass is represented by its class and the fields that its repr shows. Numbers, texts, mappings, sequences
    and sets are represented by their contents. Any other object is represented by its class and its pickle. An object
    that cannot be pickled is equal only to itself.
    """
    text = _text(_plain(value))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]


def _plain(value: Any) -> Any:
    """`value` as JSON types."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value  # 2 and 2.0 are equal
    if isinstance(value, type):
        return {"class": object_path(value)}
    if dataclasses.is_dataclass(value):
        parts = {part.name: _plain(getattr(value, part.name)) for part in dataclasses.fields(value) if part.repr}
        return {"class": object_path(type(value)), "fields": parts}
    if isinstance(value, Mapping):
        return {"mapping": sorted(([_plain(key), _plain(one)] for key, one in value.items()), key=_text)}
    if isinstance(value, Set):
        return {"set": sorted(map(_plain, value), key=_text)}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(one) for one in value]
    return {"class": object_path(type(value))} | _state(value)


def _state(value: object) -> dict[str, Any]:
    """What distinguishes an object from others of its class."""
    try:
        return {"pickle": hashlib.sha256(pickle.dumps(value, protocol=4)).hexdigest()}  # never unpickled
    except Exception:  # a user's class may raise anything
        return {"id": id(value)}


def _text(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
