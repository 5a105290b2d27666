"""A folder a label, as ImageNet is laid out: one label on every image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import found_there
from zsprompt.data.images import SUFFIXES, ImageFile
from zsprompt.errors import DataError, UnknownName

NAME_FILES = ("classes.txt", "LOC_synset_mapping.txt")
"""Files beside the folders that say what their names stand for: "n01440764 tench, Tinca tinca" on a line."""

_SAME_WORDS = {
    "n02012849": "crane bird",
    "n03126707": "construction crane",
    "n02113186": "Cardigan Welsh corgi",
    "n03710721": "tank suit",
}
"""ImageNet's folders whose first word is another folder's too ("crane" twice, "cardigan", "maillot")."""

_SPLITS = ("val", "test", "train", "validation")


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """A folder a label, one label an image (ImageNet's layout); splits are folders of such folders, else all.

    A label that an image has no folder for counts as absent, though it may well be on it.

    Args:
        root: holds the label folders, or a folder for each split (val, test, train) that does. classes.txt or
            ImageNet's LOC_synset_mapping.txt may say what folder names stand for.
        split: a folder in `root`; by default val, test or train, whichever is there first, else `root` itself ("all").
        names: "readable" (from the file, else underscores become spaces) or "raw" (the folders' names).

    Raises:
        DataError: no folder with images, or two folders of one name in words.
        UnknownName: no such split.
    """
    folders = _folders(root)
    if split is not None and split != "all" and split not in folders:
        raise UnknownName(f"split (a folder in {root})", split, ["all", *folders])
    split = split or next((name for name in _SPLITS if name in folders and _folders(root / name)), "all")
    home = root if split == "all" else root / split
    raw, refs, columns = _images(home)
    labels = tuple(raw) if names == "raw" else _readable(raw, _said(root))
    targets: Targets = np.zeros((len(refs), len(labels)), dtype=np.int8)
    targets[np.arange(len(refs)), columns] = 1
    return Dataset(root.resolve().name, labels, refs, targets, split=split, names=names)


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except (OSError, ValueError) as error:
        reason = "found no such folder" if isinstance(error, FileNotFoundError) else f"cannot read it ({error})"
        raise DataError(f"expected a folder for each label in {folder}, {reason}") from None


def _images(home: Path) -> tuple[list[str], list[ImageFile], list[int]]:
    """Folder names that hold images, the images in their order, and which folder each is in."""
    labels: list[str] = []
    refs: list[ImageFile] = []
    columns: list[int] = []
    for name in _folders(home):
        found = sorted(
            Path(where, file)
            for where, _, files in os.walk(home / name)
            for file in files
            if Path(file).suffix.lower() in SUFFIXES
        )
        if found:
            refs += [ImageFile(path.relative_to(home).as_posix(), path) for path in found]
            columns += [len(labels)] * len(found)
            labels.append(name)
    if not refs:
        raise DataError(f"expected a folder of pictures for each label in {home}, found {found_there(_folders(home))}")
    return labels, refs, columns


def _said(root: Path) -> dict[str, str]:
    """What the file of names says of each folder; of several words for one thing the first."""
    path = next((root / name for name in NAME_FILES if (root / name).is_file()), None)
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {pair[0]: pair[1].split(",")[0].strip() for pair in pairs if len(pair) == 2}


def _readable(raw: Sequence[str], said: Mapping[str, str]) -> tuple[str, ...]:
    labels = [_SAME_WORDS.get(name) or said.get(name) or name.replace("_", " ").strip() for name in raw]
    lower = [label.lower() for label in labels]
    for n, label in enumerate(labels):
        first = lower.index(lower[n])
        if first != n:
            raise DataError(
                f"expected folders with different names, found {raw[first]!r} and {raw[n]!r}, both {label!r}; "
                "use --names raw, or say what they are in classes.txt"
            )
    return tuple(labels)
