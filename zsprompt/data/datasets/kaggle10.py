"""The ten-class set from Kaggle that the MMM-CLIP paper measures on.

Source: Meherun Nesa Shraboni 2022, Kaggle multi-label image classification dataset, as used by MMM-CLIP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Indices
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, found_there
from zsprompt.data.datasets.image_index import ImageIndex
from zsprompt.data.datasets.image_list import flag_targets
from zsprompt.data.image_lists import read_rows
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

RAW_NAMES = ("motorcycle", "truck", "boat", "bus", "cycle", "sitar", "ektara", "flutes", "tabla", "harmonium")
"""The ten labels as the CSV spells them."""

SHARES = (70, 2, 5, 10, 20)
"""Percent of the images that train-P holds; test-(100 − P) holds the rest."""

_READABLE = {"cycle": "bicycle", "flutes": "flute"}
_IMAGE_COLUMNS = ("Image_Name", "image_name", "image")
_FOLDERS = ("kaggle10", "multilabel_modified", "archive")
_SPLIT = re.compile(r"(train|test)-(\d+)")


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Kaggle's ten classes, 7,843 images; splits all (default), train-70/test-30, and 2/98, 5/95, 10/90, 20/80.

    The paper gives the shares and not the images, so which are whose is ours: images in the order of the sha256 of
    their names, the first P percent for training. It depends on nothing but the names, and train-2 lies in train-5.

    Args:
        root: holds the CSV (Image_Name, then a 0/1 column a label; other columns are passed over) and images/.
        split: "all", "train-P" or "test-Q".
        names: "readable" ("bicycle", "flute") or "raw" ("cycle", "flutes").

    Raises:
        DataError: not there or broken.
        UnknownName: no such split.
    """
    base = find_base(root, "the CSV of Kaggle's ten classes", _FOLDERS, lambda folder: any(folder.glob("*.csv")))
    path = _table_file(base)
    rows = list(read_rows(path))
    _, targets = flag_targets(path, rows, RAW_NAMES)
    ids, notes = _corrected(path, [row.image for row in rows])
    kept = _chosen(ids, split or "all")
    index = ImageIndex.below(base, ("images", "Images", "train"))
    images = [ImageFile(ids[n], index.path(ids[n])) for n in kept]
    labels = RAW_NAMES if names == "raw" else tuple(_READABLE.get(name, name) for name in RAW_NAMES)
    return Dataset("kaggle10", labels, images, targets[kept], split=split or "all", names=names, notes=notes)


def _table_file(base: Path) -> Path:
    """The one CSV whose header has the ten names."""
    found = [path for path in sorted(base.glob("*.csv")) if set(RAW_NAMES) <= set(_header(path))]
    if len(found) != 1:
        there = found_there(path.name for path in (found or sorted(base.glob("*.csv"))))
        raise DataError(
            f"expected one CSV with the columns {', '.join(RAW_NAMES)} in {base}, found {len(found)} ({there})"
        )
    if not set(_IMAGE_COLUMNS) & set(header := _header(found[0])):
        wanted = ", ".join((_IMAGE_COLUMNS[0], *RAW_NAMES))
        raise DataError(f"{found[0]}, line 1: expected the columns {wanted}, found {', '.join(header)}")
    return found[0]


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return [cell.strip().strip('"') for cell in file.readline(2**16).split(",")]
    except (OSError, ValueError):
        return []


def _corrected(path: Path, written: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Each row's image, and a sentence where the published table names one twice.

    Row n is of image<n>.jpg all through that table, but rows 7822 and 7823 say image7722.jpg and image7723.jpg.
    """
    ids, notes = list(written), []
    first = {name: n for n, name in reversed(list(enumerate(written)))}
    for n, name in enumerate(written):
        if first[name] == n:
            continue
        meant = f"image{n + 1}.jpg"
        if meant in first:
            raise DataError(f"{path}: expected each picture once, found {name!r} in rows {first[name] + 1} and {n + 1}")
        ids[n] = meant
        notes.append(
            f"row {n + 1} of {path.name} names {name} a second time and is taken for {meant}, which no row names"
        )
    return ids, tuple(notes)


def _chosen(ids: Sequence[str], split: str) -> Indices:
    """Positions of a split's images, ascending."""
    if split == "all":
        return np.arange(len(ids))
    found = _SPLIT.fullmatch(split)
    share = int(found[2]) if found else 0
    share = 100 - share if found and found[1] == "test" else share
    if not found or share not in SHARES:
        raise UnknownName("split of kaggle10", split, ["all", *(f"train-{p}" for p in SHARES), *_tests()])
    order = sorted(range(len(ids)), key=lambda n: hashlib.sha256(ids[n].encode()).digest())
    count = round(len(ids) * share / 100)
    return np.array(sorted(order[:count] if found[1] == "train" else order[count:]), dtype=np.intp)


def _tests() -> list[str]:
    return [f"test-{100 - share}" for share in SHARES]
