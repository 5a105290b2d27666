"""PASCAL VOC from its official files: ImageSets, Annotations, JPEGImages.

Source: Everingham et al. 2010, The Pascal Visual Object Classes (VOC) Challenge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.data.dataset import Dataset
from zsprompt.data.images import SUFFIXES, ImageFile
from zsprompt.errors import DataError, UnknownName

RAW_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The 20 labels as spelt in the annotation files."""

_YEARS = {"2007": "voc", "2012": "voc2012"}  # year -> name of the data set

OWN = "for images of your own in this layout use --dataset voc-xml"
"""Advice for annotations that are not the official ones."""

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
    images = _images(base / "JPEGImages", ids)
    bank = "voc" if names == "readable" else None
    return Dataset(f"voc{year}", label_names(names), images, targets, split=split, names=names, bank=bank)


def _images(folder: Path, ids: Sequence[str]) -> list[ImageFile]:
    """The image of each id: a .jpg, else the file of this name with the suffix of another format."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError:
        files = []
    by_stem: dict[str, Path] = {}
    for path in files:
        by_stem.setdefault(path.stem, path)
    official = {path.name for path in files if path.suffix == ".jpg"}
    usual = {image: folder / f"{image}.jpg" for image in ids}
    return [ImageFile(i, path if path.name in official else by_stem.get(i, path)) for i, path in usual.items()]


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
    other = next((f"for VOC{y} use --dataset {_YEARS[y]}" for y in _YEARS if y != year and _holds(root, y)), "")
    raise DataError(
        f"expected VOC{year}/Annotations and VOC{year}/ImageSets in {root}, "
        f"found {', '.join(content) or 'an empty folder'}; {other or OWN}"
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
        raise DataError(f"expected image lists (test.txt, …) in {folder}, found none; {OWN}")
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
    targets = np.zeros(len(RAW_NAMES), dtype=np.int8)
    for name, state in read_annotation(path, read_xml(path)).states.items():
        if name not in RAW_NAMES:
            raise DataError(f"expected one of VOC's {len(RAW_NAMES)} labels in {path}, found {name!r}; {OWN}")
        targets[RAW_NAMES.index(name)] = state
    return targets


@dataclass(frozen=True)
class Annotation:
    """The relevant content of an annotation file.

    Attributes:
        file: name of the image file; "" if it is not given.
        states: label -> 1 present, −1 only as difficult objects; in the file's order.
    """

    file: str
    states: Mapping[str, int]


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
        DataError: the file is missing or is not XML.
    """
    try:
        return ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise DataError(f"expected annotation {path}, found none") from None
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # the last two come from odd encodings
        raise DataError(f"cannot read annotation {path}: {read_fault(path, error)}") from None


def read_annotation(path: Path, root: ElementTree.Element) -> Annotation:
    """Read the root of an annotation in VOC's format.

    Raises:
        DataError: it has another name than <annotation>, or an object has no label.
    """
    if root.tag != "annotation":
        raise DataError(f"expected <annotation> in {path}, found <{root.tag}>")
    states: dict[str, int] = {}
    for item in root.findall("object"):
        name = item.findtext("name", "").strip()
        if not name:
            raise DataError(f"expected the label of each object in {path}, found ''")
        difficult = item.findtext("difficult", "0").strip() == "1"
        states[name] = max(states.get(name, -1), -1 if difficult else 1)
    return Annotation(root.findtext("filename", "").strip(), states)
