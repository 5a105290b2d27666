"""Verifying a data set: counts against published ones, and missing, damaged or duplicate images."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.data.dataset import Dataset
from zsprompt.data.download.catalogue import CatalogueEntry, Counts
from zsprompt.data.images import SUFFIXES, ImageFile, ImageRef, decode, find_images
from zsprompt.data.remarks import Remark
from zsprompt.errors import DataError, ImageError

_CHUNK = 256  # images per batch of the threads; an interruption waits for one batch at most


@dataclass(frozen=True)
class SplitCheck:
    """One split of a data set, compared with its published counts.

    Attributes:
        split: name of the split.
        images: number of images.
        published: published number of images; None if not published.
        positives: label -> number of positives.
        published_positives: label -> published number of positives, where published.
        left_out: label -> number of images where it is left out (VOC "difficult"); labels without any are omitted.
        unlabelled: number of images without any label.
    """

    split: str
    images: int
    published: int | None
    positives: Mapping[str, int]
    published_positives: Mapping[str, int]
    left_out: Mapping[str, int]
    unlabelled: int

    @property
    def wrong(self) -> dict[str, tuple[int, int]]:
        """Labels whose positives differ from the published number: label -> (actual, published)."""
        published = self.published_positives.items()
        return {label: (self.positives.get(label, 0), n) for label, n in published if self.positives.get(label, 0) != n}


_COUNTS = "compare the splits with the published ones"
_MISSING = "correct the file names or add the images"
_UNREADABLE = "replace the unreadable images"
_SKIP = "`zsprompt run --skip-bad` excludes missing and unreadable images"
_SHARED = "list each image in one split"
_CONFLICTS = "give duplicates the same labels, or remove them"
_ALIKE = "spell each label in one way"


@dataclass(frozen=True)
class _Fault:
    """A fault, what to do about it in files of one's own, and whether fetching an official data set could end it."""

    text: str
    remedies: tuple[str, ...]
    fetched: bool = False


@dataclass(frozen=True)
class Report:
    """Result of `check`.

    Attributes:
        name: name of the data set.
        splits: the checked splits.
        absent: other splits of the data set that are not there.
        images: number of distinct images in the splits.
        read: whether the images were read; otherwise only their existence was checked.
        missing: (id, path) of each missing image; the path is a file with a similar name, or "".
        unreadable: (id, reason) of each image that cannot be read.
        duplicates: (ids, whether their labels differ) of each group of images with the same content.
        unlisted: image files that no split names; None if only some splits were checked.
        shared: ids of images in more than one split.
        similar_labels: groups of labels that differ only in case, blanks, hyphens and underscores.
        remarks: what the loader left out or guessed, over all splits.
    """

    name: str
    splits: tuple[SplitCheck, ...]
    absent: tuple[str, ...]
    images: int
    read: bool
    missing: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[tuple[str, ...], bool], ...]
    unlisted: tuple[str, ...] | None
    shared: tuple[str, ...]
    similar_labels: tuple[tuple[str, ...], ...]
    remarks: tuple[Remark, ...] = ()

    @property
    def faults(self) -> list[str]:
        """Faults to fix before a result on this data set can be trusted; empty if there are none."""
        return [fault.text for fault in self._faults()]

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to do about the faults of files of one's own, each once."""
        remedies = dict.fromkeys(remedy for fault in self._faults() for remedy in fault.remedies)
        return tuple(sorted(remedies, key=lambda remedy: remedy == _SKIP))

    @property
    def incomplete(self) -> bool:
        """Whether there are faults that fetching an official data set again could end."""
        return any(fault.fetched for fault in self._faults())

    def _faults(self) -> Iterator[_Fault]:
        for checked in self.splits:
            yield from (_Fault(text, (_COUNTS,), fetched=True) for text in _count_faults(checked))
        if self.missing:
            yield _Fault(
                f"{counted(len(self.missing), 'image')} missing",
                (_MISSING, _SKIP),
                fetched=True,
            )
        if self.unreadable:
            yield _Fault(
                f"{counted(len(self.unreadable), 'image')} unreadable",
                (_UNREADABLE, _SKIP),
                fetched=True,
            )
        if self.shared:
            yield _Fault(f"{counted(len(self.shared), 'image')} in more than one split", (_SHARED,))
        if self.conflicts:
            yield _Fault(f"{counted(self.conflicts, 'image')} duplicated with different labels", (_CONFLICTS,))
        for group in self.similar_labels:
            yield _Fault(f"labels that look alike: {', '.join(map(repr, group))}", (_ALIKE,))

    @property
    def conflicts(self) -> int:
        """Number of groups of duplicate images whose labels differ."""
        return sum(differ for _, differ in self.duplicates)


def check(
    datasets: Sequence[Dataset],
    *,
    root: Path | None = None,
    entry: CatalogueEntry | None = None,
    absent: Sequence[str] = (),
    read: bool = True,
    complete: bool = True,
    progress: Progress = quiet,
    threads: int | None = None,
) -> Report:
    """Verify splits of one data set, loaded with raw label names.

    Args:
        datasets: the splits, with the same labels.
        root: folder of the data set, to search for unlisted images.
        entry: its entry in the catalogue, with published counts.
        absent: other splits of the data set that are not there.
        read: read and decode every image; otherwise only check that its file exists.
        complete: whether `datasets` are all splits; only then can unlisted images be reported.
        progress: reports the images checked.
        threads: number of reading threads; defaults to the number of processors.
    """
    refs = _distinct(datasets)
    checks = list(_check_images(list(refs.values()), read, progress, threads or os.cpu_count() or 1))
    unlisted = _unlisted(refs.values(), root)
    missing = [ref for ref, checked in zip(refs.values(), checks, strict=True) if checked.missing]
    return Report(
        name=datasets[0].name,
        splits=tuple(_compare(data, entry.splits.get(data.split) if entry else None) for data in datasets),
        absent=tuple(absent),
        images=len(refs),
        read=read,
        missing=tuple(zip((ref.id for ref in missing), _similar_files(missing, unlisted), strict=True)),
        unreadable=tuple((ref.id, c.reason) for ref, c in zip(refs.values(), checks, strict=True) if c.reason),
        duplicates=tuple(_duplicates(datasets, list(refs), checks)),
        unlisted=tuple(map(str, unlisted)) if complete else None,
        shared=_shared(datasets),
        similar_labels=_similar_labels(datasets[0].labels),
        remarks=tuple(dict.fromkeys(remark for data in datasets for remark in data.remarks)),
    )


@dataclass(frozen=True)
class _ImageCheck:
    """Result of checking one image."""

    digest: bytes = b""  # of its content; empty if it was not read
    missing: bool = False
    reason: str = ""  # why it cannot be read


def _compare(data: Dataset, published: Counts | None) -> SplitCheck:
    positives = (data.targets == 1).sum(axis=0).tolist()
    left_out = (data.targets == -1).sum(axis=0).tolist()
    return SplitCheck(
        split=data.split,
        images=len(data.images),
        published=published.images if published else None,
        positives=dict(zip(data.labels, positives, strict=True)),
        published_positives=published.positives if published else {},
        left_out={label: n for label, n in zip(data.labels, left_out, strict=True) if n},
        unlabelled=int((~(data.targets == 1).any(axis=1)).sum()),
    )


def _count_faults(checked: SplitCheck) -> Iterator[str]:
    if checked.published is not None and checked.images != checked.published:
        yield f"{checked.split} has {counted(checked.images, 'image')}, but {checked.published:,} are published"
    elif wrong := checked.wrong:
        label, (actual, published) = next(iter(wrong.items()))
        more = f", and {counted(len(wrong) - 1, 'more label')} with wrong counts" if len(wrong) > 1 else ""
        yield f"{checked.split} has {label!r} on {counted(actual, 'image')}, but {published:,} are published{more}"


def _distinct(datasets: Sequence[Dataset]) -> dict[str, ImageRef]:
    """Every image once, by id."""
    return {ref.id: ref for data in datasets for ref in data.images}


def _shared(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    splits_per_image = Counter(ref.id for data in datasets for ref in data.images)
    return tuple(name for name, splits in splits_per_image.items() if splits > 1)


def _similar_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(re.sub(r"[\s_-]+", "", label).casefold(), []).append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _check_images(refs: Sequence[ImageRef], read: bool, progress: Progress, threads: int) -> Iterator[_ImageCheck]:
    with ThreadPoolExecutor(threads) as pool, progress("check images", len(refs), "images") as advance:
        for start in range(0, len(refs), _CHUNK):
            for checked in pool.map(partial(_check_image, read=read), refs[start : start + _CHUNK]):
                advance(1)
                yield checked


def _check_image(ref: ImageRef, *, read: bool) -> _ImageCheck:
    path = _path(ref)
    if path is not None and not _exists(path):
        return _ImageCheck(missing=True)
    if not read:
        return _ImageCheck()
    try:
        data = ref.read()
        decode(data)
    except ImageError as error:
        return _ImageCheck(reason=str(error))
    return _ImageCheck(hashlib.sha256(data).digest())


def _path(ref: ImageRef) -> Path | None:
    """The file of an image; None if it is not stored in a file of its own."""
    return ref.path if isinstance(ref, ImageFile) else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _duplicates(
    datasets: Sequence[Dataset], ids: Sequence[str], checks: Sequence[_ImageCheck]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    groups: dict[bytes, list[str]] = {}
    for name, checked in zip(ids, checks, strict=True):
        if checked.digest:
            groups.setdefault(checked.digest, []).append(name)
    duplicated = {name for group in groups.values() if len(group) > 1 for name in group}
    rows = {
        ref.id: row.tobytes()
        for data in datasets
        for ref, row in zip(data.images, data.targets, strict=True)
        if ref.id in duplicated
    }
    for group in groups.values():
        if len(group) > 1:
            yield tuple(group), len({rows[name] for name in group}) > 1


def _unlisted(refs: Iterable[ImageRef], root: Path | None) -> list[Path]:
    """Image files that are not in `refs`: below their common folder if it is inside `root`, else in their folders."""
    listed = {Path(os.path.normpath(path.absolute())) for ref in refs if (path := _path(ref))}
    parents = {path.parent for path in listed}
    if not parents:
        return []
    top = Path(os.path.commonpath(parents))
    inside = root is not None and top.is_relative_to(Path(os.path.normpath((_folder_of(root)).absolute())))
    files = _images_below(top) if inside else [path for parent in sorted(parents) for path in _images_in(parent)]
    return [path for path in files if path not in listed]


def _folder_of(root: Path) -> Path:
    return root if root.is_dir() else root.parent


def _images_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return [image.path for image in find_images([folder])[0]]
    except DataError:  # no images
        return []


def _images_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError:
        return []


def _similar_files(missing: Sequence[ImageRef], unlisted: Sequence[Path]) -> list[str]:
    """For each missing image, a file whose name differs only in case, suffix or folder; else ""."""
    by_stem: dict[str, Path] = {}
    for path in unlisted:
        by_stem.setdefault(path.stem.lower(), path)
    paths = [_path(ref) for ref in missing]
    stems = [path.stem.lower() if path else "" for path in paths]
    return [str(by_stem[stem]) if stem in by_stem else "" for stem in stems]
