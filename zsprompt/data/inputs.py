"""Images given on the command line: files, folders, tar files and lists of file names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsprompt.data.image_lists import LIST_SUFFIXES, image_folder, read_rows
from zsprompt.data.images import ImageFile, ImageRef, find_images
from zsprompt.data.tars import PACKED_SUFFIXES, TAR_SUFFIXES, read_members
from zsprompt.errors import DataError

Paths = Sequence[Path | str] | Path | str
"""One path or several."""


@dataclass(frozen=True)
class Sources:
    """Images from several inputs. Tar files and lists are counted, but read only on iteration.

    Attributes:
        files: images given as files or in folders.
        streams: tar files and lists, in the given order.
        count: number of all images.
        passed_over: number of other files in folders and tar files.
    """

    files: tuple[ImageFile, ...]
    streams: tuple[Path, ...]
    count: int
    passed_over: int

    def __iter__(self) -> Iterator[ImageRef]:
        """Files and folders first, then tar files and lists in the given order."""
        yield from self.files
        for path in self.streams:
            yield from (ref for ref in _refs(path) if ref is not None)


def sources_of(paths: Paths) -> Sources:
    """The images at one path or several. Raises DataError, see `find_sources`."""
    return find_sources([Path(path) for path in ([paths] if isinstance(paths, Path | str) else paths)])


def find_sources(paths: Sequence[Path]) -> Sources:
    """Check and count the images at `paths`. Tar files and lists are read once, so that errors surface early.

    Args:
        paths: images; folders, searched to any depth; .tar files; .csv, .tsv, .jsonl and .parquet lists of file
            names relative to the list.

    Raises:
        DataError: a path is missing or cannot be read, a tar file or list is broken, or there are no images.
    """
    streams = tuple(path for path in paths if _is_stream(path))
    others = [path for path in paths if not _is_stream(path)]
    files, passed_over = find_images(others) if others or not streams else ([], 0)
    count = len(files)
    for path in streams:
        if path.exists() and not path.is_file():
            raise DataError(f"expected a file at {path}, found a pipe or device; save it first, as it is read twice")
        for ref in _refs(path):
            count += ref is not None
            passed_over += ref is None
    if not count:
        raise DataError(f"expected images in {', '.join(map(str, paths))}, found {passed_over:,} other files")
    return Sources(tuple(files), streams, count, passed_over)


def _is_stream(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((*TAR_SUFFIXES, *PACKED_SUFFIXES, *LIST_SUFFIXES)) and not path.is_dir()


def _refs(path: Path) -> Iterator[ImageRef | None]:
    """The images of a tar file or list; None for each other file."""
    if path.name.lower().endswith(LIST_SUFFIXES):
        yield from _listed(path)
    else:
        yield from (member if member.is_image else None for member in read_members(path))


def _listed(path: Path) -> Iterator[ImageFile]:
    folder = None
    for row in read_rows(path, images_only=True):
        folder = folder or image_folder(path, row.image)
        yield ImageFile(row.image, folder / row.image)
