"""What a loader left out, or guessed from names alone: counted and named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

_KEPT = 100  # names kept per kind: a million files must not fill the memory
_NAMED = 3  # names in a sentence


@dataclass(frozen=True)
class RemarkKind:
    """A kind of thing that a loader leaves out or guesses.

    Attributes:
        one: noun for one of them.
        many: noun for several.
        verb: "left out", "guessed" from names alone, "counted" as something that the files do not say, or "found", for
            what is kept but lacks something.
        remedy: what to do about it, where something can be done.
        numbered: whether the sentence gives the number of them.
    """

    one: str
    many: str
    verb: Literal["left out", "guessed", "counted", "found"] = "left out"
    remedy: str = ""
    numbered: bool = True


REMARKS: Mapping[str, RemarkKind] = {
    "hidden": RemarkKind("hidden file", "hidden files"),
    "linked-folder": RemarkKind("linked folder", "linked folders", remedy="name it itself"),
    "unread-format": RemarkKind(
        "image in a format that is not read",
        "images in formats that are not read",
        remedy="convert them to PNG or JPEG",
    ),
    "archive": RemarkKind("archive", "archives", remedy="unpack it, or name a .tar file itself"),
    "other-file": RemarkKind("file that is not an image", "files that are not images"),
    "given-twice": RemarkKind("image that was given twice", "images that were given twice"),
    "special-member": RemarkKind(
        "link, device or sparse file in a tar file", "links, devices and sparse files in tar files"
    ),
    "packed-shard": RemarkKind("compressed shard", "compressed shards", remedy="unpack them to .tar"),
    "empty-shard": RemarkKind("shard without files", "shards without files"),
    "no-image": RemarkKind("sample without an image", "samples without an image"),
    "no-labels": RemarkKind("sample without labels", "samples without labels"),
    "second-image": RemarkKind("second image of a sample", "second images of samples"),
    "sample-file": RemarkKind(
        "file that is neither image, labels nor caption", "files that are neither images, labels nor captions"
    ),
    "no-caption": RemarkKind("image without a caption", "images without a caption", verb="found"),
    "shard-split": RemarkKind("split from the names of shards", "splits from the names of shards", verb="guessed"),
    "default-split": RemarkKind(
        "split from the names of folders", "splits from the names of folders", verb="guessed", remedy="--split chooses"
    ),
    "outside-labels": RemarkKind("image that is in no label's folder", "images that are in no label's folder"),
    "empty-folder": RemarkKind("folder without images", "folders without images"),
    "deep-folder": RemarkKind(
        "label folder with folders inside",
        "label folders with folders inside",
        verb="found",
        remedy="the outer folder counts as the label",
    ),
    "folder-label": RemarkKind("label from the name of a folder", "labels from the names of folders", verb="guessed"),
    "untranslated-folder": RemarkKind(
        "folder that the file of names lacks", "folders that the file of names lacks", verb="found"
    ),
    "line-without-name": RemarkKind("line without a name", "lines without a name"),
    "row-numbers": RemarkKind("column of row numbers", "columns of row numbers"),
    "ignored-column": RemarkKind("column that is not a label", "columns that are not labels"),
    "blank-row": RemarkKind("row without content", "rows without content"),
    "unannotated": RemarkKind("image without an annotation", "images without an annotation"),
    "further-annotation": RemarkKind(
        "annotation of an image that has another one",
        "annotations of images that have another one",
        remedy="mark the right one as ground truth",
    ),
    "unused-label": RemarkKind("label that no image has", "labels that no image has"),
    "root-category": RemarkKind("category that only groups others", "categories that only group others"),
    "other-annotations": RemarkKind("annotation file of another kind", "annotation files of another kind"),
    "orphan": RemarkKind(
        "annotation of an image that is not in the file", "annotations of images that are not in the file"
    ),
    "no-annotation": RemarkKind("image without any annotation", "images without any annotation", verb="found"),
    "no-positive": RemarkKind("label that no image has", "labels that no image has", verb="found"),
    "unlisted-image": RemarkKind("image file that no annotation names", "image files that no annotation names"),
    "data-folder": RemarkKind(
        "folder of several with this data set",
        "folders of several with this data set",
        verb="guessed",
        remedy="--root names another",
    ),
    "list-file": RemarkKind("list of images", "lists of images", verb="guessed", remedy="--root FILE names another"),
    "image-column": RemarkKind("image column", "image columns", verb="guessed", remedy="call it 'image'"),
    "labels-column": RemarkKind("column of labels", "columns of labels", verb="guessed", remedy="call it 'labels'"),
    "separator": RemarkKind("separator of cells", "separators of cells", verb="guessed"),
    "name-separator": RemarkKind("separator of label names", "separators of label names", verb="guessed"),
    "blank-flag": RemarkKind(
        "blank cell as absent", "blank cells as absent", verb="counted", remedy="write 0 to be explicit"
    ),
    "joined-rows": RemarkKind("row as part of an earlier row", "rows as parts of earlier rows", verb="guessed"),
    "image-place": RemarkKind("where the images are", "where the images are", verb="guessed", numbered=False),
    "no-annotation-file": RemarkKind(
        "image without an annotation file as having no labels",
        "images without annotation files as having no labels",
        verb="counted",
    ),
}
"""Every kind of remark, by key. A loader can make no other; a contract test plants one of each."""


@dataclass(frozen=True)
class Remark:
    """Things of one kind that a loader left out or guessed.

    Attributes:
        kind: key of REMARKS.
        count: number of them.
        names: the first 100 of them.
        groups: (group, count), such as file suffixes; empty if they are of one sort.
    """

    kind: str
    count: int
    names: tuple[str, ...]
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def guessed(self) -> bool:
        """Whether the loader guessed something, from names or from what the files lack."""
        return REMARKS[self.kind].verb in ("guessed", "counted")

    @property
    def sentence(self) -> str:
        """One sentence with the count, the first names, and what to do."""
        kind = REMARKS[self.kind]
        noun = kind.one if self.count == 1 else kind.many
        sizes = f" ({', '.join(f'{group} {count:,}' for group, count in self.groups)})" if self.groups else ""
        more = f" and {self.count - _NAMED:,} more" if self.count > _NAMED else ""
        remedy = f"; {kind.remedy}" if kind.remedy else ""
        number = f" {self.count:,}" if kind.numbered else ""
        return f"{kind.verb}{number} {noun}{sizes}: {', '.join(self.names[:_NAMED])}{more}{remedy}"


class Remarks:
    """Collects the remarks of a loader in little memory."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._groups: dict[str, dict[str, int]] = {}

    def add(self, kind: str, name: str, *, group: str = "") -> None:
        """Count one thing. `kind` is a key of REMARKS, `group` a sort within it, such as a suffix."""
        self.add_many(kind, 1, (name,), group=group)

    def add_many(self, kind: str, count: int, things: Iterable[str], *, group: str = "") -> None:
        """Count `count` things at once. Only as many of their names are read as are kept."""
        names = self._names.setdefault(kind, [])
        names += islice(things, _KEPT - len(names))
        groups = self._groups.setdefault(kind, {})
        groups[group] = groups.get(group, 0) + count

    def add_all(self, remarks: Iterable[Remark]) -> None:
        """Add the remarks of another collector."""
        for remark in remarks:
            names = self._names.setdefault(remark.kind, [])
            names += remark.names[: _KEPT - len(names)]
            groups = self._groups.setdefault(remark.kind, {})
            for group, count in remark.groups or (("", remark.count),):
                groups[group] = groups.get(group, 0) + count

    def found(self) -> tuple[Remark, ...]:
        """The remarks, in the order of REMARKS."""
        return tuple(
            Remark(kind, sum(self._groups[kind].values()), tuple(self._names[kind]), _sorts(self._groups[kind]))
            for kind in REMARKS
            if kind in self._names
        )


def _sorts(groups: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The named groups, the largest first."""
    named = [(group, count) for group, count in groups.items() if group]
    return tuple(sorted(named, key=lambda pair: (-pair[1], pair[0])))
