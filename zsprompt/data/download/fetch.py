"""Fetching a data set's official archives and putting them in place: whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from zsprompt._utils.http_download import download, require_room, sha256_file
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import in_bytes
from zsprompt.data.download.catalogue import Archive, Known
from zsprompt.data.download.unpack import unpack
from zsprompt.data.images import SUFFIXES
from zsprompt.errors import DataError, DownloadError, UnknownName

_STAGE = ".zsprompt-fetch-{}"


def fetch(
    known: Known,
    root: Path,
    *,
    split: str | None = None,
    again: bool = False,
    source: str | None = None,
    progress: Progress = quiet,
    timeout: float = 30.0,
) -> list[Archive]:
    """Fetch what is missing of a data set, one archive after the other; those that were put in place.

    An archive is downloaded, checked and unpacked in a hidden folder in `root` (in `known.top`, if that is a link to
    another disk), and its folders are moved to where they belong when they are whole. What stops half-way stays
    hidden there, and the next call goes on from it.

    Args:
        known: the data set.
        root: the folder that --root will name; it is made. What is fetched goes into `known.top` in it, or into the
            folder itself if that is its name.
        split: only what this list needs; by default all.
        again: also what is in place already; files of the same name are replaced, others stay.
        source: a folder, or the address of one, that holds the archives instead of their official addresses.
        progress: is told of bytes.
        timeout: seconds without a byte after which a connection counts as lost.

    Raises:
        DataError: it must be fetched by hand, an archive is damaged or not safe, or `root` cannot be written or holds
            the set in another place.
        DownloadError: an archive cannot be fetched, is not what was promised, or there is no room.
        UnknownName: no such list.
    """
    wanted = _wanted(known, split)
    root = known.base(root)
    _refuse_another(known, root)
    missing = [archive for archive in wanted if again or not (root / archive.sign).exists()]
    if not missing:
        return []
    try:
        with _stage(_home(root, known), known.name) as stage:
            for archive in missing:
                path = _bring(archive, stage, source, progress, timeout)
                _install(archive, path, stage, root, progress)
    except OSError as error:
        full = f"; make room for {in_bytes(sum(a.size for a in missing))}" if error.errno == errno.ENOSPC else ""
        raise DataError(f"cannot put {known.name} into {root} ({error.strerror or error}){full}") from None
    return missing


def _wanted(known: Known, split: str | None) -> list[Archive]:
    if not known.archives:
        raise DataError(f"{known.title} cannot be fetched for you: {known.manual}; then name its folder with --root")
    if split is not None and split not in known.lists():
        raise UnknownName(f"split of {known.name}", split, known.lists())
    return [archive for archive in known.archives if split is None or split in archive.splits]


def _refuse_another(known: Known, root: Path) -> None:
    """Raise DataError if `root` holds the set in another place, which a loader would find first."""
    signs = [sign for sign in known.signs if Path(sign).parts[0] != known.top]
    found = next((path for sign in signs for path in sorted(root.glob(sign))), None)
    if found:
        raise DataError(
            f"expected no other {known.name} in {root}, found {found}, which would be used in its place; "
            "choose another folder with --root, or move that one away"
        )


def _home(root: Path, known: Known) -> Path:
    """Where to make things ready: on the disk where they will be, so `root`, or where a link in it leads."""
    top = root / known.top
    return top if top.is_symlink() and top.is_dir() else root


@contextmanager
def _stage(home: Path, name: str) -> Iterator[Path]:
    """The hidden folder where things are made ready, for one process at a time; deleted when all went well."""
    made = _make_folder(home)
    stage = home / _STAGE.format(name)
    try:
        stage.mkdir(exist_ok=True)
        with _alone(stage):
            yield stage
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        for folder in (stage, *made):
            with suppress(OSError):  # what holds something stays
                folder.rmdir()


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; the new ones, the lowest first."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return new


@contextmanager
def _alone(stage: Path) -> Iterator[None]:
    """Raise DataError if another process works in `stage`; the lock ends with its process, however that ends."""
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
                f"expected to be alone in {stage}, found another fetch at work there; wait for it"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(folder)


def _bring(archive: Archive, stage: Path, source: str | None, progress: Progress, timeout: float) -> Path:
    """The checked archive: in the folder that `source` names, else downloaded into `stage`."""
    if source is not None and "://" not in source:
        path = Path(source) / archive.file
        _require_whole(path, archive, progress)
        return path
    path = stage / archive.file
    if path.exists() and _is_whole(path, archive, progress):
        return path
    part = stage / f"{archive.file}.part"
    have = part.stat().st_size if part.exists() else 0
    require_room(stage, 2 * archive.size - have, f"{archive.file} and what is in it")
    urls = [f"{source.rstrip('/')}/{archive.file}"] if source else archive.urls
    _download(urls, path, archive, progress, timeout)
    return path


def _download(urls: Sequence[str], path: Path, archive: Archive, progress: Progress, timeout: float) -> None:
    """From the first address that has it."""
    failed: list[str] = []
    for url in urls:
        try:
            download(url, path, sha256=archive.sha256, size=archive.size, progress=progress, timeout=timeout)
        except DownloadError as error:
            failed.append(str(error))
        else:
            return
    raise DownloadError(f"{'; '.join(failed)}. Or download {archive.file} yourself and name its folder with --from")


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


def _install(archive: Archive, path: Path, stage: Path, root: Path, progress: Progress) -> None:
    half = stage / f"{archive.file}.half"
    shutil.rmtree(half, ignore_errors=True)
    try:
        unpack(path, half, keeps=archive.keeps, progress=progress)
        for folder in archive.keeps:
            _put_in_place(half / folder, root / archive.below / folder, root / archive.sign)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    if path.parent == stage:
        path.unlink()


def _put_in_place(ready: Path, target: Path, sign: Path) -> None:
    """Move a folder to where it belongs: at once where nothing is, else file by file, what makes it count last."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        ready.rename(target)
        return
    moves = [(file, target / file.relative_to(ready)) for file in ready.rglob("*") if file.is_file()]
    for file, place in sorted(moves, key=lambda move: _late(move[1], sign)):
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def _late(path: Path, sign: Path) -> tuple[bool, bool, Path]:
    return path == sign, path.suffix.lower() not in SUFFIXES, path
