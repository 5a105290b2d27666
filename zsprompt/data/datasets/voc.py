"""PASCAL VOC from its official files: ImageSets, Annotations, JPEGImages.

Source: Everingham et al. 2010, The Pascal Visual Object Classes (VOC) Challenge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.data.dataset import Dataset
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UnknownName

RAW_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The 20 labels as spelt in the annotation files."""

_YEARS = {"2007": "voc", "2012": "voc2012"}  # year -> name of the data set

_READABLE = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}


def load_2007(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """PASCAL VOC 2007, 20 labels; splits test (default), trainval, train, val and any other list in ImageSets/Main."""
    return _load(root, "2007", split or "test", names)


def load_2012(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """PASCAL VOC 2012, 20 labels; splits val (default), trainval, train and any other list in ImageSets/Main."""
    return _load(root, "2012", split or "val", names)


def label_names(names: str) -> tuple[str, ...]:
    """The 20 labels: "raw", as in the files, or "readable"."""
    return RAW_NAMES if names == "raw" else tuple(_READABLE.get(name, name) for name in RAW_NAMES)


def _load(root: Path, year: str, split: str, names: str) -> Dataset:
    base = _base(root, year)
    ids = _read_list(base / "ImageSets" / "Main", split)
    targets = np.stack([_read_annotation(base / "Annotations" / f"{image}.xml") for image in ids])
    images = [ImageFile(image, base / "JPEGImages" / f"{image}.jpg") for image in ids]
    bank = "voc" if names == "readable" else None
    return Dataset(f"voc{year}", label_names(names), images, targets, split=split, names=names, bank=bank)


def _base(root: Path, year: str) -> Path:
    """The folder that contains Annotations: VOC<year> in `root` or in `root`/VOCdevkit, else `root` itself."""
    if not root.is_dir():
        raise DataError(
            f"expected the VOC{year} folder (VOCdevkit) at {root}, found {'a file' if root.exists() else 'nothing'}"
        )
    tried = [root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}", root]
    for base in tried:
        if (
            (base / "Annotations").is_dir()
            and (base / "ImageSets").is_dir()
            and not (base == root and _other_year(root, year))
        ):
            return base
    content = sorted(path.name for path in root.iterdir())[:5]
    hint = next((f"; for VOC{y} use --dataset {_YEARS[y]}" for y in _YEARS if y != year and _holds(root, y)), "")
    raise DataError(
        f"expected VOC{year}/Annotations and VOC{year}/ImageSets in {root}, "
        f"found {', '.join(content) or 'an empty folder'}{hint}"
    )


def _holds(root: Path, year: str) -> bool:
    name = f"VOC{year}"
    return root.resolve().name == name or (root / name).is_dir() or (root / "VOCdevkit" / name).is_dir()


def _other_year(root: Path, year: str) -> bool:
    name = root.resolve().name
    return name.startswith("VOC20") and name != f"VOC{year}"


def _read_list(folder: Path, split: str) -> list[str]:
    splits = [path.stem for path in folder.glob("*.txt")]
    if not splits:
        raise DataError(f"expected image lists (test.txt, …) in {folder}, found none")
    if split not in splits:
        raise UnknownName(f"split (a list in {folder})", split, splits)
    path = folder / f"{split}.txt"
    try:
        # the list of a single label has a second column with its flag
        ids = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read image list {path}: {read_fault(path, error)}") from None
    if not ids:
        raise DataError(f"expected image names in {path}, found an empty list")
    repeated = (
        next((image for i, image in enumerate(ids) if image in set(ids[:i])), None)
        if len(set(ids)) < len(ids)
        else None
    )
    if repeated:
        raise DataError(f"expected each image once in {path}, found {repeated} again")
    return ids


def _read_annotation(path: Path) -> Targets:
    """[20] int8: 1 if an object of the label is present, −1 if all of its objects are difficult, else 0."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise DataError(f"expected annotation {path}, found none") from None
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # the last two come from odd encodings
        raise DataError(f"cannot read annotation {path}: {read_fault(path, error)}") from None
    if root.tag != "annotation":
        raise DataError(f"expected <annotation> in {path}, found <{root.tag}>")
    targets = np.zeros(len(RAW_NAMES), dtype=np.int8)
    for item in root.findall("object"):
        column = _column(path, item.findtext("name", "").strip())
        difficult = item.findtext("difficult", "0").strip() == "1"
        if not difficult:
            targets[column] = 1
        elif targets[column] == 0:
            targets[column] = -1
    return targets


def _column(path: Path, name: str, labels: Sequence[str] = RAW_NAMES) -> int:
    if name not in labels:
        raise DataError(f"expected one of VOC's {len(labels)} labels in {path}, found {name!r}")
    return labels.index(name)
