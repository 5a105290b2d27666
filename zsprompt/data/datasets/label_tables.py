"""Parsed label tables, cached on disk under a digest of their source files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.errors import DataError

FORMAT = 2
"""Version of the file format; changes whenever older files would be read incorrectly."""

_ENDING = ".table"
_BLOCK = 2**20


@dataclass(frozen=True)
class Table:
    """Content of label files, before a split is chosen.

    Attributes:
        ids: N names for messages and result files.
        files: N image files, relative to the image folder.
        labels: C names as spelt in the files.
        targets: [N, C] int8: 1 present, 0 absent, −1 left out.
        counts: counts made while parsing, by name.
        texts: N texts of the rows (a split, a caption), or none.
        groups: labels that are also the group of another label (COCO's supercategories).
        orphans: the unknown image of each annotation that was left out.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[str, ...]
    targets: Targets
    counts: Mapping[str, int] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    orphans: tuple[int, ...] = ()


def tables_folder() -> Path:
    """Folder of cached tables, next to the cache of embeddings (ZSPROMPT_CACHE, else the user's cache directory)."""
    cache = Path(os.environ.get("ZSPROMPT_CACHE") or platformdirs.user_cache_path("zsprompt", appauthor=False))
    return cache.with_name(f"{cache.name}-tables")


def cached(kind: str, sources: Sequence[Path], parse: Callable[[], Table]) -> Table:
    """The table that `parse` makes from `sources`, read from the cache if the same content was parsed before.

    Damaged tables and tables of another format are parsed again. A folder that cannot be written is not an error:
    the files are parsed again next time.

    Args:
        kind: name of the parser; part of the key.
        sources: all files that the table depends on.
        parse: makes the table. Its errors are passed on.

    Raises:
        DataError: a source cannot be read.
    """
    before = _stats(sources)
    path = tables_folder() / f"{_key(kind, sources)}{_ENDING}"
    stored = _read(path)
    if stored is not None:
        return stored
    table = parse()
    if _stats(sources) == before:  # if a source changed meanwhile, the key does not match the table
        _write(path, table)
    return table


def _stats(sources: Sequence[Path]) -> list[tuple[int, int]]:
    try:
        return [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in sources)]
    except FileNotFoundError as error:
        raise DataError(f"expected {error.filename}, found no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {sources[0].parent}: {read_fault(sources[0], error)}") from None


def _key(kind: str, sources: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{FORMAT}\0{kind}\0".encode())
    for path in sources:
        one = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    one.update(block)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from None
        digest.update(one.digest())
    return digest.hexdigest()


def _write(path: Path, table: Table) -> None:
    """Write the file atomically. Nothing is left behind if the disk is full or read-only."""
    body = _packed(table)
    head = {"format": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}
    half = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(prefix=".half-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        Path(half).replace(path)
        half = None
    except OSError:
        pass  # see `cached`
    finally:
        if half is not None:
            with contextlib.suppress(OSError):
                Path(half).unlink()


def _read(path: Path) -> Table | None:
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        header = json.loads(head)
        if header["format"] != FORMAT or header["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        return _unpacked(body)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _packed(table: Table) -> bytes:
    """.npy arrays: the names as JSON, bits of present labels, and bits of left-out labels if there are any."""
    names = {
        "ids": table.ids,
        "files": table.files if table.files != table.ids else None,
        "labels": table.labels,
        "counts": dict(table.counts),
        "texts": table.texts,
        "groups": table.groups,
        "orphans": table.orphans,
        "left_out": bool((table.targets < 0).any()),
    }
    body = BytesIO()
    text = np.frombuffer(json.dumps(names, ensure_ascii=True).encode(), dtype=np.uint8)
    planes = [table.targets == 1, *([table.targets == -1] if names["left_out"] else [])]
    for array in (text, *(np.packbits(plane, axis=1) for plane in planes)):
        np.save(body, array, allow_pickle=False)
    return body.getvalue()


def _unpacked(body: bytes) -> Table:
    file = BytesIO(body)
    names: dict[str, Any] = json.loads(np.load(file, allow_pickle=False).tobytes())
    width = len(names["labels"])
    targets = np.unpackbits(np.load(file, allow_pickle=False), axis=1, count=width).view(np.int8)
    if names["left_out"]:
        targets = targets - np.unpackbits(np.load(file, allow_pickle=False), axis=1, count=width).view(np.int8)
    ids = tuple(names["ids"])
    files = ids if names["files"] is None else tuple(names["files"])
    texts, groups, orphans = (tuple(names[key]) for key in ("texts", "groups", "orphans"))
    return Table(ids, files, tuple(names["labels"]), targets, names["counts"], texts, groups, orphans)
