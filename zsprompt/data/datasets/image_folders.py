"""One folder per label, as in ImageNet: every image has exactly one label."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault, unreadable
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import USUAL_SPLITS, listed
from zsprompt.data.images import SUFFIXES, ImageFile, images_below, is_hidden, leave_out
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

NAME_FILES = ("classes.txt", "LOC_synset_mapping.txt")
"""Files next to the folders that translate their names; a line reads "n01440764 tench, Tinca tinca"."""

_SAME_WORDS = {
    "n02012849": "crane bird",
    "n03126707": "construction crane",
    "n02113186": "Cardigan Welsh corgi",
    "n03710721": "tank suit",
}
"""ImageNet folders whose first name is also the name of another folder ("crane", "cardigan", "maillot")."""


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """One folder per label, one label per image (as in ImageNet); splits are parent folders (val, test, train), or all.

    All other labels count as absent, although they may be visible.

    Args:
        root: folder with the label folders, or with one folder per split that has them. classes.txt or ImageNet's
            LOC_synset_mapping.txt may translate the folder names.
        split: a folder in `root`. The default is the first of val, test and train, else `root` itself ("all").
        names: "readable" (translated, or with spaces for underscores) or "raw" (the folder names).

    Raises:
        DataError: there is no folder with images, or two folders have the same readable name.
        UnknownName: there is no such split.
    """
    remarks, of_root = Remarks(), Remarks()
    folders = _folders(root, of_root)
    if split is not None and split != "all" and split not in folders:
        raise UnknownName(f"split (a folder in {root})", split, ["all", *folders])
    home = root / (split or _default_split(root, folders, remarks)) if split != "all" else root
    if home != root:
        remarks.add_all(of_root.found())
    raw, refs, columns = _images(home, remarks)
    labels = _labels(raw, root, names, remarks)
    targets: Targets = np.zeros((len(refs), len(labels)), dtype=np.int8)
    targets[np.arange(len(refs)), columns] = 1
    split = "all" if home == root else home.name
    places = dict(zip(labels, map("folder {}".format, raw), strict=True))
    return Dataset(
        root.resolve().name, labels, refs, targets, split=split, names=names, remarks=remarks.found(), places=places
    )


def _default_split(root: Path, folders: Sequence[str], remarks: Remarks) -> str:
    """The first usual split that has folders; "" if there is none, and the folders are those of labels."""
    split = next((name for name in USUAL_SPLITS if name in folders and _folders(root / name, Remarks())), "")
    if split:
        remarks.add("default-split", f"{split} (of {', '.join(folders)})")
    return split


def _labels(raw: Sequence[str], root: Path, names: str, remarks: Remarks) -> tuple[str, ...]:
    """The labels of the folders, as named by the file of names, else by the folders."""
    translations = _translations(root, remarks)
    for name in raw:
        if name not in translations and name not in _SAME_WORDS:
            remarks.add("untranslated-folder" if translations else "folder-label", name)
    return tuple(raw) if names == "raw" else _readable(raw, translations)


def _folders(folder: Path, remarks: Remarks) -> list[str]:
    """Names of the folders in a folder, sorted; `remarks` gets hidden ones, and the files next to them."""
    try:
        with os.scandir(folder) as entries:
            every = sorted((entry.name, entry.is_dir()) for entry in entries)
    except FileNotFoundError:
        raise DataError(f"expected one folder per label in {folder}, found no such folder") from None
    except (OSError, ValueError) as error:
        reason = read_fault(folder, error)
        raise DataError(f"expected one folder per label in {folder}, cannot read it ({reason})") from None
    for name, is_folder in every:
        if is_hidden(name):
            remarks.add("hidden", str(folder / name))
        elif not is_folder and name not in NAME_FILES:
            if Path(name).suffix.lower() in SUFFIXES:
                remarks.add("outside-labels", str(folder / name))
            else:
                leave_out(str(folder / name), remarks)
    return [name for name, is_folder in every if is_folder and not is_hidden(name)]


def _images(home: Path, remarks: Remarks) -> tuple[list[str], list[ImageFile], list[int]]:
    """Names of the folders with images, the images in order, and the folder index of each image."""
    labels: list[str] = []
    refs: list[ImageFile] = []
    columns: list[int] = []
    for name in _folders(home, remarks):
        paths = images_below(home / name, remarks)
        if not paths:
            remarks.add("empty-folder", name)
            continue
        inside = sorted({path.relative_to(home / name).parts[0] for path in paths if path.parent != home / name})
        if inside:
            remarks.add("deep-folder", f"{name} ({listed(inside)})")
        refs += [ImageFile(path.relative_to(home).as_posix(), path) for path in paths]
        columns += [len(labels)] * len(paths)
        labels.append(name)
    if not refs:
        raise DataError(f"expected one folder of images per label in {home}, found {listed(_folders(home, remarks))}")
    return labels, refs, columns


def _translations(root: Path, remarks: Remarks) -> dict[str, str]:
    """Folder name -> its first readable name, from the file of names; empty without such a file."""
    path = next((root / name for name in NAME_FILES if (root / name).is_file()), None)
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error)) from None
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    for pair in pairs:
        if len(pair) < 2:
            remarks.add("line-without-name", f"{path.name}: {pair[0]}")
    return {pair[0]: pair[1].split(",")[0].strip() for pair in pairs if len(pair) == 2}


def _readable(raw: Sequence[str], translations: Mapping[str, str]) -> tuple[str, ...]:
    labels = [_SAME_WORDS.get(name) or translations.get(name) or name.replace("_", " ").strip() for name in raw]
    positions: dict[str, int] = {}
    for n, label in enumerate(labels):
        first = positions.setdefault(label.lower(), n)
        if first != n:
            raise DataError(
                f"expected folders with different names, found {raw[first]!r} and {raw[n]!r}, both {label!r}; "
                "pass --dataset NAME,names=raw, or translate the names in classes.txt"
            )
    return tuple(labels)
