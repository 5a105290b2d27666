"""The cache folder: checksummed bytes under 32-byte keys, written in transactions, never evicted, never pickled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diskcache
import platformdirs

from zsprompt._version import __version__
from zsprompt.errors import CacheError

if TYPE_CHECKING:
    pass

FORMAT = 1
"""Layout of the folder. A folder of another format is refused, never read."""

_MARKER = "zsprompt-cache.json"
_DATABASE = "cache.db"
_OWN = (_MARKER, _DATABASE, "cache.db-wal", "cache.db-shm", "cache.db-journal")
_CHECK_BYTES = 8
_LOCK_SECONDS = 60
_PAGE = 16384  # bytes; an embedding of 512 numbers takes half of SQLite's usual page and more, so that one a page fits
_PAGES_AHEAD = 250  # written twice when they reach the database itself: 4 MB, as with usual pages
_KEYS_A_QUESTION = 500  # SQLite takes 999 at the least
_FOR_ALL = 2**26  # values smaller than this stay in the database, and all of ours are
_SQLITE_FULL = 13  # SQLite's result code for a disk without space
_SQLITE_ERROR = 1  # its code for a statement that does not fit the tables: ours are fixed, so the tables are damaged


class BytesOnlyDisk(diskcache.Disk):  # type: ignore[misc]
    """A Disk that stores bytes under bytes and refuses everything else: what strangers pickled is never loaded."""

    def put(self, key: object) -> tuple[Any, bool]:
        """The database form of `key`, which must be bytes."""
        if not isinstance(key, bytes):
            raise TypeError(f"expected a key of bytes, got {type(key).__name__}")
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: bool) -> bytes:
        """The key behind its database form."""
        return bytes(key)

    def store(self, value: object, read: bool, key: object = diskcache.UNKNOWN) -> tuple[int, int, None, Any]:
        """The database form of `value`, which must be bytes."""
        if not isinstance(value, bytes):
            raise TypeError(f"expected a value of bytes, got {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: object, value: Any, read: bool) -> bytes | None:
        """The bytes behind a database value; None for anything this class would not have written."""
        return bytes(value) if mode == diskcache.core.MODE_RAW and isinstance(value, bytes | memoryview) else None


@dataclass(frozen=True)
class CacheInfo:
    """What `zsprompt cache info` tells: the folder, its entries and its size in bytes."""

    folder: Path
    entries: int
    bytes: int


class ByteCache:
    """A folder of checksummed entries that several processes may use at once.

    Args:
        folder: made when missing. A folder that holds anything else is refused.
        temporary: closing it deletes the folder.

    Raises:
        CacheError: foreign, of another format, not writable, locked or damaged.
    """

    def __init__(self, folder: Path, *, temporary: bool = False) -> None:
        self.folder = folder
        _claim(folder)
        with _told(folder):
            _create(folder / _DATABASE)
            self._disk = _open(folder)
        self._finalizer = weakref.finalize(self, _end, self._disk, folder if temporary else None)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key; None where there is none or its checksum is wrong."""
        with _told(self.folder):
            return [_checked(key, self._disk.get(key)) for key in keys]

    def has_many(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether there is an entry under each key; its value is not read, so it may turn out to be damaged."""
        found: set[bytes] = set()
        with _told(self.folder):
            for start in range(0, len(keys), _KEYS_A_QUESTION):
                some = [sqlite3.Binary(key) for key in keys[start : start + _KEYS_A_QUESTION]]
                marks = ", ".join("?" * len(some))
                # answered from the index alone
                rows = self._disk._sql(f"SELECT key FROM Cache WHERE raw = 1 AND key IN ({marks})", some)
                found.update(bytes(key) for (key,) in rows)
        return [key in found for key in keys]

    def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        """Write all entries in one transaction: after a kill all of them are there, or none."""
        if not entries:
            return
        with _told(self.folder), self._disk.transact():
            for key, value in entries.items():
                self._disk.set(key, value + _checksum(key, value))

    def info(self) -> CacheInfo:
        """Entries and bytes on disk."""
        with _told(self.folder):
            size = sum(path.stat().st_size for name in _OWN if (path := self.folder / name).exists())
            return CacheInfo(self.folder, len(self._disk), size)

    def verify(self) -> tuple[int, int]:
        """Read every entry and delete the damaged ones; returns (entries read, entries deleted)."""
        read = 0
        with _told(self.folder):
            ((verdict,), *_) = self._disk._sql("PRAGMA quick_check(1)").fetchall()
            if verdict != "ok":
                raise CacheError(_damaged(self.folder, verdict))
            damaged = []
            for key in self._disk:
                read += 1
                if _checked(key, self._disk.get(key)) is None:
                    damaged.append(key)
            for key in damaged:
                self._disk.delete(key)
        return read, len(damaged)

    def free_bytes(self) -> int:
        """How much more the folder's disk can take."""
        with _told(self.folder):
            return shutil.disk_usage(self.folder).free

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Close the database; the entries stay, unless they are temporary. A cache that is dropped closes itself."""
        self._finalizer()


def temporary_cache() -> ByteCache:
    """A cache in a folder of its own among the system's temporary ones, which goes when it is closed or dropped."""
    with _told(Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix="zsprompt-"))
    return ByteCache(folder, temporary=True)


def open_existing(folder: Path) -> ByteCache:
    """The cache in `folder`, which must be one already.

    Raises:
        CacheError: there is none.
    """
    _require_marker(folder)
    return ByteCache(folder)


def clear_cache(folder: Path) -> int:
    """Delete a cache folder's own files, damaged or not; returns the bytes freed. Other files are not touched.

    Raises:
        CacheError: the folder is not one of ours, or cannot be changed.
    """
    _require_marker(folder)
    freed = 0
    with _told(folder):
        for name in reversed(_OWN):  # the marker last: what a kill leaves can still be cleared
            path = folder / name
            if path.exists():
                freed += path.stat().st_size
                path.unlink()
    return freed


def _claim(folder: Path) -> None:
    """Make `folder` a cache folder, or check that it is one of this format."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _MARKER
    if not marker.exists():
        _refuse_foreign(folder)
        with _told(folder):
            half = folder / f"{_MARKER}.{os.getpid()}"
            half.write_text(json.dumps({"format": FORMAT, "zsprompt": __version__}), encoding="utf-8")
            half.replace(marker)
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CacheError(_damaged(folder, f"{_MARKER} is unreadable")) from None
    if found != FORMAT:
        raise CacheError(
            f"expected cache format {FORMAT} in {folder}, found {found}, written by another zsprompt; "
            f"use another folder (--cache DIR) or empty it: {_clear(folder)}"
        )


def _end(disk: Any, folder: Path | None) -> None:
    disk.close()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _create(database: Path) -> None:
    """Make the database if it is not there: its page size can be chosen at that moment only."""
    if database.exists():
        return
    connection = sqlite3.connect(database, timeout=_LOCK_SECONDS)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA user_version = 1")  # writes the first page
    finally:
        connection.close()


def _open(folder: Path) -> Any:
    try:
        return diskcache.Cache(
            str(folder),
            timeout=_LOCK_SECONDS,
            disk=BytesOnlyDisk,
            eviction_policy="none",
            cull_limit=0,
            disk_min_file_size=_FOR_ALL,
            sqlite_wal_autocheckpoint=_PAGES_AHEAD,
            sqlite_mmap_size=0,  # a mapped file that shrinks kills the process; reads are small anyway
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:  # raised on settings that are damaged
        raise CacheError(_damaged(folder, " ".join(str(error).split())[:120])) from None


def _require_marker(folder: Path) -> None:
    with _told(folder):
        there = (folder / _MARKER).exists()
    if not there:
        _refuse_foreign(folder)
        raise CacheError(f"expected a zsprompt cache in {folder}, found none")


def _refuse_foreign(folder: Path) -> None:
    with _told(folder):
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith(_MARKER)) if folder.is_dir() else []
        claimed = (folder / _MARKER).exists()  # looked at last: another process may be making this cache right now
    if others and not claimed:
        raise CacheError(
            f"expected an empty folder or a zsprompt cache in {folder}, found {others[0]!r}; use another folder"
        )


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what the file system and SQLite raise into one line about `folder`."""
    try:
        yield
    except diskcache.Timeout:
        if not os.access(folder / "cache.db", os.W_OK):
            raise CacheError(f"cannot write cache folder {folder}; use another one (--cache DIR)") from None
        raise CacheError(
            f"cache {folder} stayed locked for {_LOCK_SECONDS} s by another process, or its disk is full; "
            "wait, free some space, or use another folder (--cache DIR)"
        ) from None
    except sqlite3.OperationalError as error:
        raise CacheError(_operational(folder, error)) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # SQLite quotes a damaged schema in its message, which is then no text either
        raise CacheError(_damaged(folder, " ".join(str(error).split())[:120])) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise CacheError(f"cannot use cache folder {folder} ({reason}); use another one (--cache DIR)") from None


def _operational(folder: Path, error: sqlite3.OperationalError) -> str:
    code = getattr(error, "sqlite_errorcode", None)  # new in Python 3.11; before, the last sentence covers all
    if code == _SQLITE_FULL:
        return (
            f"no space left for the cache in {folder} ({error}); finished work is kept: "
            "free some space, or use another folder (--cache DIR), and run again"
        )
    if code == _SQLITE_ERROR:
        return _damaged(folder, str(error))
    return f"cannot use cache folder {folder} ({error}); use another one (--cache DIR)"


def _damaged(folder: Path, reason: str) -> str:
    return f"cache {folder} is damaged ({reason}); empty it and run again: {_clear(folder)}"


def _clear(folder: Path) -> str:
    return f"zsprompt cache clear --cache '{folder}'"


def _checksum(key: bytes, value: bytes) -> bytes:
    # keyed, so a value that wandered to another key is noticed too
    return hashlib.blake2b(value, key=key, digest_size=_CHECK_BYTES).digest()


def _checked(key: bytes, stored: bytes | None) -> bytes | None:
    if stored is None or len(stored) < _CHECK_BYTES:
        return None
    value, check = stored[:-_CHECK_BYTES], stored[-_CHECK_BYTES:]
    return value if _checksum(key, value) == check else None


def default_cache() -> Path:
    """ZSPROMPT_CACHE, else the user's cache directory."""
    return Path(os.environ.get("ZSPROMPT_CACHE") or platformdirs.user_cache_path("zsprompt", appauthor=False))
