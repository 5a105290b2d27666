"""Dataset: the value that every loader returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from zsprompt._utils.arguments import require
from zsprompt._utils.arrays import Indices, Targets
from zsprompt._utils.digests import digest
from zsprompt.data.images import ImageRef
from zsprompt.data.remarks import Remark
from zsprompt.data.sampling import stratified
from zsprompt.errors import BadImages, DataError, UsageError

PHOTOGRAPHS, SCENES = "photographs", "drawn scenes"
"""Kinds of images. Files count as photographs."""


@dataclass(frozen=True)
class Origin:
    """The arguments of `load_dataset`, so that a later command can find the images again.

    Attributes:
        dataset: name of the data set ("voc").
        root: absolute path of its folder; None if it has no folder.
        split: the requested split; None for the default.
    """

    dataset: str
    root: str | None
    split: str | None


@dataclass(frozen=True)
class Dataset:
    """N images, C labels, and the labels of each image.

    Attributes:
        name: "voc2007".
        labels: C label names, as used in prompts.
        images: N images.
        targets: [N, C] int8: 1 present, 0 absent, −1 left out (VOC "difficult").
        split: name of the split.
        names: "readable" or "raw" label names.
        captions: N image captions of the data set, or None.
        written: N image captions written by a model, or None.
        model: default model of the data set, or None.
        bank: name of the shipped caption bank for its labels, or None.
        notes: caveats about the data, one sentence each; results repeat them.
        remarks: what the loader left out, or guessed from names alone; results repeat them too.
        places: label -> file and line where it was first met ("labels.csv, line 3"), where known.
        origin: arguments of `load_dataset`; None if it was built otherwise.
        domain: what the images are: "photographs" or "drawn scenes". Models of another domain are warned of.

    Raises:
        DataError: shapes do not match, targets contain other numbers, or there are no images.
    """

    name: str
    labels: tuple[str, ...]
    images: Sequence[ImageRef]
    targets: Targets
    split: str = ""
    names: str = "readable"
    captions: tuple[str, ...] | None = None
    written: tuple[str, ...] | None = None
    model: str | None = None
    bank: str | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    domain: str = PHOTOGRAPHS

    def __post_init__(self) -> None:
        kinds = {"name": str, "labels": Sequence, "images": Sequence, "targets": np.ndarray}
        for name, kind in kinds.items():  # what is in them, zsprompt.testing.check_dataset checks
            require(name, getattr(self, name), kind)
        expected = (len(self.images), len(self.labels))
        if self.targets.shape != expected:
            raise DataError(f"expected targets of shape {expected} in data set {self.name}, found {self.targets.shape}")
        if not self.images:
            raise DataError(f"expected images in data set {self.name}, split {self.split!r}, found none")
        if not _three_states(self.targets):
            raise DataError(f"expected targets of 1, 0 or -1 in data set {self.name}, found others")
        for texts in self.caption_columns.values():
            if len(texts) != len(self.images):
                raise DataError(f"expected {expected[0]} captions in data set {self.name}, found {len(texts)}")

    @property
    def caption_columns(self) -> dict[str, tuple[str, ...]]:
        """Image captions by source, "given" before "written"; sources without captions are omitted."""
        columns = {"given": self.captions, "written": self.written}
        return {name: texts for name, texts in columns.items() if texts is not None}

    @property
    def caveats(self) -> tuple[str, ...]:
        """The notes, and one sentence per remark."""
        return (*self.notes, *(remark.sentence for remark in self.remarks))

    def identity(self, *, captions: bool = False) -> str:
        """A digest of what is measured on or learned from: images, labels, targets, and captions if asked for.

        Images count by their ids, as results name them.
        """
        facts = (self.name, self.split, self.names, self.labels, self.caption_columns if captions else {})
        whole = hashlib.sha256(digest(facts).encode())
        for image in self.images:
            whole.update(image.id.encode("utf-8", "surrogateescape") + b"\0")
        whole.update(self.targets.tobytes())
        return whole.hexdigest()

    def with_labels(self, labels: Sequence[str]) -> Dataset:
        """The data set restricted to `labels`, in this order.

        Raises:
            DataError: a label is not in the data set, or `labels` is empty.
        """
        column = {label: c for c, label in enumerate(self.labels)}
        if unknown := [label for label in labels if label not in column]:
            raise DataError(
                f"expected labels of data set {self.name} ({', '.join(self.labels[:8])}, …), found {unknown[0]!r}"
            )
        if not labels:
            raise DataError(f"expected at least one label of data set {self.name}, found none")
        return replace(self, labels=tuple(labels), targets=self.targets[:, [column[label] for label in labels]])

    def select(self, positions: Sequence[int] | Indices) -> Dataset:
        """The data set restricted to the images at `positions`, in that order."""
        return replace(
            self,
            images=[self.images[i] for i in positions],
            targets=self.targets[list(positions)],
            captions=self.captions and tuple(self.captions[i] for i in positions),
            written=self.written and tuple(self.written[i] for i in positions),
        )

    def first(self, count: int) -> Dataset:
        """The data set restricted to its first `count` images. Its split becomes "test[:50]".

        Raises:
            UsageError: `count` is below 1.
        """
        if count < 1:
            raise UsageError(f"expected a limit of at least 1 image, got {count}")
        if count >= len(self.images):
            return self
        return replace(self.select(range(count)), split=f"{self.split}[:{count}]")

    def sample(self, count: int, seed: int) -> Dataset:
        """A multi-label stratified sample of `count` images, in their order.

        Every label keeps its share of images as closely as possible. The same seed draws the same images on every
        machine. The split becomes "test[sample 50, seed 0]". A data set of at most `count` images is returned whole.

        Raises:
            UsageError: `count` is below 1, or `seed` is not in 0 to 2**32 − 1.
        """
        if count < 1:
            raise UsageError(f"expected a sample of at least 1 image, got {count}")
        if not 0 <= seed < 2**32:
            raise UsageError(f"expected a seed of 0 to {2**32 - 1}, got {seed}")
        if count >= len(self.images):
            return self
        drawn = self.select(stratified(self.targets, count, seed))
        return replace(drawn, split=f"{self.split}[sample {count}, seed {seed}]")


def _three_states(targets: Targets) -> bool:
    if not np.issubdtype(targets.dtype, np.integer):
        return bool(np.isin(targets, (-1, 0, 1)).all())
    return not ((targets < -1).any() or (targets > 1).any())  # isin would need eight times the memory of the targets


def refuse_or_skip(dataset: Dataset, bad: Sequence[tuple[int, str]], skip_bad: bool) -> tuple[tuple[str, str], ...]:
    """(id, reason) of the images that cannot be read; `bad` holds their (position, reason).

    Raises:
        BadImages: there are unreadable images, and `skip_bad` is false.
        DataError: no image can be read.
    """
    named = tuple((dataset.images[i].id, reason) for i, reason in bad)
    if named and not skip_bad:
        raise BadImages(named, len(dataset.images))
    if len(named) == len(dataset.images):
        raise DataError(f"expected readable images in data set {dataset.name}, found none among {len(named)}")
    return named
