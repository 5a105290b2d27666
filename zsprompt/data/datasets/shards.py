"""WebDataset shards: tar files with labels and captions next to each image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Targets
from zsprompt._utils.files import read_fault, unreadable
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base, listed
from zsprompt.data.tars import TarMember, read_members
from zsprompt.errors import DataError, ImageError, UnknownName

_LARGEST_TEXT = 2**24


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """WebDataset shards (.tar) with labels in .json or .cls next to each image, and optional captions in .txt.

    Files whose names are equal up to the first dot form one sample: an image, its labels and its caption. Labels are
    KEY.json with "labels" (a list of names), or KEY.cls with a name or a number. classes.txt next to the shards may
    name the numbers, one per line from 0. KEY.txt is a caption.

    Args:
        root: a .tar file, or a folder of them.
        split: keep the shards whose names begin with it ("val-000012.tar") or that are in a folder of that name.
        names: ignored; label names are used unchanged.

    Raises:
        DataError: there are no shards, a shard is damaged, or a sample is repeated or lacks an image or labels.
        UnknownName: there is no shard of that split.
    """
    shards, split = _shards(root, split)
    samples = [sample for shard in shards for sample in _samples(shard)]
    _check_once(samples)
    classes = _classes(shards[0].parent)
    present = [_labels(sample, classes) for sample in samples]
    labels = tuple(sorted(set().union(*present)))
    column = {label: c for c, label in enumerate(labels)}
    targets: Targets = np.zeros((len(samples), len(labels)), dtype=np.int8)
    for n, sample_labels in enumerate(present):
        targets[n, [column[label] for label in sample_labels]] = 1
    captions = tuple(_text(sample, ".txt") for sample in samples) if ".txt" in samples[0].others else None
    images = [sample.image for sample in samples]
    name = shards[0].parent.resolve().name
    return Dataset(name, labels, images, targets, split=split, names=names, captions=captions)


@dataclass
class _Sample:
    key: str
    image: TarMember
    others: dict[str, TarMember] = field(default_factory=dict)  # by suffix


def _shards(root: Path, split: str | None) -> tuple[list[Path], str]:
    """The tar files of a split, sorted, and the name of the split."""
    try:
        alone = root.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {root}: {read_fault(root, error)}") from None
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
    """Split of a shard: its folder below `base`, else its name without the number ("val" for "val-000012.tar")."""
    parts = shard.relative_to(base).parts
    return parts[0] if len(parts) > 1 else shard.stem.rstrip("0123456789").rstrip("-_")


def _samples(shard: Path) -> Iterator[_Sample]:
    """Samples of a shard: consecutive members whose names are equal up to the first dot of the file name."""
    key, members = "", list[TarMember]()
    for member in read_members(shard):
        member_key = _key(member.name)
        if member_key != key and members:
            yield _sample(shard, key, members)
            members = []
        key = member_key
        members.append(member)
    if members:
        yield _sample(shard, key, members)


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _sample(shard: Path, key: str, members: Sequence[TarMember]) -> _Sample:
    others = {member.name[len(key) :].lower(): member for member in members}
    # of several images ("7.jpg", "7.seg.png"), take the one with the shortest suffix
    images = sorted((ending.count("."), ending) for ending, member in others.items() if member.is_image)
    if not images:
        raise DataError(f"{shard}: expected an image in sample {key!r}, found {listed(others)}")
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
        raise DataError(unreadable(path, error)) from None


def _labels(sample: _Sample, classes: Sequence[str]) -> set[str]:
    if ".json" in sample.others:
        return _json_labels(sample)
    if ".cls" in sample.others:
        text = _text(sample, ".cls")
        return {_class_name(sample, int(text), classes) if text.isascii() and text.isdigit() else text}
    suffixes = listed(sample.others)
    raise DataError(
        f"{sample.image.tar}: expected labels of sample {sample.key!r} in .json or .cls, found {suffixes}; "
        "for shards without labels, use `zsprompt predict`"
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
        raise DataError(
            f"{member.tar}: expected at most {_LARGEST_TEXT:,} bytes in {member.name}, found {member.size:,}"
        )
    try:
        return member.read().decode("utf-8-sig").strip() if member.size else ""
    except (ImageError, UnicodeDecodeError) as error:
        reason = read_fault(member.tar / member.name, error)
        raise DataError(f"{member.tar}: cannot read {member.name} as UTF-8 text: {reason}") from None
