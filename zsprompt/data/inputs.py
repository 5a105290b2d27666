"""Images given on the command line: files, folders, tar files and lists of file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from zsprompt._utils.outputs import Reads, reads_folder, same_file
from zsprompt.data.image_lists import LIST_SUFFIXES, distinct_rows, find_place, read_rows
from zsprompt.data.images import SUFFIXES, ImageFile, ImageRef, find_images, leave_out, no_images
from zsprompt.data.remarks import Remark, Remarks
from zsprompt.data.tars import PACKED_SUFFIXES, TAR_SUFFIXES, TarMember, read_members
from zsprompt.errors import DataError

Paths = Iterable[Path | str] | Path | str
"""One path or several."""

_DECIDING = 20  # rows of a list that decide where its images are


@dataclass(frozen=True)
class Sources:
    """Images from several inputs. Tar files and lists are counted, but read only on iteration.

    Attributes:
        files: images given as files or in folders.
        streams: tar files and lists, in the given order.
        count: number of all images.
        remarks: what was left out of folders and tar files, or guessed.
    """

    files: tuple[ImageFile, ...]
    streams: tuple[Path, ...]
    count: int
    remarks: tuple[Remark, ...]

    def __iter__(self) -> Iterator[ImageRef]:
        """Files and folders first, then tar files and lists in the given order."""
        yield from self.files
        for path in self.streams:
            yield from _refs(path, Remarks())


def sources_of(paths: Paths) -> Sources:
    """The images at one path or several. Raises DataError, see `find_sources`."""
    return find_sources([Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)])


def find_sources(paths: Sequence[Path]) -> Sources:
    """Check and count the images at `paths`. Tar files and lists are read once, so that errors surface early.

    Args:
        paths: images; folders, searched to any depth; .tar files; .csv, .tsv, .jsonl, .json and .parquet lists of file
            names relative to the list.

    Raises:
        DataError: a path is missing or cannot be read, a tar file or list is broken, or there are no images.
    """
    streams = tuple(path for path in paths if _is_stream(path))
    others = [path for path in paths if not _is_stream(path)]
    files, left_out = find_images(others) if others or not streams else ([], ())
    remarks = Remarks()
    remarks.add_all(left_out)
    count = len(files)
    for path in streams:
        if path.exists() and not path.is_file():
            raise DataError(f"expected a file at {path}, found a pipe or device; save it first, as it is read twice")
        count += sum(1 for _ in _refs(path, remarks))
    if not count:
        raise no_images(", ".join(map(str, paths)), remarks.found())
    return Sources(tuple(files), streams, count, remarks.found())


def reads_sources(paths: Sequence[Path]) -> Reads:
    """For a command that reads the images at `paths`: the paths, images in folders, and images that lists name."""
    folders = [reads_folder(path, suffixes=SUFFIXES) for path in paths if path.is_dir()]

    def reads(out: Path) -> bool:
        if any(same_file(path, out) for path in paths) or any(reads(out) for reads in folders):
            return True
        lists = [path for path in paths if path.name.lower().endswith(LIST_SUFFIXES)]
        return any(reads_images(_listed(path, Remarks()))(out) for path in lists)

    return reads


def image_among(images: Iterable[ImageRef], files: Iterable[Path]) -> Path | None:
    """The first of `files` that is one of these images, or a tar file that holds one. Each image is looked at once."""
    by_place = {(status.st_dev, status.st_ino): file for file in files for status in [file.stat()]}
    for path in _files_of(images) if by_place else ():
        with suppress(OSError, ValueError):  # an image that is missing is reported when it is read
            status = path.stat()
            if (status.st_dev, status.st_ino) in by_place:
                return by_place[status.st_dev, status.st_ino]
    return None


def reads_images(images: Iterable[ImageRef]) -> Reads:
    """For a command that reads these images."""

    def reads(out: Path) -> bool:
        return any(same_file(path, out) for path in _files_of(images))

    return reads


def _files_of(images: Iterable[ImageRef]) -> Iterator[Path]:
    """The file of each image, or the tar file that holds it."""
    for image in images:
        if isinstance(image, TarMember):
            yield image.tar
        elif isinstance(image, ImageFile):
            yield image.path


def _is_stream(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((*TAR_SUFFIXES, *PACKED_SUFFIXES, *LIST_SUFFIXES)) and not path.is_dir()


def _refs(path: Path, remarks: Remarks) -> Iterator[ImageRef]:
    """The images of a tar file or list; `remarks` gets the other files."""
    if path.name.lower().endswith(LIST_SUFFIXES):
        yield from _listed(path, remarks)
        return
    for member in read_members(path, remarks):
        if member.is_image:
            yield member
        else:
            leave_out(member.id, remarks)


def _listed(path: Path, remarks: Remarks) -> Iterator[ImageRef]:
    rows = iter(read_rows(path, images_only=True, remarks=remarks))
    first = list(islice(rows, _DECIDING))
    place = find_place(path, [row.image for row in first if row.ref is None], remarks)
    for row in distinct_rows(place, chain(first, rows)):
        yield row.ref or place.image(row.image)
