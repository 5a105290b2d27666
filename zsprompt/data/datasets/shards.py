"""WebDataset shards: tar files in which an image's caption and labels stand beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, found_there
from zsprompt.data.tars import TarMember, read_members
from zsprompt.errors import DataError, ImageError, UnknownName

_LARGEST_TEXT = 2**24


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """WebDataset shards (.tar) with labels in .json or .cls beside each image, and captions in .txt if there are any.

    Files whose names agree up to the first dot are one sample: an image; KEY.json with "labels" (a list of names) or
    KEY.cls (a name, or a number that classes.txt beside the shards names, a line each from 0); KEY.txt, a caption.

    Args:
        root: a .tar file, or a folder of them.
        split: keeps the shards whose names begin with it ("val-000012.tar") or that lie in a folder of that name.
        names: label names are taken as they stand either way.

    Raises:
        DataError: no shards, a damaged one, a sample without an image or labels, or two of one name.
        UnknownName: no shard of that split.
    """
    shards, split = _shards(root, split)
    samples = [sample for shard in shards for sample in _samples(shard)]
    _check_once(samples)
    classes = _classes(shards[0].parent)
    present = [_labels(sample, classes) for sample in samples]
    labels = tuple(sorted(set().union(*present)))
    place = {label: c for c, label in enumerate(labels)}
    targets: Targets = np.zeros((len(samples), len(labels)), dtype=np.int8)
    for n, found in enumerate(present):
        targets[n, [place[label] for label in found]] = 1
    captions = tuple(_text(sample, ".txt") for sample in samples) if ".txt" in samples[0].others else None
    images = [sample.image for sample in samples]
    name = shards[0].parent.resolve().name
    return Dataset(name, labels, images, targets, split=split, names=names, captions=captions)


@dataclass
class _Sample:
    key: str
    image: TarMember
    others: dict[str, TarMember] = field(default_factory=dict)  # by ending


def _shards(root: Path, split: str | None) -> tuple[list[Path], str]:
    """The tar files of a split, sorted, and its name."""
    try:
        alone = root.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {root}: {error}") from None
    if alone:
        base, every = root.parent, [root]
    else:
        base = find_base(root, "tar files (shards)", (), lambda folder: next(folder.rglob("*.tar"), None) is not None)
        every = sorted(base.rglob("*.tar"))
    groups = {path: _group(base, path) for path in every}
    if split is not None and split not in groups.values():
        raise UnknownName(f"split (of the shards in {base})", split, set(groups.values()))
    return [path for path in every if split in (None, groups[path])], split or "all"


def _group(base: Path, shard: Path) -> str:
    """The folder a shard lies in, below `base`, else its name without the number: "val-000012.tar" is of "val"."""
    parts = shard.relative_to(base).parts
    return parts[0] if len(parts) > 1 else shard.stem.rstrip("0123456789").rstrip("-_")


def _samples(shard: Path) -> Iterator[_Sample]:
    """A shard's samples: members whose names agree up to the first dot of the last part stand together."""
    key, members = "", list[TarMember]()
    for member in read_members(shard):
        found = _key(member.name)
        if found != key and members:
            yield _sample(shard, key, members)
            members = []
        key = found
        members.append(member)
    if members:
        yield _sample(shard, key, members)


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _sample(shard: Path, key: str, members: Sequence[TarMember]) -> _Sample:
    others = {member.name[len(key) :].lower(): member for member in members}
    # of several images ("7.jpg", "7.seg.png") the one without a further word is the sample's
    images = sorted((ending.count("."), ending) for ending, member in others.items() if member.is_image)
    if not images:
        raise DataError(f"{shard}: expected a picture in sample {key!r}, found {found_there(others)}")
    member = others.pop(images[0][1])
    return _Sample(key, TarMember(key, member.tar, member.name, member.offset, member.size), others)


def _check_once(samples: Sequence[_Sample]) -> None:
    seen: dict[str, Path] = {}
    for sample in samples:
        if sample.key in seen:
            where = f"{seen[sample.key].name} and {sample.image.tar}"
            raise DataError(f"expected each sample once, found {sample.key!r} in {where}")
        seen[sample.key] = sample.image.tar


def _classes(folder: Path) -> list[str]:
    path = folder / "classes.txt"
    try:
        return path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from None


def _labels(sample: _Sample, classes: Sequence[str]) -> set[str]:
    if ".json" in sample.others:
        return _json_labels(sample)
    if ".cls" in sample.others:
        text = _text(sample, ".cls")
        return {_class_name(sample, int(text), classes) if text.isascii() and text.isdigit() else text}
    endings = found_there(sample.others)
    raise DataError(
        f"{sample.image.tar}: expected labels of sample {sample.key!r} in .json or .cls, found {endings}; "
        "use `zsprompt predict` on shards without labels"
    )


def _json_labels(sample: _Sample) -> set[str]:
    try:
        value = json.loads(_text(sample, ".json"))
        names = value["labels"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f'{sample.image.tar}: expected {sample.key}.json to hold {{"labels": […]}}, found none ({error})'
        ) from None
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(f"{sample.image.tar}: expected label names in {sample.key}.json, found {str(names)[:60]}")
    return {name.strip() for name in names}


def _class_name(sample: _Sample, number: int, classes: Sequence[str]) -> str:
    if not classes:
        return str(number)
    if number >= len(classes):
        raise DataError(
            f"{sample.image.tar}: expected a class below {len(classes)} in {sample.key}.cls, found {number}"
        )
    return classes[number].strip()


def _text(sample: _Sample, ending: str) -> str:
    member = sample.others.get(ending)
    if member is None:
        return ""
    if member.size > _LARGEST_TEXT:
        raise DataError(f"{member.tar}: expected a small text in {member.name}, found {member.size:,} bytes")
    try:
        return member.read().decode("utf-8-sig").strip() if member.size else ""
    except (ImageError, UnicodeDecodeError) as error:
        raise DataError(f"{member.tar}: cannot read {member.name} as UTF-8 text: {error}") from None
