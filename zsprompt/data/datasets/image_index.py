"""Which images of a data set are there, found by one walk through its folder."""

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
        there: their paths relative to it, with slashes.
    """

    home: Path
    there: frozenset[str]

    @classmethod
    def below(cls, base: Path, folders: Sequence[str]) -> ImageIndex:
        """Those in the first of `folders` that `base` has, else in `base` itself."""
        home = next((base / name for name in folders if (base / name).is_dir()), base)
        start = len(str(home)) + 1
        found = (os.path.join(where, name) for where, _, names in os.walk(home) for name in names)  # noqa: PTH118
        return cls(home, frozenset(path[start:].replace(os.sep, "/") for path in found))

    def has(self, name: str) -> bool:
        """Whether the image is there, in the folder its name says or beside all others."""
        return name in self.there or PurePosixPath(name).name in self.there

    def path(self, name: str) -> Path:
        """Where the image is, or would be."""
        flat = PurePosixPath(name).name
        return self.home / (flat if name not in self.there and flat in self.there else name)
