"""Downloading the official archives of a data set and installing them atomically."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from zsprompt._utils.http_download import download, require_room, sha256_file
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import in_bytes
from zsprompt.data.download.catalogue import Archive, CatalogueEntry
from zsprompt.data.download.unpack import unpack
from zsprompt.data.images import SUFFIXES
from zsprompt.errors import DataError, DownloadError, UnknownName

_STAGE = ".zsprompt-fetch-{}"


def fetch(
    entry: CatalogueEntry,
    root: Path,
    *,
    split: str | None = None,
    again: bool = False,
    source: str | None = None,
    progress: Progress = quiet,
    timeout: float = 30.0,
) -> list[Archive]:
    """Download and install the missing archives of a data set; return the archives that were installed.

    Each archive is downloaded, verified and unpacked in a hidden folder in `root` (or in `entry.top`, if that is a
    link to another disk). Its folders are then moved into place. After an interruption, the next call resumes.

    Args:
        entry: the data set.
        root: folder for --root; it is created. Files go into `entry.top` in it, or into the folder itself if it has
            that name.
        split: download only the files of this split; all by default.
        again: download installed archives again. Files of the same name are replaced, others stay.
        source: a folder, or the address of one, to take the archives from instead of their official addresses.
        progress: reports bytes.
        timeout: seconds without data after which a connection counts as lost.

    Raises:
        DataError: the data set must be downloaded by hand, an archive is damaged or unsafe, `root` cannot be written,
            or `root` already has the data set in another place, or other files where an archive's go.
        DownloadError: an archive cannot be downloaded, is not the expected file, or the disk is full.
        UnknownName: there is no such split.
    """
    wanted = _wanted(entry, split)
    root = entry.base(root)
    _refuse_another(entry, root)
    missing = [archive for archive in wanted if again or not (root / archive.sign).exists()]
    if not missing:
        return []
    try:
        with _stage(_home(root, entry), entry.name) as stage:
            for archive in missing:
                path = _bring(archive, stage, source, progress, timeout)
                _install(archive, path, stage, root, progress, again)
    except OSError as error:
        full = f"; free {in_bytes(sum(a.size for a in missing))} of space" if error.errno == errno.ENOSPC else ""
        raise DataError(f"cannot install {entry.name} in {root} ({error.strerror or error}){full}") from None
    return missing


def _wanted(entry: CatalogueEntry, split: str | None) -> list[Archive]:
    if not entry.archives:
        raise DataError(
            f"expected a data set that can be downloaded automatically, found {entry.title}: {entry.manual}; "
            "then pass its folder with --root"
        )
    if split is not None and split not in entry.fetchable_splits():
        raise UnknownName(f"split of {entry.name}", split, entry.fetchable_splits())
    return [archive for archive in entry.archives if split is None or split in archive.splits]


def _refuse_another(entry: CatalogueEntry, root: Path) -> None:
    """Raise DataError if `root` has the data set in another place, where a loader would find it first."""
    signs = [sign for sign in entry.signs if Path(sign).parts[0] != entry.top]
    other = next((path for sign in signs for path in sorted(root.glob(sign))), None)
    if other:
        raise DataError(
            f"expected no other copy of {entry.name} in {root}, found {other}, which would be used instead; "
            "choose another folder with --root, or move that copy away"
        )


def _home(root: Path, entry: CatalogueEntry) -> Path:
    """The folder to prepare files in, on their final disk: `root`, or the target of a link in it."""
    top = root / entry.top
    return top if top.is_symlink() and top.is_dir() else root


@contextmanager
def _stage(home: Path, name: str) -> Iterator[Path]:
    """A hidden folder to prepare files in, used by one process at a time and deleted on success."""
    made = _make_folder(home)
    stage = home / _STAGE.format(name)
    try:
        stage.mkdir(exist_ok=True)
        with _alone(stage):
            yield stage
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        for folder in (stage, *made):
            with suppress(OSError):  # folders that are not empty stay
                folder.rmdir()


def _make_folder(folder: Path) -> list[Path]:
    """Create a folder and its parents. Returns the new folders, the innermost first."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return new


@contextmanager
def _alone(stage: Path) -> Iterator[None]:
    """Raise DataError if another process works in `stage`. The lock is released whenever its process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder = os.open(stage, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"expected exclusive use of {stage}, found another download in progress; wait for it"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(folder)


def _bring(archive: Archive, stage: Path, source: str | None, progress: Progress, timeout: float) -> Path:
    """The verified archive: from the folder `source`, or downloaded into `stage`."""
    if source is not None and "://" not in source:
        path = Path(source) / archive.file
        _require_whole(path, archive, progress)
        return path
    path = stage / archive.file
    if path.exists() and _is_whole(path, archive, progress):
        return path
    part = stage / f"{archive.file}.part"
    have = part.stat().st_size if part.exists() else 0
    require_room(stage, 2 * archive.size - have, f"{archive.file} and its content")
    urls = [f"{source.rstrip('/')}/{archive.file}"] if source else archive.urls
    _download(urls, path, archive, progress, timeout)
    return path


def _download(urls: Sequence[str], path: Path, archive: Archive, progress: Progress, timeout: float) -> None:
    """Download from the first address that works."""
    failed: list[str] = []
    for url in urls:
        try:
            download(url, path, sha256=archive.sha256, size=archive.size, progress=progress, timeout=timeout)
        except DownloadError as error:
            failed.append(str(error))
        else:
            return
    raise DownloadError(f"{'; '.join(failed)}. Or download {archive.file} yourself and pass its folder with --from")


def _require_whole(path: Path, archive: Archive, progress: Progress) -> None:
    if not path.is_file():
        raise DataError(f"expected {archive.file} ({in_bytes(archive.size)}) in {path.parent}, found none")
    if not _is_whole(path, archive, progress):
        raise DataError(
            f"expected {path} to have {archive.size:,} bytes and sha256 {archive.sha256}, found another file "
            f"({path.stat().st_size:,} bytes)"
        )


def _is_whole(path: Path, archive: Archive, progress: Progress) -> bool:
    if path.stat().st_size != archive.size:
        return False
    with progress(f"check {archive.file}", archive.size, "bytes") as advance:
        return sha256_file(path, advance) == archive.sha256


def _install(archive: Archive, path: Path, stage: Path, root: Path, progress: Progress, again: bool) -> None:
    half = stage / f"{archive.file}.half"
    shutil.rmtree(half, ignore_errors=True)
    try:
        unpack(path, half, keeps=archive.keeps, progress=progress)
        for folder in archive.keeps:
            _put_in_place(half / folder, root / archive.below / folder, root / archive.sign, again)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    if path.parent == stage:
        path.unlink()


def _put_in_place(ready: Path, target: Path, sign: Path, again: bool) -> None:
    """Move a folder into place: in one step if nothing is there, else file by file with the annotations last.

    Raises DataError instead of replacing a file of other content, unless `again`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        ready.rename(target)
        return
    moves = [(file, target / file.relative_to(ready)) for file in ready.rglob("*") if file.is_file()]
    for file, destination in () if again else moves:
        if destination.exists() and not filecmp.cmp(file, destination, shallow=False):
            raise DataError(
                f"expected no files but official ones in {target}, found another {destination.name}; move it away, or "
                "pass --again to replace it"
            )
    for file, destination in sorted(moves, key=lambda move: _move_order(move[1], sign)):
        destination.parent.mkdir(parents=True, exist_ok=True)
        file.replace(destination)


def _move_order(path: Path, sign: Path) -> tuple[bool, bool, Path]:
    return path == sign, path.suffix.lower() not in SUFFIXES, path
