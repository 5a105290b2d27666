"""WebDataset shards: tar files with labels and captions next to each image."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import listed
from zsprompt.data.datasets.shard_files import NAME_FILES, ShardFiles, find_shards, text_lines
from zsprompt.data.remarks import Remarks
from zsprompt.data.tars import TarMember, read_samples
from zsprompt.errors import DataError, ImageError
from zsprompt.prompts.labels import label_key

_LARGEST_TEXT = 2**24
_JSON, _ARRAY, _CLASS, _CAPTION = ".json", ".npy", ".cls", ".txt"
_STATES = (-1, 0, 1)


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """WebDataset shards (.tar) with labels in .json, .npy or .cls next to each image, and optional captions in .txt.

    Files whose names are equal up to the first dot form one sample, wherever in the shard they are: an image, its
    labels and its caption. Labels are KEY.json with "labels" (a list of names), KEY.npy with 1, 0 or −1 per class, or
    KEY.cls with a name or a class number. classnames.txt or classes.txt next to the shards, or above their folder,
    names the classes, one per line from 0. KEY.txt is a caption. CLIP_benchmark writes this layout.

    Args:
        root: a .tar file, or a folder of them.
        split: keep the shards whose names begin with it ("val-000012.tar") or that are in a folder of that name. The
            default is all shards; if all are in folders named as splits, the first of val, test and train.
        names: ignored; label names are used unchanged.

    Raises:
        DataError: there are no shards or samples, a shard is damaged, a sample is repeated, or its labels cannot be
            read.
        UnknownName: there is no shard of that split.
    """
    remarks = Remarks()
    shards = find_shards(root, split, remarks)
    rows = _Rows(_Classes.of(shards))
    for shard in shards.paths:
        rows.read(shard, remarks)
    if not rows.images:
        raise _no_samples(shards.paths, rows.unlabelled, remarks)
    labels, targets = rows.targets()
    return Dataset(
        shards.base.resolve().name,
        labels,
        rows.images,
        targets,
        split=shards.split,
        names=names,
        captions=rows.all_captions(remarks),
        notes=shards.notes,
        remarks=remarks.found(),
        places=rows.places,
    )


@dataclass(frozen=True)
class _Classes:
    """Names of the class numbers, and the file that they are from; no names without such a file."""

    names: tuple[str, ...] = ()
    path: Path | None = None

    @classmethod
    def of(cls, shards: ShardFiles) -> _Classes:
        path = shards.near(*NAME_FILES)
        names = () if path is None else tuple(text_lines(path))
        lines: dict[str, int] = {}
        for line, name in enumerate(names, 1):
            if not name:
                raise DataError(f"{path}, line {line}: expected the name of class {line - 1}, found a blank line")
            if (first := lines.setdefault(label_key(name), line)) != line:
                raise DataError(
                    f"{path}, line {line}: expected each name once, found {name!r} again (line {first}); rename one"
                )
        return cls(names, path)

    def name(self, number: int, member: TarMember) -> str:
        """Name of a class number, or the number itself if classes have no names."""
        if not self.names:
            return str(number)
        if number >= len(self.names):
            raise DataError(
                f"{member.tar}: expected a class below {len(self.names)} in {member.name}, found {number}; "
                f"{self.path} names {len(self.names)}"
            )
        return self.names[number]


@dataclass
class _Rows:
    """The samples of all shards in little memory: one image and a few numbers each."""

    classes: _Classes
    images: list[TarMember] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)  # label -> where it was first met
    unlabelled: str = ""  # what the first sample without labels lacks
    numbered: bool = False  # whether labels are class numbers
    width: int | None = None  # length of the arrays
    shard_of: dict[str, Path] = field(default_factory=dict)
    column: dict[str, int] = field(default_factory=dict)
    cells: tuple[array[int], array[int], array[int]] = field(
        default_factory=lambda: (array("q"), array("q"), array("b"))
    )

    def read(self, shard: Path, remarks: Remarks) -> None:
        """Add the samples of a shard."""
        empty = True
        for key, members in read_samples(shard, remarks):
            empty = False
            image = _image(members)
            if image is None:
                remarks.add("no-image", f"{shard.name}: {key}", group=" ".join(sorted(members)).strip() or "no ending")
                continue
            present = self._labels(members)
            if present is None:
                remarks.add("no-labels", f"{shard.name}: {key}")
                self.unlabelled = self.unlabelled or _lacks_labels(shard, key, members, image)
                continue
            self._add(key, image, present, _text(members[_CAPTION]) if _CAPTION in members else "")
            _leave_out_rest(members, image, remarks)
        if empty:
            remarks.add("empty-shard", shard.name)

    def _labels(self, members: Mapping[str, TarMember]) -> dict[str, int] | None:
        """Label -> 1 or −1; None if the sample has no labels."""
        others = _ARRAY in members or _CLASS in members
        if _JSON in members and (found := _json_labels(members[_JSON], needed=not others)) is not None:
            return found
        if _ARRAY in members:
            return self._array_labels(members[_ARRAY])
        if _CLASS not in members or not (text := _text(members[_CLASS])):
            return None
        if text.isascii() and text.isdigit():
            self.numbered = True
            return {self.classes.name(int(text), members[_CLASS]): 1}
        return {text: 1}

    def _array_labels(self, member: TarMember) -> dict[str, int]:
        values = _array(member)
        self.numbered = True
        self.width = len(self.classes.names) or self.width or len(values)
        if len(values) != self.width:
            source = f"{self.classes.path} names {self.width}" if self.classes.names else f"others have {self.width}"
            raise DataError(
                f"{member.tar}: expected {self.width} values in {member.name}, found {len(values)}; {source}"
            )
        return {self.classes.name(number, member): int(values[number]) for number in np.flatnonzero(values).tolist()}

    def _add(self, key: str, image: TarMember, present: Mapping[str, int], caption: str) -> None:
        if key in self.shard_of:
            where = f"{self.shard_of[key].name} and {image.tar}"
            raise DataError(f"expected each sample once, found {key!r} in {where}; give each a key of its own")
        self.shard_of[key] = image.tar
        samples, columns, values = self.cells
        for label, value in present.items():
            self.places.setdefault(label, f"{image.tar.name}, sample {key}")
            samples.append(len(self.images))
            columns.append(self.column.setdefault(label, len(self.column)))
            values.append(value)
        self.images.append(TarMember(key, image.tar, image.name, image.offset, image.size))
        self.captions.append(caption)

    def targets(self) -> tuple[tuple[str, ...], Targets]:
        """C labels, and the [N, C] int8 targets. Named classes are all there, in the order of their file."""
        every = self.classes.names if self.numbered else ()
        every = every or tuple(map(str, range(self.width or 0)))
        labels = (*every, *sorted(set(self.column) - set(every), key=_by_number))
        position = {label: c for c, label in enumerate(labels)}
        samples, columns, values = (np.array(cells) for cells in self.cells)
        targets: Targets = np.zeros((len(self.images), len(labels)), dtype=np.int8)
        place = np.array([position[label] for label in self.column], dtype=np.int64)
        if len(samples):
            targets[samples, place[columns]] = values
        return labels, targets

    def all_captions(self, remarks: Remarks) -> tuple[str, ...] | None:
        """The captions, if any image has one."""
        if not any(self.captions):
            return None
        for image, caption in zip(self.images, self.captions, strict=True):
            if not caption:
                remarks.add("no-caption", image.id)
        return tuple(self.captions)


def _by_number(label: str) -> tuple[int, str]:
    """Sorts class numbers by value, and names after them."""
    return (int(label), "") if label.isascii() and label.isdigit() else (sys.maxsize, label)


def _image(members: Mapping[str, TarMember]) -> TarMember | None:
    """The image of a sample: of several ("7.jpg", "7.seg.png"), the one with the shortest ending."""
    endings = sorted((ending.count("."), ending) for ending, member in members.items() if member.is_image)
    return members[endings[0][1]] if endings else None


def _leave_out_rest(members: Mapping[str, TarMember], image: TarMember, remarks: Remarks) -> None:
    for ending, member in members.items():
        if member is not image and ending not in (_JSON, _ARRAY, _CLASS, _CAPTION):
            remarks.add("second-image" if member.is_image else "sample-file", member.name, group=ending or "no ending")


def _lacks_labels(shard: Path, key: str, members: Mapping[str, TarMember], image: TarMember) -> str:
    found = listed(ending for ending, member in members.items() if member is not image)
    return (
        f"{shard}: expected labels of sample {key!r} in .json, .npy or .cls, found {found}; "
        "for shards without labels, use `zsprompt predict`"
    )


def _no_samples(shards: Sequence[Path], unlabelled: str, remarks: Remarks) -> DataError:
    """The error for shards of which no sample can be used."""
    if unlabelled:
        return DataError(unlabelled)
    where = str(shards[0]) if len(shards) == 1 else f"{shards[0]} and {len(shards) - 1:,} more"
    left_out = "; ".join(remark.sentence for remark in remarks.found())
    return DataError(f"expected samples of an image and its labels in {where}, found none: {left_out or 'no files'}")


# -- the labels of one sample


def _json_labels(member: TarMember, *, needed: bool) -> dict[str, int] | None:
    """The names under "labels". Other JSON gives None, unless labels are `needed` from it."""
    key = member.name[: -len(_JSON)]
    try:
        value = json.loads(_text(member))
    except (ValueError, RecursionError) as error:
        raise _no_json_labels(member, f"a text that is not JSON ({error})") from None
    if not isinstance(value, dict) or "labels" not in value:
        if not needed:
            return None
        raise _no_json_labels(member, listed(map(repr, value)) if isinstance(value, dict) else type(value).__name__)
    names = value["labels"]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(f"{member.tar}: expected label names in {key}.json, found {str(names)[:60]}")
    return {name.strip(): 1 for name in names}


def _no_json_labels(member: TarMember, found: str) -> DataError:
    return DataError(
        f'{member.tar}: expected {member.name} to hold {{"labels": […]}}, found {found}; '
        "for shards without labels, use `zsprompt predict`"
    )


def _array(member: TarMember) -> npt.NDArray[Any]:
    """[C] 1, 0 or −1 per class, from a NumPy array. Pickled objects are refused, because they could run code."""
    try:
        values = np.load(BytesIO(_bytes(member)), allow_pickle=False)
    except (ValueError, OSError, EOFError, ImageError) as error:
        reason = " ".join(str(error).split())[:80]
        raise DataError(f"{member.tar}: expected a NumPy array in {member.name}, found none ({reason})") from None
    if not isinstance(values, np.ndarray):
        raise DataError(f"{member.tar}: expected one NumPy array in {member.name}, found an archive of them")
    values = values.reshape(-1) if values.ndim == 2 and 1 in values.shape else values
    if values.ndim != 1 or values.dtype.kind not in "biuf" or not np.isin(values, _STATES).all():
        shown = f"{values.dtype} {list(values.shape)}: {values.ravel()[:5].tolist()}"
        raise DataError(f"{member.tar}: expected 1, 0 or -1 per class in {member.name}, found {shown[:80]}")
    return values


def _text(member: TarMember) -> str:
    try:
        return _bytes(member).decode("utf-8-sig").strip()
    except (ImageError, UnicodeDecodeError) as error:
        reason = read_fault(member.tar / member.name, error)
        raise DataError(f"{member.tar}: cannot read {member.name} as UTF-8 text: {reason}") from None


def _bytes(member: TarMember) -> bytes:
    """Content of a small member; empty ones are not an error here."""
    if member.size > _LARGEST_TEXT:
        raise DataError(
            f"{member.tar}: expected at most {_LARGEST_TEXT:,} bytes in {member.name}, found {member.size:,}"
        )
    return member.read() if member.size else b""
