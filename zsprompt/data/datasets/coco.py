"""MS-COCO 2014 and 2017 from the official instances JSON files.

Source: Lin et al. 2014, Microsoft COCO: Common Objects in Context.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Indices
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, found_there
from zsprompt.data.datasets.json_stream import read_arrays
from zsprompt.data.datasets.label_tables import Table, cached
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

LABELLED = "-labelled"
"""After a split's name: only the images with an object."""

_ARRAYS = ("images", "annotations", "categories")


def load_2014(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """MS-COCO 2014, 80 labels; splits val-labelled (default, with an object), val (all), train-labelled, train.

    Objects marked as crowds count as present, as in the multi-label literature (ML-Decoder, ASL and their like read
    every annotation); notes say how many images are in the file, how many have an object, and how many cells are
    present as crowds alone.

    Args:
        root: the folder that holds annotations/instances_val2014.json and val2014/, or a "coco" folder in it does.
        split: the part of a file's name between "instances_" and the year, with or without "-labelled".
        names: COCO's names are readable as they stand.

    Raises:
        DataError: not there or broken: cut JSON, an annotation of an unknown image or category, ids that collide.
        UnknownName: no such split.
    """
    return _load(root, "2014", split or "val-labelled", names)


def load_2017(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """MS-COCO 2017, 80 labels; splits val-labelled (default, with an object), val (all), train-labelled, train.

    See `load_2014`.
    """
    return _load(root, "2017", split or "val-labelled", names)


def _load(root: Path, year: str, split: str, names: str) -> Dataset:
    base = find_base(root, f"instances_*{year}.json in annotations/", ("coco", f"coco{year}", "COCO"), _holds(year))
    path = _annotations(base, year, split.removesuffix(LABELLED))
    table = cached("coco", [path], lambda: read_instances(path))
    with_object = np.flatnonzero((table.targets == 1).any(axis=1))
    kept = with_object if split.endswith(LABELLED) else np.arange(len(table.ids))
    home = f"{split.removesuffix(LABELLED)}{year}"
    images = [ImageFile(table.ids[n], _image_path(base, home, table.files[n])) for n in kept]
    targets, notes = table.targets[kept], _notes(path, table, with_object, split)
    return Dataset(f"coco{year}", table.labels, images, targets, split=split, names=names, notes=notes)


def _holds(year: str) -> Callable[[Path], bool]:
    return lambda folder: next((folder / "annotations").glob(f"instances_*{year}.json"), None) is not None


def _annotations(base: Path, year: str, split: str) -> Path:
    found = {p.stem.removeprefix("instances_").removesuffix(year): p for p in (base / "annotations").glob("*.json")}
    known = {name: path for name, path in found.items() if path.name == f"instances_{name}{year}.json"}
    if split not in known:
        also = [f"{name}{LABELLED}" for name in known]
        raise UnknownName(f"split (of instances_*{year}.json in {base / 'annotations'})", split, [*known, *also])
    return known[split]


def _image_path(base: Path, home: str, file: str) -> Path:
    # 2014's files say themselves which folder they are from, whatever list names them
    folder = file.split("_")[1] if file.startswith("COCO_") and file.count("_") > 1 else home
    inside = base / "images" / folder
    return (inside if inside.is_dir() else base / folder) / file


def _notes(path: Path, table: Table, with_object: Indices, split: str) -> tuple[str, ...]:
    labelled, every = len(with_object), len(table.ids)
    taken = "taken here" if split.endswith(LABELLED) else f"{split} takes all, {split}{LABELLED} those alone"
    notes = [f"{labelled:,} of the {every:,} pictures in {path.name} have an object: {taken}"]
    if crowds := table.counts["crowd_only_cells"]:
        times = "once" if crowds == 1 else f"{crowds:,} times"
        notes.append(f"{times} a label is on a picture of {path.name} as a crowd alone, which counts as present")
    return tuple(notes)


def read_instances(path: Path) -> Table:
    """Every image of an instances JSON in the file's order, and which categories it has objects of.

    Memory stays far below the file's size: annotations are read one at a time and only three numbers of each stay.

    Raises:
        DataError: see `load_2014`.
    """
    found = _Found(path)
    for kind, item in read_arrays(path, _ARRAYS):
        found.take(kind, item)
    if not found.files or not found.categories:
        raise DataError(f"expected 'images' and 'categories' in {path}, found {found_there(found.seen)}")
    columns = np.array(sorted(found.categories))
    ids = np.array(list(found.files))
    images, categories, crowds = (np.array(numbers) for numbers in (found.images, found.kinds, found.crowds))
    rows = _positions(path, "picture", "images", ids, images)
    cells = (rows, _positions(path, "category", "categories", columns, categories))
    present = np.zeros((2, len(ids), len(columns)), dtype=np.int8)  # as things, as crowds
    for n in (0, 1):
        present[(n, *(side[crowds == n] for side in cells))] = 1
    labels = tuple(found.categories[number] for number in columns.tolist())
    counts = {"objects": len(images), "crowd_only_cells": int((present[1] > present[0]).sum())}
    names = tuple(f"{number:012d}" for number in found.files)
    return Table(names, tuple(found.files.values()), labels, present.max(axis=0), counts)


@dataclass
class _Found:
    """What an instances JSON holds of use here, gathered item by item."""

    path: Path
    files: dict[int, str] = field(default_factory=dict)  # image id -> file name
    categories: dict[int, str] = field(default_factory=dict)
    images: array[int] = field(default_factory=lambda: array("q"))  # of each annotation
    kinds: array[int] = field(default_factory=lambda: array("q"))
    crowds: array[int] = field(default_factory=lambda: array("b"))
    seen: dict[str, None] = field(default_factory=dict)

    def take(self, kind: str, item: Any) -> None:
        self.seen[kind] = None
        try:
            if kind == "annotations":
                self.images.append(item["image_id"])
                self.kinds.append(item["category_id"])
                self.crowds.append(1 if item.get("iscrowd") else 0)
            elif kind == "images":
                self._name(self.files, "picture", item["id"], item["file_name"])
            else:
                self._name(self.categories, "category", item["id"], item["name"])
        except (KeyError, TypeError, OverflowError, AttributeError) as error:
            shown = str(item)[:60]
            raise DataError(f"{self.path}: expected COCO's fields under {kind!r}, found {shown} ({error})") from None

    def _name(self, table: dict[int, str], what: str, number: int, name: str) -> None:
        if type(number) is not int or not isinstance(name, str) or not name.strip():
            raise TypeError("an id must be a whole number and a name a text")
        if number in table:
            raise DataError(f"{self.path}: expected each {what} id once, found {number} again ({name!r})")
        table[number] = name


def _positions(path: Path, what: str, where: str, known: NDArray[np.int64], asked: NDArray[np.int64]) -> Indices:
    """Where each of `asked` stands in `known`."""
    order = np.argsort(known, kind="stable")
    found: Indices = order[np.searchsorted(known[order], asked).clip(max=len(known) - 1)]
    wrong = np.flatnonzero(known[found] != asked)
    if len(wrong):
        raise DataError(
            f"{path}: expected annotations of the {len(known):,} entries under {where!r}, "
            f"found one of {what} {asked[wrong[0]]} ({len(wrong):,} such)"
        )
    return found
