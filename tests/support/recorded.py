"""Recorded results of commands: which parts are compared, with which tolerance, and the folder of the records.

ZSPROMPT_RECORD_GOLDEN=1 pytest tests/golden writes the records anew instead of comparing with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "golden"
RECORDING = bool(os.environ.get("ZSPROMPT_RECORD_GOLDEN"))

TOLERANCE = 1e-5
"""Absolute tolerance for floats."""

# All exceptions. A pattern is a dotted path or its end; * matches anything, including an index.

LEFT_OUT = {
    "seconds*": "times differ from run to run",
    "versions": "of Python and of packages",
    "root": "an absolute path",
    "folder": "a path, or a name made of a digest",
    "digest": "of an adapter's weights, which differ in the last bits from machine to machine",
    "strategy_digest": "depends on the digests of an adapter's weights and of thresholds",
    "ids": "packed names; the number of images and the targets are compared",
    "images_embedded": "depends on which case filled the cache first",
    "texts_encoded": "depends on which case filled the cache first; the sum with texts_cached is compared",
    "texts_cached": "see texts_encoded",
    "images_encoded": "depends on which case filled the cache first; the sum with images_cached is compared",
    "images_cached": "see images_encoded",
}
"""Keys that are not compared, with the reason."""

PROSE = {
    "about": "a sentence",
    "licence": "a sentence",
    "to_get_it": "a sentence",
    "unverified": "a sentence",
    "source": "a sentence",
    "rule": "a sentence",
    "reason": "a sentence",
    "error": "a sentence",
    "faults": "sentences",
    "notes": "sentences",
    "warnings": "sentences",
    "skipped_images.*": "the reason why an image cannot be read",
    "tables.*": "a sentence",
    "recipe.strategy": "the repr of a strategy, which is no interface",
    "made_for.strategy": "the repr of a strategy, which is no interface",
}
"""Keys whose values are prose. Only their presence and number are compared."""

SUMS = (("texts_encoded", "texts_cached"), ("images_encoded", "images_cached"))
"""Embeddings of one case are cached for the next, so only the sums of these are compared."""


def check(name: str, answer: Any, *, tolerance: float = TOLERANCE) -> None:
    """Compare a result with the recorded one, or record it. New keys are allowed, missing ones are not."""
    path = FOLDER / f"{name}.json"
    settled = settle(answer)
    if RECORDING:
        path.write_text(json.dumps(settled, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    if not path.is_file():
        pytest.fail(
            f"expected a record {path.name}, found none; record it with ZSPROMPT_RECORD_GOLDEN=1", pytrace=False
        )
    lines = list(differences(json.loads(path.read_text(encoding="utf-8")), settled, tolerance))
    if lines:
        pytest.fail(f"{name}: {len(lines)} differences\n" + "\n".join(lines[:30]), pytrace=False)


def settle(value: Any, path: str = "") -> Any:
    """The part of a result that is compared, with floats rounded for the record."""
    if _matches(path, PROSE):
        return _outline(value)
    if isinstance(value, Mapping):
        kept = {key: settle(inner, f"{path}.{key}") for key, inner in value.items()}
        return {key: kept[key] for key in kept if not _matches(f"{path}.{key}", LEFT_OUT)} | _sums(value)
    if isinstance(value, list):
        return [settle(inner, f"{path}.{n}") for n, inner in enumerate(value)]
    return round(value, 8) if isinstance(value, float) else value


def differences(expected: Any, found: Any, tolerance: float, path: str = "$") -> Iterator[str]:
    """One line per difference from the record."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected:
            if key in found:
                yield from differences(expected[key], found[key], tolerance, f"{path}.{key}")
            else:
                yield f"{path}.{key}: expected {expected[key]!r:.200}, found no such key"
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        yield from chain.from_iterable(differences(*pair, tolerance, f"{path}[{n}]") for n, pair in pairs)
    elif not _same(expected, found, tolerance):
        yield f"{path}: expected {expected!r:.200}, found {found!r:.200}"


def _same(expected: Any, found: Any, tolerance: float) -> bool:
    if isinstance(expected, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return abs(expected - found) <= tolerance
    return type(expected) is type(found) and bool(expected == found)


def _matches(path: str, patterns: Mapping[str, str]) -> bool:
    return any(fnmatchcase(path, f"*.{pattern}") for pattern in patterns)


def _outline(value: Any) -> Any:
    if isinstance(value, str):
        return "(words)" if value else ""
    if isinstance(value, list):
        return [_outline(inner) for inner in value]
    if isinstance(value, Mapping):
        return {key: _outline(inner) for key, inner in value.items()}
    return value


def _sums(value: Mapping[str, Any]) -> dict[str, int]:
    pairs = [pair for pair in SUMS if all(isinstance(value.get(key), int) for key in pair)]
    return {" + ".join(pair): sum(value[key] for key in pair) for pair in pairs}
