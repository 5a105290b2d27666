"""Index of the existing images of a data set, from one walk through its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


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
