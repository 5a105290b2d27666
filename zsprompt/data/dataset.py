"""Dataset: the value every loader returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsprompt._utils.arrays import Indices, Targets
from zsprompt.data.images import ImageRef
from zsprompt.data.sampling import stratified
from zsprompt.errors import BadImages, DataError, UsageError


@dataclass(frozen=True)
class Origin:
    """What `load_dataset` was asked for, so that a later command finds the images again.

    Attributes:
        dataset: the name ("voc").
        root: its folder, absolute; None where there is none.
        split: as asked for; None for the default.
    """

    dataset: str
    root: str | None
    split: str | None


@dataclass(frozen=True)
class Dataset:
    """N images, C labels, and which label is on which image.

    Attributes:
        name: "voc2007".
        labels: C names, as they go into prompts.
        images: N images.
        targets: [N, C] int8: 1 present, 0 absent, −1 left out (VOC "difficult").
        split: the list it was read from.
        names: "readable" or "raw" label names.
        captions: a description of each image, where there are some.
        written: another one of each image, made by a machine, where there are some.
        model: the model it is meant for, where it has one of its own.
        bank: the shipped caption bank for its labels, where there is one.
        notes: what a reader of numbers on it must know, a sentence each; a result repeats them.
        origin: how it was loaded, if by `load_dataset`.

    Raises:
        DataError: the shapes do not agree, targets hold another number, or there is no image.
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
    origin: Origin | None = None

    def __post_init__(self) -> None:
        expected = (len(self.images), len(self.labels))
        if self.targets.shape != expected:
            raise DataError(f"expected targets of shape {expected} in data set {self.name}, found {self.targets.shape}")
        if not self.images:
            raise DataError(f"expected pictures in data set {self.name}, split {self.split!r}, found none")
        if not _three_states(self.targets):
            raise DataError(f"expected targets of 1, 0 or -1 in data set {self.name}, found others")
        for texts in self.caption_columns.values():
            if len(texts) != len(self.images):
                raise DataError(f"expected {expected[0]} captions in data set {self.name}, found {len(texts)}")

    @property
    def caption_columns(self) -> dict[str, tuple[str, ...]]:
        """Captions by where they come from, "given" before "written"; empty where there are none."""
        columns = {"given": self.captions, "written": self.written}
        return {name: texts for name, texts in columns.items() if texts is not None}

    def with_labels(self, labels: Sequence[str]) -> Dataset:
        """The data set with only these of its labels, in this order.

        Raises:
            DataError: it has no such label.
        """
        place = {label: c for c, label in enumerate(self.labels)}
        if unknown := [label for label in labels if label not in place]:
            raise DataError(
                f"expected labels of data set {self.name} ({', '.join(self.labels[:8])}, …), found {unknown[0]!r}"
            )
        if not labels:
            raise DataError(f"expected at least one label of data set {self.name}, found none")
        return replace(self, labels=tuple(labels), targets=self.targets[:, [place[label] for label in labels]])

    def select(self, positions: Sequence[int] | Indices) -> Dataset:
        """The data set with only the images at `positions`, in that order."""
        return replace(
            self,
            images=[self.images[i] for i in positions],
            targets=self.targets[list(positions)],
            captions=self.captions and tuple(self.captions[i] for i in positions),
            written=self.written and tuple(self.written[i] for i in positions),
        )

    def first(self, count: int) -> Dataset:
        """The data set with only its first `count` images; its split says so ("test[:50]").

        Raises:
            UsageError: below 1.
        """
        if count < 1:
            raise UsageError(f"expected a limit of at least 1 picture, got {count}")
        if count >= len(self.images):
            return self
        return replace(self.select(range(count)), split=f"{self.split}[:{count}]")

    def sample(self, count: int, seed: int) -> Dataset:
        """A multi-label stratified sample of `count` images, in their order; its split says so.

        Every label keeps its share of images as nearly as whole images allow. The same seed draws the same
        images everywhere ("test[sample 50, seed 0]"); the whole data set if it has no more than `count`.

        Raises:
            UsageError: below 1, or a seed that is not 0 to 2**32 − 1.
        """
        if count < 1:
            raise UsageError(f"expected a sample of at least 1 picture, got {count}")
        if not 0 <= seed < 2**32:
            raise UsageError(f"expected a seed of 0 to {2**32 - 1}, got {seed}")
        if count >= len(self.images):
            return self
        drawn = self.select(stratified(self.targets, count, seed))
        return replace(drawn, split=f"{self.split}[sample {count}, seed {seed}]")


def _three_states(targets: Targets) -> bool:
    if not np.issubdtype(targets.dtype, np.integer):
        return bool(np.isin(targets, (-1, 0, 1)).all())
    return not ((targets < -1).any() or (targets > 1).any())  # isin would take eight times the memory of the table


def refuse_or_skip(dataset: Dataset, bad: Sequence[tuple[int, str]], skip_bad: bool) -> tuple[tuple[str, str], ...]:
    """(id, reason) of images that cannot be read, from their positions.

    Raises:
        BadImages: there are some, and they are not to be skipped.
        DataError: there are no others.
    """
    named = tuple((dataset.images[i].id, reason) for i, reason in bad)
    if named and not skip_bad:
        raise BadImages(named, len(dataset.images))
    if len(named) == len(dataset.images):
        raise DataError(f"expected readable pictures in data set {dataset.name}, found none among {len(named)}")
    return named
