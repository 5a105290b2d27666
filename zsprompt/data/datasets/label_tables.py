"""Parsed label tables, kept on disk by the content they were parsed from."""

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
from zsprompt.errors import DataError

FORMAT = 1
"""Changes whenever a file of an older zsprompt would be read wrongly."""

_ENDING = ".table"
_BLOCK = 2**20


@dataclass(frozen=True)
class Table:
    """What label files say, before a split is chosen.

    Attributes:
        ids: N names for people and result files.
        files: N image files, relative to the folder that images lie in.
        labels: C names as the files spell them.
        targets: [N, C] int8: 1 present, 0 absent, −1 left out.
        counts: what was counted while parsing, by name.
        texts: N texts that belong to the rows (a list's name, a caption), or none.
    """

    ids: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[str, ...]
    targets: Targets
    counts: Mapping[str, int] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


def tables_folder() -> Path:
    """Beside the embeddings' cache (ZSPROMPT_CACHE, else the user's cache directory), which holds nothing else."""
    cache = Path(os.environ.get("ZSPROMPT_CACHE") or platformdirs.user_cache_path("zsprompt", appauthor=False))
    return cache.with_name(f"{cache.name}-tables")


def cached(kind: str, sources: Sequence[Path], parse: Callable[[], Table]) -> Table:
    """What `parse` makes of the files `sources`: read back if the same content was parsed before.

    A table that is damaged, of another format or of other content is parsed anew; a folder that cannot be written is
    no error, as parsing again only takes time.

    Args:
        kind: names the parser; part of the key.
        sources: every file that the table depends on.
        parse: makes the table.

    Raises:
        DataError: a source cannot be read, or what `parse` raises.
    """
    before = _stats(sources)
    path = tables_folder() / f"{_key(kind, sources)}{_ENDING}"
    found = _read(path)
    if found is not None:
        return found
    table = parse()
    if _stats(sources) == before:  # a file that changed meanwhile is not what the key stands for
        _write(path, table)
    return table


def _stats(sources: Sequence[Path]) -> list[tuple[int, int]]:
    try:
        return [(found.st_size, found.st_mtime_ns) for found in (path.stat() for path in sources)]
    except FileNotFoundError as error:
        raise DataError(f"expected {error.filename}, found no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {sources[0].parent}: {error}") from None


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
    """Whole or not at all; a disk that is full or closed to us leaves nothing behind."""
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
        said = json.loads(head)
        if said["format"] != FORMAT or said["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        return _unpacked(body)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _packed(table: Table) -> bytes:
    """JSON of the names, then .npy arrays of bits: present, and left out where anything is."""
    names = {
        "ids": table.ids,
        "files": table.files if table.files != table.ids else None,
        "labels": table.labels,
        "counts": dict(table.counts),
        "texts": table.texts,
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
    return Table(ids, files, tuple(names["labels"]), targets, names["counts"], tuple(names["texts"]))
