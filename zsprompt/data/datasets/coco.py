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
from zsprompt.data.datasets.find_folder import find_base, listed
from zsprompt.data.datasets.json_stream import read_arrays
from zsprompt.data.datasets.label_tables import Table, cached
from zsprompt.data.images import ImageFile
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

LABELLED = "-labelled"
"""Suffix of a split: only the images with at least one object."""

_ARRAYS = ("images", "annotations", "categories")


def load_2014(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """MS-COCO 2014, 80 labels; splits val-labelled (default, with an object), val (all), train-labelled, train.

    Objects marked as crowds count as present, as in the multi-label literature (ML-Decoder and ASL, for example, read
    every annotation). The notes give the number of images, of images with an object, and of labels that are present
    only as crowds.

    Args:
        root: folder with annotations/instances_val2014.json and val2014/, or the parent of such a "coco" folder.
        split: part of a file name between "instances_" and the year, with or without "-labelled".
        names: ignored; COCO's names are readable.

    Raises:
        DataError: files are missing or broken: truncated JSON, an unknown image or category, duplicate ids.
        UnknownName: there is no such split.
    """
    return _load(root, "2014", split or "val-labelled", names)


def load_2017(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """MS-COCO 2017, 80 labels; splits val-labelled (default, with an object), val (all), train-labelled, train.

    See `load_2014`.
    """
    return _load(root, "2017", split or "val-labelled", names)


def _load(root: Path, year: str, split: str, names: str) -> Dataset:
    remarks = Remarks()
    folders = ("coco", f"coco{year}", "COCO")
    base = find_base(root, f"instances_*{year}.json in annotations/", folders, _holds(year), remarks)
    path = _annotations(base, year, split.removesuffix(LABELLED))
    table = cached("coco", [path], lambda: read_instances(path))
    with_object = np.flatnonzero((table.targets == 1).any(axis=1))
    kept = with_object if split.endswith(LABELLED) else np.arange(len(table.ids))
    home = f"{split.removesuffix(LABELLED)}{year}"
    images = [ImageFile(table.ids[n], _image_path(base, home, table.files[n])) for n in kept]
    targets, notes = table.targets[kept], _notes(path, table, with_object, split)
    return Dataset(
        f"coco{year}", table.labels, images, targets, split=split, names=names, notes=notes, remarks=remarks.found()
    )


def _holds(year: str) -> Callable[[Path], bool]:
    return lambda folder: next((folder / "annotations").glob(f"instances_*{year}.json"), None) is not None


def _annotations(base: Path, year: str, split: str) -> Path:
    files = {p.stem.removeprefix("instances_").removesuffix(year): p for p in (base / "annotations").glob("*.json")}
    splits = {name: path for name, path in files.items() if path.name == f"instances_{name}{year}.json"}
    if split not in splits:
        labelled = [f"{name}{LABELLED}" for name in splits]
        raise UnknownName(f"split (of instances_*{year}.json in {base / 'annotations'})", split, [*splits, *labelled])
    return splits[split]


def _image_path(base: Path, home: str, file: str) -> Path:
    # file names of 2014 contain the name of their folder
    folder = file.split("_")[1] if file.startswith("COCO_") and file.count("_") > 1 else home
    inside = base / "images" / folder
    return (inside if inside.is_dir() else base / folder) / file


def _notes(path: Path, table: Table, with_object: Indices, split: str) -> tuple[str, ...]:
    labelled, every = len(with_object), len(table.ids)
    chosen = "only these are used" if split.endswith(LABELLED) else f"all are used; {split}{LABELLED} has only these"
    notes = [f"{labelled:,} of the {every:,} images in {path.name} have an object: {chosen}"]
    if crowds := table.counts["crowd_only_cells"]:
        times = "once" if crowds == 1 else f"{crowds:,} times"
        notes.append(f"a label of {path.name} is on an image only as a crowd {times}; this counts as present")
    return tuple(notes)


def read_instances(path: Path, *, orphans: bool = False) -> Table:
    """Read every image of an instances JSON, in the file's order, with the categories of its objects.

    Memory stays far below the size of the file: annotations are read one by one, and three numbers of each are kept.

    Args:
        path: the file.
        orphans: leave out annotations of images that are not in the file.

    Raises:
        DataError: see `load_2014`.
    """
    content = _Instances(path)
    for kind, item in read_arrays(path, _ARRAYS):
        content.take(kind, item)
    if not content.files or not content.categories:
        raise DataError(f"expected 'images' and 'categories' in {path}, found {listed(content.seen)}")
    columns = np.array(sorted(content.categories))
    ids = np.array(list(content.files))
    images, categories, crowds = (np.array(numbers) for numbers in (content.images, content.kinds, content.crowds))
    known = np.isin(images, ids) if orphans else np.ones(len(images), dtype=np.bool_)
    left_out = tuple(images[~known].tolist())
    images, categories, crowds = images[known], categories[known], crowds[known]
    rows = _positions(path, "image", "images", ids, images)
    cells = (rows, _positions(path, "category", "categories", columns, categories))
    present = np.zeros((2, len(ids), len(columns)), dtype=np.int8)  # as single objects, as crowds
    for n in (0, 1):
        present[(n, *(side[crowds == n] for side in cells))] = 1
    labels = tuple(content.categories[number] for number in columns.tolist())
    counts = {"objects": len(images), "crowd_only_cells": int((present[1] > present[0]).sum())}
    names = tuple(f"{number:012d}" for number in content.files)
    groups = tuple(sorted({group for number, group in content.groups.items() if group != content.categories[number]}))
    return Table(
        names, tuple(content.files.values()), labels, present.max(axis=0), counts, groups=groups, orphans=left_out
    )


@dataclass
class _Instances:
    """The relevant content of an instances JSON, collected item by item."""

    path: Path
    files: dict[int, str] = field(default_factory=dict)  # image id -> file name
    categories: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)  # category id -> its supercategory
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
                self._name(self.files, "image", item["id"], item["file_name"])
            else:
                self._name(self.categories, "category", item["id"], item["name"])
                self.groups[item["id"]] = str(item.get("supercategory") or "")
        except (KeyError, TypeError, OverflowError, AttributeError) as error:
            shown = str(item)[:60]
            raise DataError(f"{self.path}: expected COCO's fields under {kind!r}, found {shown} ({error})") from None

    def _name(self, table: dict[int, str], what: str, number: int, name: str) -> None:
        if type(number) is not int or not isinstance(name, str) or not name.strip():
            raise TypeError("an id must be a whole number and a name a text")
        if number in table:
            raise DataError(f"{self.path}: expected each {what} id once, found {number} again ({name!r})")
        table[number] = name


def _positions(path: Path, what: str, where: str, ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> Indices:
    """Position in `ids` of each of `wanted`."""
    order = np.argsort(ids, kind="stable")
    positions: Indices = order[np.searchsorted(ids[order], wanted).clip(max=len(ids) - 1)]
    wrong = np.flatnonzero(ids[positions] != wanted)
    if len(wrong):
        raise DataError(
            f"{path}: expected annotations of the {len(ids):,} entries under {where!r}, "
            f"found one of {what} {wanted[wrong[0]]} ({len(wrong):,} such)"
        )
    return positions
