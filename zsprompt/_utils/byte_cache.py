"""The cache folder: checksummed bytes under 32-byte keys. Writes are transactions; nothing is evicted or pickled."""

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
from typing import Any

import diskcache
import platformdirs

from zsprompt._version import __version__
from zsprompt.errors import CacheError

FORMAT = 1
"""Version of the folder's layout. Folders of any other version are refused."""

_MARKER = "zsprompt-cache.json"
_DATABASE = "cache.db"
_CACHE_FILES = (_MARKER, _DATABASE, "cache.db-wal", "cache.db-shm", "cache.db-journal")
_CHECK_BYTES = 8
_LOCK_SECONDS = 60
_PAGE = 16384  # bytes; SQLite's default page (4096) fits only one embedding of 512 numbers and wastes the rest
_CHECKPOINT_PAGES = 250  # checkpoint the write-ahead log every 4 MB, as with the default page size
_KEYS_PER_QUERY = 500  # SQLite allows at least 999
_LARGEST_INLINE = 2**26  # smaller values stay in the database; all of ours are smaller
_SQLITE_FULL = 13  # SQLite's result code for a disk without space
_SQLITE_ERROR = 1  # its code for a statement that does not fit the tables: ours are fixed, so the tables are damaged


class BytesOnlyDisk(diskcache.Disk):  # type: ignore[misc]
    """A Disk that maps bytes to bytes and refuses anything else, so foreign pickles are never loaded."""

    def put(self, key: object) -> tuple[Any, bool]:
        """Convert a key to its database form. Keys must be bytes."""
        if not isinstance(key, bytes):
            raise TypeError(f"expected a key of bytes, got {type(key).__name__}")
        return sqlite3.Binary(key), True

    def get(self, key: Any, raw: bool) -> bytes:
        """Convert a key back from its database form."""
        return bytes(key)

    def store(self, value: object, read: bool, key: object = diskcache.UNKNOWN) -> tuple[int, int, None, Any]:
        """Convert a value to its database form. Values must be bytes."""
        if not isinstance(value, bytes):
            raise TypeError(f"expected a value of bytes, got {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: object, value: Any, read: bool) -> bytes | None:
        """Convert a value back to bytes; None for values that this class did not write."""
        return bytes(value) if mode == diskcache.core.MODE_RAW and isinstance(value, bytes | memoryview) else None


@dataclass(frozen=True)
class CacheInfo:
    """Folder, number of entries and size in bytes, as shown by `zsprompt cache info`."""

    folder: Path
    entries: int
    bytes: int


class ByteCache:
    """A folder of checksummed entries. Several processes may use it at the same time.

    Args:
        folder: created if missing. A folder with other files is refused.
        temporary: delete the folder when the cache is closed.

    Raises:
        CacheError: the folder is not a cache, has another format, cannot be written, is locked or is damaged.
    """

    def __init__(self, folder: Path, *, temporary: bool = False) -> None:
        self.folder = folder
        _claim(folder)
        with _cache_errors(folder):
            _create(folder / _DATABASE)
            self._disk = _open(folder)
        self._finalizer = weakref.finalize(self, _end, self._disk, folder if temporary else None)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key; None if it is missing or its checksum is wrong."""
        with _cache_errors(self.folder):
            return [_checked(key, self._disk.get(key)) for key in keys]

    def has_many(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether each key has an entry. Values are not read, so an entry may still be damaged."""
        present: set[bytes] = set()
        with _cache_errors(self.folder):
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = [sqlite3.Binary(key) for key in keys[start : start + _KEYS_PER_QUERY]]
                marks = ", ".join("?" * len(some))
                # SQLite answers this from the index alone
                rows = self._disk._sql(f"SELECT key FROM Cache WHERE raw = 1 AND key IN ({marks})", some)
                present.update(bytes(key) for (key,) in rows)
        return [key in present for key in keys]

    def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        """Write all entries in one transaction. If the process is killed, either all or none are stored."""
        if not entries:
            return
        with _cache_errors(self.folder), self._disk.transact():
            for key, value in entries.items():
                self._disk.set(key, value + _checksum(key, value))

    def info(self) -> CacheInfo:
        """Number of entries and bytes on disk."""
        with _cache_errors(self.folder):
            size = sum(path.stat().st_size for name in _CACHE_FILES if (path := self.folder / name).exists())
            return CacheInfo(self.folder, len(self._disk), size)

    def verify(self) -> tuple[int, int]:
        """Read every entry and delete the damaged ones. Returns (entries read, entries deleted)."""
        read = 0
        with _cache_errors(self.folder):
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
        """Free bytes on the folder's disk."""
        with _cache_errors(self.folder):
            return shutil.disk_usage(self.folder).free

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Close the database. Entries stay unless the cache is temporary. Garbage collection closes it too."""
        self._finalizer()


def temporary_cache() -> ByteCache:
    """A cache in a new temporary folder, deleted when the cache is closed or garbage-collected."""
    with _cache_errors(Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix="zsprompt-"))
    return ByteCache(folder, temporary=True)


def open_existing(folder: Path) -> ByteCache:
    """Open the existing cache in `folder`.

    Raises:
        CacheError: the folder holds no cache.
    """
    _require_marker(folder)
    return ByteCache(folder)


def clear_cache(folder: Path) -> int:
    """Delete the files of a cache, damaged or not, and return the bytes freed. Other files are not touched.

    Raises:
        CacheError: the folder is not a cache, or cannot be changed.
    """
    _require_marker(folder)
    freed = 0
    with _cache_errors(folder):
        for name in reversed(_CACHE_FILES):  # the marker last, so that an interrupted call can be repeated
            path = folder / name
            if path.exists():
                freed += path.stat().st_size
                path.unlink()
    return freed


def _claim(folder: Path) -> None:
    """Create a cache in `folder`, or check the format of the one that is there."""
    with _cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _MARKER
    if not marker.exists():
        _refuse_foreign(folder)
        with _cache_errors(folder):
            half = folder / f"{_MARKER}.{os.getpid()}"
            half.write_text(json.dumps({"format": FORMAT, "zsprompt": __version__}), encoding="utf-8")
            half.replace(marker)
    try:
        folder_format = json.loads(marker.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CacheError(_damaged(folder, f"{_MARKER} is unreadable")) from None
    if folder_format != FORMAT:
        raise CacheError(
            f"expected cache format {FORMAT} in {folder}, found {folder_format} from another version of zsprompt; "
            f"use another folder (--cache DIR) or clear it: {_clear(folder)}"
        )


def _end(disk: Any, folder: Path | None) -> None:
    disk.close()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _create(database: Path) -> None:
    """Create the database if it is missing. The page size can be set only at this moment."""
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
            disk_min_file_size=_LARGEST_INLINE,
            sqlite_wal_autocheckpoint=_CHECKPOINT_PAGES,
            sqlite_mmap_size=0,  # a mapped file that shrinks kills the process; reads are small anyway
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:  # raised when the stored settings are damaged
        raise CacheError(_damaged(folder, " ".join(str(error).split())[:120])) from None


def _require_marker(folder: Path) -> None:
    with _cache_errors(folder):
        has_marker = (folder / _MARKER).exists()
    if not has_marker:
        _refuse_foreign(folder)
        raise CacheError(f"expected a zsprompt cache in {folder}, found none")


def _refuse_foreign(folder: Path) -> None:
    with _cache_errors(folder):
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith(_MARKER)) if folder.is_dir() else []
        claimed = (folder / _MARKER).exists()  # checked last: another process may be creating this cache
    if others and not claimed:
        raise CacheError(
            f"expected an empty folder or a zsprompt cache in {folder}, found {others[0]!r}; use another folder"
        )


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system and of SQLite into a one-line CacheError about `folder`."""
    try:
        yield
    except diskcache.Timeout:
        if not os.access(folder / "cache.db", os.W_OK):
            raise CacheError(f"cannot write cache folder {folder}; use another one (--cache DIR)") from None
        raise CacheError(
            f"cache {folder} was locked by another process for {_LOCK_SECONDS} s, or its disk is full; "
            "wait, free some space, or use another folder (--cache DIR)"
        ) from None
    except sqlite3.OperationalError as error:
        raise CacheError(_operational(folder, error)) from None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # SQLite's message may quote bytes of a damaged schema that are not valid text
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
    return f"cache {folder} is damaged ({reason}); clear it and run again: {_clear(folder)}"


def _clear(folder: Path) -> str:
    return f"zsprompt cache clear --cache '{folder}'"


def _checksum(key: bytes, value: bytes) -> bytes:
    # keyed, so a value stored under the wrong key is detected too
    return hashlib.blake2b(value, key=key, digest_size=_CHECK_BYTES).digest()


def _checked(key: bytes, stored: bytes | None) -> bytes | None:
    if stored is None or len(stored) < _CHECK_BYTES:
        return None
    value, check = stored[:-_CHECK_BYTES], stored[-_CHECK_BYTES:]
    return value if _checksum(key, value) == check else None


def default_cache() -> Path:
    """ZSPROMPT_CACHE if set, else the user's cache directory."""
    return Path(os.environ.get("ZSPROMPT_CACHE") or platformdirs.user_cache_path("zsprompt", appauthor=False))
