"""Recorded answers: what of an answer is compared, with which tolerance, and where the answers lie.

ZSPROMPT_RECORD_GOLDEN=1 pytest tests/golden writes the answers anew instead of comparing them.
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
"""Absolute, for floats."""

# The exceptions, all of them. A pattern is a dotted path or the end of one; * matches anything, also a position.

LEFT_OUT = {
    "seconds*": "times differ from run to run",
    "versions": "of Python and of packages",
    "root": "an absolute path of this machine",
    "folder": "a path, or a name made of a digest",
    "digest": "of an adapter's weights, which differ in the last bits from machine to machine",
    "strategy_digest": "depends on the digests of an adapter's weights and of thresholds",
    "ids": "packed names; the number of images and the targets are compared",
    "images_embedded": "depends on which case filled the cache first",
    "texts_encoded": "depends on which case filled the cache first; its sum with texts_cached is compared",
    "texts_cached": "see texts_encoded",
    "images_encoded": "depends on which case filled the cache first; its sum with images_cached is compared",
    "images_cached": "see images_encoded",
}
"""Keys that are not compared, and why not."""

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
    "skipped_images.*": "why an image cannot be read",
    "tables.*": "a sentence",
    "recipe.strategy": "the repr of a strategy, which is no interface",
    "made_for.strategy": "the repr of a strategy, which is no interface",
}
"""Keys whose values are words for people: compared is only whether they are there, and how many."""

SUMS = (("texts_encoded", "texts_cached"), ("images_encoded", "images_cached"))
"""What one case embeds the next one finds in the cache, so only the sum of these is compared."""


def check(name: str, answer: Any, *, tolerance: float = TOLERANCE) -> None:
    """Compare an answer with the recorded one, or record it. Keys may be added, none may be missing."""
    path = FOLDER / f"{name}.json"
    settled = settle(answer)
    if RECORDING:
        path.write_text(json.dumps(settled, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    if not path.is_file():
        pytest.fail(f"no recorded answer {path.name}; record it with ZSPROMPT_RECORD_GOLDEN=1", pytrace=False)
    lines = list(differences(json.loads(path.read_text(encoding="utf-8")), settled, tolerance))
    if lines:
        pytest.fail(f"{name}: {len(lines)} differences\n" + "\n".join(lines[:30]), pytrace=False)


def settle(value: Any, path: str = "") -> Any:
    """The part of an answer that is compared, floats rounded for the record."""
    if _matches(path, PROSE):
        return _outline(value)
    if isinstance(value, Mapping):
        kept = {key: settle(inner, f"{path}.{key}") for key, inner in value.items()}
        return {key: kept[key] for key in kept if not _matches(f"{path}.{key}", LEFT_OUT)} | _sums(value)
    if isinstance(value, list):
        return [settle(inner, f"{path}.{n}") for n, inner in enumerate(value)]
    return round(value, 8) if isinstance(value, float) else value


def differences(expected: Any, found: Any, tolerance: float, path: str = "$") -> Iterator[str]:
    """A line for each place at which `found` is not what was recorded."""
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
