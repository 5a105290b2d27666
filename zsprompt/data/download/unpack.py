"""Unpacking an untrusted tar or zip archive: plain files only, and only into one folder."""

from __future__ import annotations

import errno
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from zsprompt._utils.http_download import require_room
from zsprompt._utils.progress import Progress
from zsprompt.errors import DataError

_CHUNK = 1 << 20
_LONGEST_NAME = 255
_MOST_MEMBERS = 5_000_000
_ZIP_BEGINS = (b"PK\x03\x04", b"PK\x05\x06")
_FORBIDDEN = frozenset('\\:<>|"?*') | {chr(code) for code in range(32)}

# Exceptions of tarfile and zipfile on damaged archives, collected by fuzzing.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True)
class _Member:
    """One entry of an archive."""

    name: str
    kind: str  # "file", "folder", or a description of anything else
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, into: Path, *, keeps: Sequence[str], progress: Progress) -> int:
    """Unpack the folders `keeps` of `archive` into the new folder `into`; return the number of files.

    All entries are checked before the first one is written. Owners, modes and times are not restored.

    Args:
        archive: a tar, possibly compressed, or a zip; recognised by its content.
        into: a folder that does not exist yet.
        keeps: folders inside the archive, such as "VOCdevkit/VOC2007"; everything else is skipped.
        progress: reports the bytes written.

    Raises:
        DataError: the file is not an archive, is cut short or damaged, or has nothing in `keeps`; or an entry is a
            link, a device, a duplicate, or has a path outside the folder. The caller must delete partial output.
        DownloadError: the disk is full.
        OSError: the files cannot be written.
    """
    wanted = [PurePosixPath(folder) for folder in keeps]
    with _opened(archive) as members:
        checked = [(_safe(archive, member), member) for member in members]
        kept = [(path, m) for path, m in checked if path is not None and any(path.is_relative_to(f) for f in wanted)]
        files = {path: member for path, member in kept if member.kind == "file"}
        _check_tree(archive, files, kept, keeps)
        total = sum(member.size for member in files.values())
        into.mkdir(parents=True)
        require_room(into, total, f"the content of {archive.name}")
        with progress(f"unpack {archive.name}", total, "bytes") as advance:
            for path, member in files.items():
                _write(archive, member, into / path, advance)
    return len(files)


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    """All entries; they can be read until the block ends."""
    with archive.open("rb") as file:
        beginning = file.read(4)
    with _damage_named(archive):
        opened = zipfile.ZipFile(archive) if beginning in _ZIP_BEGINS else tarfile.open(archive)  # noqa: SIM115
    with opened:
        with _damage_named(archive):
            members = list(_zip_members(opened) if isinstance(opened, zipfile.ZipFile) else _tar_members(opened))
        yield members


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"expected a whole tar or zip in {archive}, found damage ({reason}); download it again"
        ) from None


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for count, info in enumerate(archive):
        _few_enough(count)
        kind = "folder" if info.isdir() else "file" if info.isreg() and not info.issparse() else "a link or device"
        yield _Member(info.name, kind, info.size, lambda info=info: archive.extractfile(info))  # type: ignore[misc]

    _require_end(archive)


def _require_end(archive: tarfile.TarFile) -> None:
    """Raise ReadError unless zeros or the end of the file follow: tarfile mistakes a damaged entry for the end."""
    if archive.fileobj is not None:
        archive.fileobj.seek(archive.offset)
        if any(archive.fileobj.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError(f"no entry at byte {archive.offset:,}")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for count, info in enumerate(archive.infolist()):
        _few_enough(count)
        mode = stat.S_IFMT(info.external_attr >> 16)
        odd = "encrypted" if info.flag_bits & 1 else "a link or device" if mode not in (0, *_PLAIN) else ""
        kind = odd or ("folder" if info.is_dir() or mode == stat.S_IFDIR else "file")
        yield _Member(info.orig_filename, kind, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


_PLAIN = (stat.S_IFREG, stat.S_IFDIR)


def _few_enough(count: int) -> None:
    if count >= _MOST_MEMBERS:
        raise ValueError(f"more than {_MOST_MEMBERS:,} entries")


def _safe(archive: Path, member: _Member) -> PurePosixPath | None:
    """Target path of an entry relative to the folder; None for the folder itself."""
    name = member.name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise _refused(archive, name, "a path outside its folder")
    if _FORBIDDEN & set(name) or any(len(part) > _LONGEST_NAME for part in parts) or not _is_text(name):
        raise _refused(archive, name, "a name that is not valid on every system")
    if member.kind not in ("file", "folder"):
        raise _refused(archive, name, member.kind)
    if member.size < 0:
        raise _refused(archive, name, f"a size of {member.size}")
    return PurePosixPath(*parts) if parts else None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that were not UTF-8
        return False
    return True


def _refused(archive: Path, name: str, reason: str) -> DataError:
    shown = ascii(name[:80]) + ("…" if len(name) > 80 else "")
    return DataError(f"expected plain files and folders in {archive}, found {shown}, {reason}; nothing was installed")


def _check_tree(
    archive: Path,
    files: dict[PurePosixPath, _Member],
    kept: Sequence[tuple[PurePosixPath, _Member]],
    keeps: Sequence[str],
) -> None:
    if not files:
        raise DataError(f"expected {', '.join(keeps)} in {archive}, found no file there")
    seen: set[PurePosixPath] = set()
    for path, member in kept:
        twice = member.kind == "file" and path in seen
        inside = next((parent for parent in path.parents if parent in files), None)
        if twice or inside or (member.kind == "folder" and path in files):
            raise _refused(archive, member.name, "a name that occurs twice, or is below a file")
        seen.add(path)


def _write(archive: Path, member: _Member, path: Path, advance: Callable[[int], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as target, _reading(archive, member) as read:
        while chunk := read():
            target.write(chunk)
            written += len(chunk)
            advance(len(chunk))
    if written != member.size:
        raise DataError(f"expected {member.size:,} bytes of {member.name} in {archive}, found {written:,}")


@contextmanager
def _reading(archive: Path, member: _Member) -> Iterator[Callable[[], bytes]]:
    """A function that reads the next chunk. Only errors of reading count as damage of the archive."""
    with _damage_named(archive):
        source = member.open()
    if source is None:
        raise _refused(archive, member.name, "no content")

    def read() -> bytes:
        with _damage_named(archive):
            return source.read(_CHUNK)

    with source:
        yield read
