"""Your own images with annotations in COCO's format, as Roboflow, CVAT, Datumaro and Label Studio export them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt._utils.text import counted
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.coco import read_instances
from zsprompt.data.datasets.find_folder import find_base, listed
from zsprompt.data.datasets.image_index import ImageFinder
from zsprompt.data.datasets.json_stream import read_arrays
from zsprompt.data.datasets.label_tables import Table, cached
from zsprompt.data.image_lists.places import with_slashes
from zsprompt.data.images import ImageFile
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

_ARRAYS = ("images", "annotations", "categories")
_PREFIXES = ("instances_", "labels_")  # objects, and labels of whole images
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_ALL = "all"


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images with COCO annotations (Roboflow, CVAT, …); splits from the file or folder names, or all.

    An image has a label if an object of that category is annotated. Crowds count as present. Categories that only
    group others and have no annotation, such as Roboflow's first one, are left out. All splits have the same labels.

    Args:
        root: a JSON file; or a folder with annotations/*.json (instances_train.json, …), with *.json, or with one
            folder per split that has a JSON file (train/_annotations.coco.json). Images are next to the JSON file, in
            images/, in a folder of their split, or anywhere below `root` if their file names are unique.
        split: "train" for instances_train.json or train/_annotations.coco.json; None takes all images.
        names: ignored; the names of categories are used unchanged.

    Raises:
        DataError: there is no COCO file, a file is broken, or it names an image or id twice.
        UnknownName: there is no such split.
    """
    remarks = Remarks()
    base, files = _files(root, remarks)
    tables = {path: cached("coco-json", [path], partial(read_instances, path, orphans=True)) for path in files}
    labels = _labels(tables, remarks)
    rows = list(_rows(files, tables))
    targets = _targets(rows, labels)
    kept = _kept(base, rows, split, files)
    images = _images(base, rows, tables, remarks)
    _remark_blanks(rows, labels, targets, remarks)
    data = Dataset(
        base.resolve().name,
        labels,
        images,
        targets,
        split=split or _ALL,
        names=names,
        notes=tuple(_notes(tables)),
        remarks=remarks.found(),
    )
    return data if split is None else data.select(kept)


@dataclass(frozen=True)
class _Row:
    """One image: its split, its name in the files, a file that lists it, and its labels."""

    split: str
    name: str
    file: Path
    labels: frozenset[str]


# -- the files


def _files(root: Path, remarks: Remarks) -> tuple[Path, dict[Path, str]]:
    """The folder of the data set, and its COCO files with their splits."""
    try:
        alone = root.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {root}: {read_fault(root, error)}") from None
    if alone:
        base = root.parent.parent if root.parent.name == "annotations" else root.parent
        return base, {root: _ALL}
    expected = "a COCO file (annotations/*.json, *.json or train/_annotations.coco.json)"
    base = find_base(root, expected, (), lambda base: bool(_candidates(base)))
    candidates = _candidates(base)
    other_tasks = [path for path in candidates if path.name.startswith(_OTHER_TASKS)]
    files = _coco_files([path for path in candidates if path not in other_tasks])
    for path in candidates:
        if path not in files:
            remarks.add("other-annotations", path.relative_to(base).as_posix())
    if not files:
        raise DataError(f"expected {expected} in {base}, found {listed(path.name for path in candidates)}")
    return base, {path: _split_of(base, path, len(files)) for path in files}


def _candidates(base: Path) -> list[Path]:
    """JSON files of the usual layouts: those in annotations/, else in the folder itself, else one folder down."""
    for pattern in ("annotations/*.json", "*.json", "*/*.json"):
        if files := sorted(path for path in base.glob(pattern) if not path.name.startswith(".")):
            return files
    return []


def _coco_files(paths: Sequence[Path]) -> list[Path]:
    """The files with one of COCO's lists. If there are none, the first that cannot be read is refused."""
    files, errors = [], []
    for path in paths:
        try:
            if next(read_arrays(path, _ARRAYS), None) is not None:  # one that is cut short later is refused later
                files.append(path)
        except DataError as error:
            errors.append(error)
    if errors and not files:
        raise errors[0]
    return files


def _split_of(base: Path, path: Path, count: int) -> str:
    for prefix in _PREFIXES:
        if path.name.startswith(prefix):
            return path.stem.removeprefix(prefix)
    if path.parent not in (base, base / "annotations"):
        return path.parent.name
    return _ALL if count == 1 else path.stem


def _kept(base: Path, rows: Sequence[_Row], split: str | None, files: Mapping[Path, str]) -> list[int]:
    if split is not None and split not in files.values():
        raise UnknownName(f"split (of the COCO files in {base})", split, [*dict.fromkeys(files.values())])
    return [n for n, row in enumerate(rows) if split in (None, row.split)]


# -- labels


def _labels(tables: Mapping[Path, Table], remarks: Remarks) -> tuple[str, ...]:
    """The categories in the order of the files, without those that only group others."""
    names = dict.fromkeys(name for table in tables.values() for name in table.labels)
    groups = {name for table in tables.values() for name in table.groups}
    used = {
        name for table in tables.values() for c, name in enumerate(table.labels) if (table.targets[:, c] == 1).any()
    }
    for name in names:
        if name in groups - used:
            remarks.add("root-category", repr(name))
    labels = tuple(name for name in names if name in used or name not in groups)
    if not labels:
        raise DataError(f"expected categories with annotations in {listed(map(str, tables))}, found none")
    return labels


def _rows(files: Mapping[Path, str], tables: Mapping[Path, Table]) -> Iterator[_Row]:
    """The images of all files; one that several files of a split list is one image."""
    found: dict[tuple[str, str], _Row] = {}
    for path, table in tables.items():
        seen: set[str] = set()
        for name, flags in zip(table.files, table.targets == 1, strict=True):
            if name in seen:
                raise DataError(f"{path}: expected each image once, found {name!r} again")
            seen.add(name)
            key = (files[path], with_slashes(name))
            labels = frozenset(table.labels[c] for c in np.flatnonzero(flags))
            if key in found:
                labels |= found[key].labels
            found[key] = _Row(*key, found[key].file if key in found else path, labels)
    yield from found.values()


def _targets(rows: Sequence[_Row], labels: Sequence[str]) -> Targets:
    columns = {label: c for c, label in enumerate(labels)}
    targets: Targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for n, row in enumerate(rows):
        targets[n, [columns[label] for label in row.labels]] = 1
    return targets


def _notes(tables: Mapping[Path, Table]) -> Iterator[str]:
    if crowds := sum(table.counts["crowd_only_cells"] for table in tables.values()):
        yield f"a label is on an image only as a crowd {counted(crowds, 'time')}; this counts as present"


def _remark_blanks(rows: Sequence[_Row], labels: Sequence[str], targets: Targets, remarks: Remarks) -> None:
    """Note images without annotations, which count as images without labels, and labels without images."""
    for row in rows:
        if not row.labels:
            remarks.add("no-annotation", row.name)
    for c, label in enumerate(labels):
        if not targets[:, c].any():
            remarks.add("no-positive", repr(label))


# -- images


def _images(base: Path, rows: Sequence[_Row], tables: Mapping[Path, Table], remarks: Remarks) -> list[ImageFile]:
    finder = ImageFinder.below(base)
    several = len({row.split for row in rows}) > 1
    images = []
    for row in rows:
        images.append(ImageFile(f"{row.split}/{row.name}" if several else row.name, _path(base, row, finder, remarks)))
    used = {image.path for image in images}
    for name in sorted(finder.images):
        if base / name not in used:
            remarks.add("unlisted-image", name)
    for path, table in tables.items():
        for image in table.orphans:
            remarks.add("orphan", f"image {image} in {path.name}")
    return images


def _path(base: Path, row: _Row, finder: ImageFinder, remarks: Remarks) -> Path:
    here = row.file.parent.relative_to(base).as_posix()
    places = [here, f"{here}/images", "images", f"images/{row.split}", row.split, "data", f"data/{row.split}", "."]
    found = finder.find(row.name, places)
    if found is None:
        alone = PurePosixPath(row.name).name
        found = finder.find(alone, places) or finder.find_anywhere(alone)
        if found is not None:
            remarks.add("image-place", f"{row.name} as {found}")
    return base / (found or f"{places[0]}/{row.name}")
