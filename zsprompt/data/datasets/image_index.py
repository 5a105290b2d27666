"""Indexes of the existing images of a data set, from one walk through its folder."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zsprompt.data.images import find_images
from zsprompt.errors import DataError


@dataclass(frozen=True)
class ImageIndex:
    """Files below one folder.

    Attributes:
        home: the folder.
        files: paths of the files relative to it, with slashes.
    """

    home: Path
    files: frozenset[str]

    @classmethod
    def below(cls, base: Path, folders: Sequence[str]) -> ImageIndex:
        """Index the first of `folders` that exists in `base`, else `base` itself."""
        home = next((base / name for name in folders if (base / name).is_dir()), base)
        start = len(str(home)) + 1
        paths = (os.path.join(where, name) for where, _, names in os.walk(home) for name in names)  # noqa: PTH118
        return cls(home, frozenset(path[start:].replace(os.sep, "/") for path in paths))

    def has(self, name: str) -> bool:
        """Whether the image exists, under its full name or directly in the folder."""
        return name in self.files or PurePosixPath(name).name in self.files

    def path(self, name: str) -> Path:
        """Path of the image, or its expected path if it does not exist."""
        flat = PurePosixPath(name).name
        return self.home / (flat if name not in self.files and flat in self.files else name)


@dataclass(frozen=True)
class ImageFinder:
    """The images below one folder by their names, for files that name them inexactly.

    Attributes:
        home: the folder.
        images: paths of the images relative to it, with slashes.
        by_name: lower-case file name -> paths of these images.
        by_stem: path without the suffix -> paths of these images.
    """

    home: Path
    images: frozenset[str]
    by_name: Mapping[str, Sequence[str]]
    by_stem: Mapping[str, Sequence[str]]

    @classmethod
    def below(cls, home: Path) -> ImageFinder:
        """Find the images below a folder; hidden files and folders are skipped."""
        try:
            images = sorted(image.path.relative_to(home).as_posix() for image in find_images([home])[0])
        except DataError:  # no images
            images = []
        names: dict[str, list[str]] = {}
        stems: dict[str, list[str]] = {}
        for image in images:
            names.setdefault(PurePosixPath(image).name.lower(), []).append(image)
            stems.setdefault(str(PurePosixPath(image).with_suffix("")), []).append(image)
        return cls(home, frozenset(images), names, stems)

    def find(self, name: str, folders: Sequence[str]) -> str | None:
        """The image with this name in the first of `folders` that has it."""
        return next((path for folder in folders if (path := _joined(folder, name)) in self.images), None)

    def find_stem(self, stem: str, folders: Sequence[str]) -> str | None:
        """The image with this name and any suffix in the first of `folders` that has one; .jpg first."""
        for folder in folders:
            if images := self.by_stem.get(_joined(folder, stem)):
                return min(images, key=lambda image: (not image.lower().endswith(".jpg"), image))
        return None

    def find_anywhere(self, name: str) -> str | None:
        """The only image of this file name, whatever its folder; None if there are several."""
        images = self.by_name.get(PurePosixPath(name).name.lower(), ())
        return images[0] if len(images) == 1 else None


def _joined(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))
