"""Your own images with annotations in VOC's format, as labelImg, CVAT, Datumaro, Roboflow and Label Studio write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, listed
from zsprompt.data.datasets.image_index import ImageFinder
from zsprompt.data.datasets.voc import read_annotation, read_xml
from zsprompt.data.image_lists.places import with_slashes
from zsprompt.data.images import ImageFile
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

_IMAGES = ("JPEGImages", "images", "Images", "PNGImages")
_ALL = "all"


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """Your own images with VOC annotations (labelImg, CVAT, …), any labels; splits from lists or folders, or all.

    A label that is on an image only as "difficult" objects is left out there. Images may be of any format. Lists of
    single labels ("cat_train.txt" next to "train.txt") are read too.

    Args:
        root: a folder with Annotations/, and with ImageSets/Main/ if there are splits; or with .xml files next to
            their images, in one folder per split or not; or the parent of such a folder.
        split: a list in ImageSets/Main, else a folder of .xml files; None takes all images.
        names: ignored; label names are used unchanged.

    Raises:
        DataError: there are no annotations, or one is broken.
        UnknownName: there is no such split.
    """
    remarks = Remarks()
    expected = "annotations in VOC's format (Annotations/*.xml, or .xml files next to the images)"
    base = _base(find_base(root, expected, (), _holds))
    files = _annotation_files(base)
    lists = _Lists.of(base)
    contents = _read(base, files, lists, remarks)
    if not contents:
        others = listed(path.relative_to(base).as_posix() for path in files.values())
        raise DataError(f"expected {expected} in {root}, found other XML ({others}); export it as PASCAL VOC or COCO")
    splits = lists.splits or _folders(files)
    if split is not None and split not in splits:
        raise UnknownName(f"split (of {base})", split, splits)
    labels, targets = _targets(contents)
    for label in sorted({label for states in lists.states.values() for label in states} - set(labels)):
        remarks.add("unused-label", repr(label))
    if not labels:
        raise DataError(f"expected objects in the annotations of {base}, found none")
    data = Dataset(
        base.resolve().name,
        labels,
        _images(base, files, contents, remarks),
        targets,
        split=split or _ALL,
        names=names,
        remarks=remarks.found(),
        places=_places(contents),
    )
    positions = {image: n for n, image in enumerate(contents)}
    return data if split is None else data.select([positions[i] for i in splits[split] if i in positions])


# -- the files


def _holds(folder: Path) -> bool:
    return next(folder.rglob("*.xml"), None) is not None or next(folder.rglob("ImageSets/Main/*.txt"), None) is not None


def _base(root: Path) -> Path:
    """The folder that has Annotations or ImageSets: `root`, or the only such folder one or two levels down."""
    for pattern in ("", "*", "*/*"):
        folders = sorted(
            folder
            for folder in (root.glob(pattern) if pattern else (root,))
            if (folder / "Annotations").is_dir() or (folder / "ImageSets").is_dir()
        )
        if len(folders) > 1:
            names = listed(path.name for path in folders)
            raise DataError(f"expected one folder with Annotations in {root}, found {names}; pass one with --root DIR")
        if folders:
            return folders[0]
    return root


def _annotation_files(base: Path) -> dict[str, Path]:
    """Id -> annotation. An id is the path of the file below its folder, without the suffix."""
    folder = base / "Annotations"
    home = folder if folder.is_dir() else base
    files = (path for path in sorted(home.rglob("*.xml")) if not _hidden(path.relative_to(home)))
    return {path.relative_to(home).with_suffix("").as_posix(): path for path in files}


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _folders(files: Mapping[str, Path]) -> dict[str, list[str]]:
    """Folder -> ids of its annotations; none if they are in no folder."""
    folders: dict[str, list[str]] = {}
    for image in files:
        if "/" in image:
            folders.setdefault(image.partition("/")[0], []).append(image)
    return folders


@dataclass
class _Lists:
    """The lists in ImageSets/Main.

    Attributes:
        splits: split -> ids of its images.
        states: id -> label -> 1 present, 0 present only as difficult, −1 absent, from lists of single labels.
    """

    splits: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, base: Path) -> _Lists:
        """Read the lists; "cat_train.txt" next to "train.txt" is the list of a single label."""
        lists = cls()
        paths = {path.stem: path for path in sorted((base / "ImageSets" / "Main").glob("*.txt"))}
        for stem, path in paths.items():
            label = next((stem[: -len(name) - 1] for name in paths if stem.endswith(f"_{name}")), "")
            lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
            if label:
                lists._take_label(path, label, lines)
            else:
                lists.splits[stem] = [with_slashes(line) for line in lines]
        return lists

    def _take_label(self, path: Path, label: str, lines: Sequence[str]) -> None:
        for line in lines:
            image, _, state = line.rpartition(" ")
            if state not in ("1", "0", "-1"):
                raise DataError(f"{path}: expected an image and 1, 0 or -1, found {line[:60]!r}")
            self.states.setdefault(with_slashes(image.strip()), {})[label] = int(state)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read image list {path}: {read_fault(path, error)}") from None


# -- labels


@dataclass(frozen=True)
class _Content:
    """What is known of an image: name of its file, label -> 1 or −1, and where that was read."""

    file: str
    states: Mapping[str, int]
    source: str


def _read(base: Path, files: Mapping[str, Path], lists: _Lists, remarks: Remarks) -> dict[str, _Content]:
    """Every image with an annotation, or in a list."""
    contents: dict[str, _Content] = {}
    for image, path in files.items():
        root = read_xml(path)
        if root.tag == "annotation":
            annotation = read_annotation(path, root)
            contents[image] = _Content(with_slashes(annotation.file), annotation.states, path.name)
        else:
            remarks.add("other-annotations", f"{path.relative_to(base).as_posix()} (<{root.tag}>)")
    for image in dict.fromkeys(image for images in lists.splits.values() for image in images):
        if image not in contents:
            contents[image] = _Content("", {}, "ImageSets/Main")
            if image not in lists.states:
                remarks.add("no-annotation-file", image)
    for image, states in lists.states.items():
        if image in contents:
            known = {label: 1 if state else -1 for label, state in states.items() if state >= 0}
            drawn = contents[image].states
            merged = {label: max(known.get(label, -1), drawn.get(label, -1)) for label in (*drawn, *known)}
            contents[image] = replace(contents[image], states=merged)
    return contents


def _targets(contents: Mapping[str, _Content]) -> tuple[tuple[str, ...], Targets]:
    labels = tuple(sorted({label for content in contents.values() for label in content.states}))
    columns = {label: c for c, label in enumerate(labels)}
    targets: Targets = np.zeros((len(contents), len(labels)), dtype=np.int8)
    for n, content in enumerate(contents.values()):
        for label, state in content.states.items():
            targets[n, columns[label]] = state
    return labels, targets


def _places(contents: Mapping[str, _Content]) -> dict[str, str]:
    places: dict[str, str] = {}
    for content in contents.values():
        for label in content.states:
            places.setdefault(label, content.source)
    return places


# -- images


def _images(
    base: Path, files: Mapping[str, Path], contents: Mapping[str, _Content], remarks: Remarks
) -> list[ImageFile]:
    finder = ImageFinder.below(base)
    images = [ImageFile(image, base / name) for image, name in _names(base, files, contents, finder, remarks)]
    used = {image.path for image in images}
    for name in sorted(finder.images):
        if base / name not in used:
            remarks.add("unlisted-image", name)
    return images


def _names(
    base: Path, files: Mapping[str, Path], contents: Mapping[str, _Content], finder: ImageFinder, remarks: Remarks
) -> Iterator[tuple[str, str]]:
    """(id, path of the image below `base`) of each image; the path where it is expected if it is missing."""
    for image, content in contents.items():
        folder = PurePosixPath(image).parent.as_posix()
        here = files[image].parent.relative_to(base).as_posix() if image in files else "."
        places = [*_IMAGES, here, *(f"{place}/{folder}" for place in _IMAGES), folder, "."]
        found = finder.find_stem(image, _IMAGES) or finder.find_stem(PurePosixPath(image).name, places)
        if found is None and content.file:
            found = finder.find(content.file, places) or finder.find_anywhere(content.file)
            if found is not None:
                remarks.add("image-place", f"{image} as {found}")
        yield image, found or f"{_IMAGES[0]}/{image}.jpg"
