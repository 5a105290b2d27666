"""Where the images of a list are: names may be relative to it, from another computer, or from Label Studio."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from zsprompt.data.image_lists.columns import ListRow, looks_like_image
from zsprompt.data.images import ImageFile
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

IMAGE_FOLDERS = ("", "data", "images")
"""Folders next to a list that may contain its images."""

_OTHER_FOLDERS = ("Images", "image", "img", "imgs", "photos", "JPEGImages", "train", "..")
_SUFFIXES = ("", ".jpg", ".png", ".jpeg", ".JPG", ".JPEG", ".webp")
_SAMPLE = 20  # images that decide
_UPLOAD = re.compile(r"[0-9a-f]{8}-")  # Label Studio's prefix of uploaded files


def with_slashes(name: str) -> str:
    """The name with "/" for the "\\" of Windows."""
    return name.replace("\\", "/")


def _served(name: str) -> str:
    """The path in an address, or in Label Studio's /data/local-files/?d=…"""
    try:
        parts = urlsplit(with_slashes(name))
    except ValueError:  # brackets that are no address
        return name
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path)


def _last(name: str, count: int = 1) -> str:
    return "/".join(with_slashes(_served(name)).rstrip("/").split("/")[-count:])


_SLASHES = "with / for \\"
_FORMS: Mapping[str, Callable[[str], str]] = {
    "": lambda name: name,
    _SLASHES: with_slashes,
    "with the folder they name last": lambda name: _last(name, 2),
    "by file name alone": _last,
    "by the path that Label Studio serves": _served,
    "by file name without Label Studio's prefix": lambda name: _UPLOAD.sub("", _last(name), count=1),
}


@dataclass(frozen=True)
class ImagePlace:
    """How names in a list become paths.

    Attributes:
        folder: the folder to which names are relative.
        form: key of the change that names need; "" for none.
        suffix: suffix that names lack; "" for none.
    """

    folder: Path
    form: str = ""
    suffix: str = ""

    def path(self, name: str) -> Path:
        """Path of an image."""
        suffix = "" if not self.suffix or looks_like_image(name) else self.suffix
        return self.folder / (_FORMS[self.form](name) + suffix)

    def image(self, name: str) -> ImageFile:
        """The image with this name. Its id has "/" for the "\\" of Windows."""
        return ImageFile(name if self.form == "" else with_slashes(name), self.path(name))


def find_place(path: Path, names: Iterable[str], remarks: Remarks | None = None) -> ImagePlace:
    """The place where most of the first images of the list `path` exist; next to the list if none do.

    Names are changed only if no image exists under its own, and so that all stay different where a change does that.
    """
    every = list(names)
    sample = every[:_SAMPLE]
    slashes = any("\\" in name for name in sample)
    place = ImagePlace(path.parent, _SLASHES if slashes else "")
    for places in (_near(path, sample), _elsewhere(path, sample)):
        counts = {place: _existing(place, sample) for place in places}
        found = sorted((place for place in places if counts[place]), key=lambda place: -counts[place])
        if found:
            good = (place for place in found if 2 * counts[place] > counts[found[0]])
            place = next((place for place in good if _keeps_apart(place, every)), found[0])
            break
    if remarks is not None and (place.form or place.suffix or place.folder not in _usual(path)):
        remarks.add("image-place", _described(path, place))
    return place


def distinct_rows(place: ImagePlace, rows: Iterable[ListRow]) -> Iterator[ListRow]:
    """The rows, one by one.

    Raises:
        DataError: two names become the same path.
    """
    first: dict[Path, ListRow] = {}
    for row in rows:
        if (place.form or place.suffix) and row.ref is None:
            other = first.setdefault(place.path(row.image), row)
            if other.image != row.image:
                raise DataError(
                    f"{row.where}: expected another file than for {other.unit} {other.line}, found "
                    f"{place.path(row.image)} for both {other.image!r} and {row.image!r}; "
                    "write file names relative to the list"
                )
        yield row


def _usual(path: Path) -> list[Path]:
    return [path.parent / name for name in IMAGE_FOLDERS]


def _near(path: Path, sample: Sequence[str]) -> list[ImagePlace]:
    """The usual folders, with the names as they are written, or with slashes."""
    forms = ("", _SLASHES) if any("\\" in name for name in sample) else ("",)
    return [ImagePlace(folder, form) for form, folder in product(forms, _usual(path))]


def _elsewhere(path: Path, sample: Sequence[str]) -> list[ImagePlace]:
    """Other folders and changed names, those that change least first."""
    bare = any(not looks_like_image(name) for name in sample)
    folders = [*_usual(path), *(path.parent / name for name in _OTHER_FOLDERS)]
    return [
        ImagePlace(folder, form, suffix)
        for form, suffix, folder in product(_FORMS, _SUFFIXES if bare else ("",), folders)
        if form == "" or any(_FORMS[form](name) != name for name in sample)
    ]


def _existing(place: ImagePlace, sample: Sequence[str]) -> int:
    """Number of images that exist; 0 if two names become one."""
    paths = {place.path(name) for name in sample}
    return sum(map(_is_file, paths)) if len(paths) == len(set(sample)) else 0


def _keeps_apart(place: ImagePlace, names: Sequence[str]) -> bool:
    """Whether different names become different paths."""
    if not (place.form or place.suffix):
        return True
    different = set(names)
    return len({place.path(name) for name in different}) == len(different)


def _described(path: Path, place: ImagePlace) -> str:
    folder = place.folder.relative_to(path.parent).as_posix()
    where = {".": "next to", "..": "in the folder above"}.get(folder, f"in {folder}/ next to")
    how = f", {place.form}" if place.form else ""
    ending = f", with {place.suffix} added to each name" if place.suffix else ""
    return f"{where} {path.name}{how}{ending}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
