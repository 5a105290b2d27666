"""Protocols: the images and labels that an adapter is trained on, and those that it is measured on.

Source: Xu et al. 2022 (ADDS) for conventional, zero-shot and single-to-multi learning; Chen et al. 2024 (MMM-CLIP) for
the fractions of few-shot learning; Huynh and Elhamifar 2020 for seen and unseen labels (ZSL, GZSL).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zsprompt._utils.arrays import Bools
from zsprompt._utils.text import counted
from zsprompt.data import Dataset
from zsprompt.errors import DataError, UsageError

_NAMED = 5  # labels that a message names


@dataclass(frozen=True)
class Protocol:
    """A training set and a test set.

    Attributes:
        name: "conventional", "few-shot", "zero-shot", "zsl", "gzsl" or "single-to-multi".
        learn: training images and labels. Training may see no other targets.
        test: test images and labels. No image is in `learn` too.
    """

    name: str
    learn: Dataset
    test: Dataset


def conventional(train: Dataset, test: Dataset) -> Protocol:
    """Train and measure with the same labels, in the order of `train`.

    Raises:
        DataError: the labels differ, or an image is in both.
    """
    _require_apart(train, test)
    return Protocol("conventional", train, _same_labels(train, test))


def few_shot(dataset: Dataset, fraction: float, seed: int, test: Dataset | None = None) -> Protocol:
    """Train on a sample of the images in which labels keep their frequency.

    Args:
        dataset: the images to sample from.
        fraction: size of the sample, above 0 and below 1; 0.02 of Kaggle's images is 2/98 in the source.
        seed: random seed of the sample.
        test: test images; by default all images outside the sample.

    Raises:
        UsageError: the fraction is out of range.
        DataError: the sample or the rest is empty, the labels differ, or an image is in both.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"expected a fraction of the images above 0 and below 1, got {fraction:g}")
    if test is not None:
        _require_apart(dataset, test)
    total = len(dataset.images)
    count = round(fraction * total)
    if not 0 < count < total:
        raise DataError(
            f"expected training and test images, found {count} of {total} images for training; use more images"
        )
    drawn = dataset.sample(count, seed)
    if test is not None:
        return Protocol("few-shot", drawn, _same_labels(dataset, test))
    drawn_ids = {image.id for image in drawn.images}
    rest = dataset.select([n for n, image in enumerate(dataset.images) if image.id not in drawn_ids])
    left = replace(rest, split=f"{dataset.split}[without sample {count}, seed {seed}]")
    return Protocol("few-shot", drawn, left)


def zero_shot(train: Dataset, test: Dataset, *, overlapping: bool = True) -> Protocol:
    """Train on one data set and measure on another with its own labels.

    Args:
        train: training images.
        test: test images.
        overlapping: keep shared labels in both, and count them in a note of `test`; False removes them from both
            ("without overlapped classes").

    Raises:
        DataError: an image is in both, or no label is left.
    """
    _require_apart(train, test)
    shared = [label for label in test.labels if label in set(train.labels)]
    if not shared:
        return Protocol("zero-shot", train, test)
    if overlapping:
        note = f"{len(shared)} of the {counted(len(test.labels), 'label')} are training labels of {train.name} too"
        return Protocol("zero-shot", train, replace(test, notes=(*test.notes, note)))
    learn = [label for label in train.labels if label not in shared]
    measured = [label for label in test.labels if label not in shared]
    if not learn or not measured:
        raise DataError(
            f"expected labels of {train.name} and of {test.name} that the other lacks, found "
            f"{len(learn)} and {len(measured)}"
        )
    return Protocol("zero-shot", train.with_labels(learn), test.with_labels(measured))


def zsl(train: Dataset, test: Dataset, unseen: Sequence[str], seen: Sequence[str] | None = None) -> Protocol:
    """Train on seen labels only and measure on unseen labels only, over all images of `test`.

    All images of `train` stay. An image that shows unseen labels only is negative for all seen labels, which is true
    and reveals nothing about the unseen ones. Images of `test` without unseen labels stay too, as negatives, as in
    the sources.

    Args:
        train: training images.
        test: test images, with the same labels or more.
        unseen: labels that training must not use.
        seen: labels to train on; by default all others of `train`.

    Raises:
        DataError: a label does not exist, is both seen and unseen, no label is left to train on, or an image is in
            both.
    """
    _require_apart(train, test)
    return Protocol("zsl", train.with_labels(_seen(train, unseen, seen)), test.with_labels(unseen))


def gzsl(train: Dataset, test: Dataset, unseen: Sequence[str], seen: Sequence[str] | None = None) -> Protocol:
    """As `zsl`, but measure on seen and unseen labels together, the seen ones first.

    Raises:
        DataError: see `zsl`.
    """
    apart = zsl(train, test, unseen, seen)
    return Protocol("gzsl", apart.learn, test.with_labels((*apart.learn.labels, *unseen)))


def single_to_multi(
    train: Dataset,
    test: Dataset,
    unseen: Sequence[str] = (),
    seen: Sequence[str] | None = None,
    *,
    overlapping: bool = True,
) -> Protocol:
    """Train on images with exactly one label and measure on images with any number of labels.

    All labels of `train` count here. An image with a left-out target may have a second label and is removed. Images
    of labels that are not trained on are removed too.

    Args:
        train: training images.
        test: test images; another data set keeps its own labels.
        unseen: labels that training must not use; the measures are then over them alone, see `zsl`.
        seen: labels to train on, with `unseen`.
        overlapping: for another data set, see `zero_shot`.

    Raises:
        DataError, UsageError: see `conventional`, `zero_shot` and `zsl`; or no image has exactly one label.
    """
    if unseen or seen is not None:
        apart = zsl(train, test, unseen, seen)
    elif train.name == test.name:
        apart = conventional(train, test)
    else:
        apart = zero_shot(train, test, overlapping=overlapping)
    one: Bools = np.asarray(((train.targets == 1).sum(axis=1) == 1) & (train.targets != -1).all(axis=1))
    one &= (apart.learn.targets == 1).any(axis=1)
    if not one.any():
        raise DataError(f"expected images of {train.name} with exactly one label, found none")
    learn = replace(apart.learn.select(np.flatnonzero(one)), split=f"{train.split}[one label]")
    return Protocol("single-to-multi", learn, apart.test)


def held_out(labels: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """`count` labels drawn at random, in their original order: the unseen labels for `zsl`.

    Raises:
        UsageError: `count` is below 1, no label is left to train on, or the seed is not 0 to 2³² − 1.
    """
    if not 1 <= count < len(labels):
        raise UsageError(f"expected to hold out 1 to {len(labels) - 1} of {counted(len(labels), 'label')}, got {count}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"expected a seed of 0 to {2**32 - 1}, got {seed}")
    drawn = np.random.RandomState(seed).permutation(len(labels))[:count]
    return tuple(labels[c] for c in sorted(drawn))


def _seen(train: Dataset, unseen: Sequence[str], seen: Sequence[str] | None) -> tuple[str, ...]:
    if not unseen:
        raise UsageError("expected at least one unseen label, found none")
    if seen is not None and (both := [label for label in seen if label in set(unseen)]):
        raise DataError(f"expected different seen and unseen labels, found {_named(both)} in both")
    trained = tuple(seen) if seen is not None else tuple(label for label in train.labels if label not in set(unseen))
    if not trained:
        raise DataError(f"expected labels of {train.name} to train on, found all {len(train.labels)} unseen")
    return trained


def _same_labels(train: Dataset, test: Dataset) -> Dataset:
    if set(train.labels) != set(test.labels):
        other = [label for label in (*train.labels, *test.labels) if (label in train.labels) != (label in test.labels)]
        raise DataError(
            f"expected the same labels in {train.name} and {test.name}, found {_named(other)} in one of them only"
        )
    return test.with_labels(train.labels)


def _require_apart(train: Dataset, test: Dataset) -> None:
    """Raise DataError for an image in both; equal ids of different data sets are different images."""
    if train.name != test.name:
        return
    trained = {image.id for image in train.images}
    both = [image.id for image in test.images if image.id in trained]
    if both:
        raise DataError(
            f"expected different training and test images of {train.name}, found {counted(len(both), 'image')} in both "
            f"{train.split} and {test.split}: {_named(both)}"
        )


def _named(names: Collection[str]) -> str:
    some = list(names)[:_NAMED]
    return ", ".join(some) + (f" and {len(names) - len(some):,} more" if len(names) > len(some) else "")
