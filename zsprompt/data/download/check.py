"""Looking a data set over: its counts against the published ones, and images that are missing, damaged or double."""

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
from zsprompt.data.download.catalogue import Counts, Known
from zsprompt.data.images import SUFFIXES, ImageFile, ImageRef, decode, find_images
from zsprompt.errors import DataError, ImageError

_AT_ONCE = 256  # images handed to the threads at a time: an interruption waits for no more


@dataclass(frozen=True)
class ListCheck:
    """One list of a data set against what was published.

    Attributes:
        split: its name.
        images: N.
        published: what N should be; None where nobody said.
        positives: label -> images it is present on.
        published_positives: label -> what that should be, for the labels that somebody published.
        left_out: label -> images it is left out on (VOC "difficult"), for those that have some.
        unlabelled: images on which no label is present.
    """

    split: str
    pictures: int
    published: int | None
    positives: Mapping[str, int]
    published_positives: Mapping[str, int]
    left_out: Mapping[str, int]
    unlabelled: int

    @property
    def wrong(self) -> dict[str, tuple[int, int]]:
        """Labels whose positives are not the published ones: what was found, what was published."""
        published = self.published_positives.items()
        return {label: (self.positives.get(label, 0), n) for label, n in published if self.positives.get(label, 0) != n}


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        name: the data set's.
        lists: those that were looked at.
        absent: further lists of the set that are not here.
        images: how many different ones the lists name.
        read: whether they were read, and not only looked for.
        missing: ids of those that are not there, each with the path of a file that may be meant, or "".
        unreadable: ids of those that cannot be read, with the reason.
        doubles: ids of images with the same content, one group each; labels differ where the flag says so.
        extra: image files beside them that no list names; None where only some of the lists were looked at.
        shared: ids of images that stand in more than one list.
        alike: groups of labels that differ in capitals, blanks, hyphens and underscores alone.
    """

    name: str
    lists: tuple[ListCheck, ...]
    absent: tuple[str, ...]
    pictures: int
    read: bool
    missing: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    doubles: tuple[tuple[tuple[str, ...], bool], ...]
    extra: tuple[str, ...] | None
    shared: tuple[str, ...]
    alike: tuple[tuple[str, ...], ...]

    @property
    def faults(self) -> list[str]:
        """What has to be mended before a result on this data set means what it says; empty if nothing."""
        return [
            *(fault for checked in self.lists for fault in _count_faults(checked)),
            *([f"{counted(len(self.missing), 'picture')} missing"] if self.missing else []),
            *([f"{counted(len(self.unreadable), 'picture')} unreadable"] if self.unreadable else []),
            *([f"{counted(len(self.shared), 'picture')} in more than one list"] if self.shared else []),
            *([f"{counted(contrary, 'picture')} twice with different labels"] if (contrary := self.contrary) else []),
            *(f"labels that look alike: {', '.join(map(repr, group))}" for group in self.alike),
        ]

    @property
    def contrary(self) -> int:
        """How many images are there more than once, with different labels."""
        return sum(differ for _, differ in self.doubles)


def check(
    datasets: Sequence[Dataset],
    *,
    root: Path | None = None,
    known: Known | None = None,
    absent: Sequence[str] = (),
    read: bool = True,
    beside: bool = True,
    progress: Progress = quiet,
    threads: int | None = None,
) -> Report:
    """Look over lists of one data set, loaded with its raw label names.

    Args:
        datasets: the lists, all of the same labels.
        root: the folder it was loaded from; images beside those that are named are looked for below it.
        known: what was published about it.
        absent: further lists of the set that are not here.
        read: read and decode every image; otherwise only look whether its file is there.
        beside: say which images are in none of the lists; of use only where `datasets` are all there are.
        progress: is told of images.
        threads: that read images; by default as many as there are processors.
    """
    refs = _distinct(datasets)
    looked = list(_look_at(list(refs.values()), read, progress, threads or os.cpu_count() or 1))
    extra = _extra(refs.values(), root)
    missing = [ref for ref, seen in zip(refs.values(), looked, strict=True) if seen.missing]
    return Report(
        name=datasets[0].name,
        lists=tuple(_compare(data, known.splits.get(data.split) if known else None) for data in datasets),
        absent=tuple(absent),
        pictures=len(refs),
        read=read,
        missing=tuple(zip((ref.id for ref in missing), _meant(missing, extra), strict=True)),
        unreadable=tuple((ref.id, s.reason) for ref, s in zip(refs.values(), looked, strict=True) if s.reason),
        doubles=tuple(_doubles(datasets, list(refs), looked)),
        extra=tuple(map(str, extra)) if beside else None,
        shared=_shared(datasets),
        alike=_alike(datasets[0].labels),
    )


@dataclass(frozen=True)
class _Seen:
    """What came of looking at one image."""

    digest: bytes = b""  # of its content; empty if it was not read
    missing: bool = False
    reason: str = ""  # why it cannot be read


def _compare(data: Dataset, published: Counts | None) -> ListCheck:
    positives = (data.targets == 1).sum(axis=0).tolist()
    left_out = (data.targets == -1).sum(axis=0).tolist()
    return ListCheck(
        split=data.split,
        pictures=len(data.images),
        published=published.pictures if published else None,
        positives=dict(zip(data.labels, positives, strict=True)),
        published_positives=published.positives if published else {},
        left_out={label: n for label, n in zip(data.labels, left_out, strict=True) if n},
        unlabelled=int((~(data.targets == 1).any(axis=1)).sum()),
    )


def _count_faults(checked: ListCheck) -> Iterator[str]:
    if checked.published is not None and checked.pictures != checked.published:
        yield f"{checked.split} has {counted(checked.pictures, 'picture')}, published are {checked.published:,}"
    elif wrong := checked.wrong:
        label, (found, published) = next(iter(wrong.items()))
        more = f"; {counted(len(wrong) - 1, 'other label')} too" if len(wrong) > 1 else ""
        yield f"{checked.split} has {label!r} on {counted(found, 'picture')}, published are {published:,}{more}"


def _distinct(datasets: Sequence[Dataset]) -> dict[str, ImageRef]:
    """Every image once, whatever lists name it."""
    return {ref.id: ref for data in datasets for ref in data.images}


def _shared(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    found = Counter(ref.id for data in datasets for ref in data.images)
    return tuple(name for name, lists in found.items() if lists > 1)


def _alike(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(re.sub(r"[\s_-]+", "", label).casefold(), []).append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _look_at(refs: Sequence[ImageRef], read: bool, progress: Progress, threads: int) -> Iterator[_Seen]:
    with ThreadPoolExecutor(threads) as pool, progress("check pictures", len(refs), "pictures") as advance:
        for start in range(0, len(refs), _AT_ONCE):
            for seen in pool.map(partial(_look, read=read), refs[start : start + _AT_ONCE]):
                advance(1)
                yield seen


def _look(ref: ImageRef, *, read: bool) -> _Seen:
    path = _path(ref)
    if path is not None and not _exists(path):
        return _Seen(missing=True)
    if not read:
        return _Seen()
    try:
        data = ref.read()
        decode(data)
    except ImageError as error:
        return _Seen(reason=str(error))
    return _Seen(hashlib.sha256(data).digest())


def _path(ref: ImageRef) -> Path | None:
    """The file that an image is; None where it has no file of its own."""
    return ref.path if isinstance(ref, ImageFile) else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _doubles(
    datasets: Sequence[Dataset], ids: Sequence[str], looked: Sequence[_Seen]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    groups: dict[bytes, list[str]] = {}
    for name, seen in zip(ids, looked, strict=True):
        if seen.digest:
            groups.setdefault(seen.digest, []).append(name)
    double = {name for group in groups.values() if len(group) > 1 for name in group}
    rows = {
        ref.id: row.tobytes()
        for data in datasets
        for ref, row in zip(data.images, data.targets, strict=True)
        if ref.id in double
    }
    for group in groups.values():
        if len(group) > 1:
            yield tuple(group), len({rows[name] for name in group}) > 1


def _extra(refs: Iterable[ImageRef], root: Path | None) -> list[Path]:
    """Image files below the folder that holds them all, or else in their own folders, that are none of `refs`."""
    named = {Path(os.path.normpath(path.absolute())) for ref in refs if (path := _path(ref))}
    parents = {path.parent for path in named}
    if not parents:
        return []
    top = Path(os.path.commonpath(parents))
    inside = root is not None and top.is_relative_to(Path(os.path.normpath((_folder_of(root)).absolute())))
    found = _images_below(top) if inside else [path for parent in sorted(parents) for path in _images_in(parent)]
    return [path for path in found if path not in named]


def _folder_of(root: Path) -> Path:
    return root if root.is_dir() else root.parent


def _images_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return [image.path for image in find_images([folder])[0]]
    except DataError:  # none there
        return []


def _images_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError:
        return []


def _meant(missing: Sequence[ImageRef], extra: Sequence[Path]) -> list[str]:
    """For each missing image a file whose name differs in capitals, ending or folder alone; else ""."""
    by_stem: dict[str, Path] = {}
    for path in extra:
        by_stem.setdefault(path.stem.lower(), path)
    paths = [_path(ref) for ref in missing]
    stems = [path.stem.lower() if path else "" for path in paths]
    return [str(by_stem[stem]) if stem in by_stem else "" for stem in stems]
