"""Protocols: which pictures and labels an adapter learns from, and which it is measured on.

Source: Xu et al. 2022 (ADDS) for conventional, zero-shot and single-to-multi learning; Chen et al. 2024 (MMM-CLIP) for
the shares of few-shot learning; Huynh and Elhamifar 2020 for seen and unseen labels and both together (ZSL, GZSL).
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
    """What to learn from and what to measure on.

    Attributes:
        name: "conventional", "few-shot", "zero-shot", "zsl", "gzsl" or "single-to-multi".
        learn: pictures and labels for training. Its targets are all that training may see.
        test: pictures and labels to measure on, none of those pictures in `learn`.
    """

    name: str
    learn: Dataset
    test: Dataset


def conventional(train: Dataset, test: Dataset) -> Protocol:
    """Learn and be measured with the same labels; those of `test` in the order of `train`.

    Raises:
        DataError: other labels, or a picture in both.
    """
    _require_apart(train, test)
    return Protocol("conventional", train, _same_labels(train, test))


def few_shot(dataset: Dataset, fraction: float, seed: int, test: Dataset | None = None) -> Protocol:
    """Learn from a share of the pictures, drawn so that every label keeps its share.

    Args:
        dataset: what the share is drawn from.
        fraction: above 0, below 1; 0.02 of Kaggle's pictures is the source's 2/98.
        seed: of the draw.
        test: what to measure on; by default all that was not drawn.

    Raises:
        UsageError: no such fraction.
        DataError: nothing drawn or nothing left, other labels, or a picture in both.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"expected a fraction of the pictures above 0 and below 1, got {fraction:g}")
    if test is not None:
        _require_apart(dataset, test)
    total = len(dataset.images)
    count = round(fraction * total)
    if not 0 < count < total:
        raise DataError(f"expected pictures on both sides, found {count} of {total} to learn from; use more pictures")
    drawn = dataset.sample(count, seed)
    if test is not None:
        return Protocol("few-shot", drawn, _same_labels(dataset, test))
    inside = {image.id for image in drawn.images}
    rest = dataset.select([n for n, image in enumerate(dataset.images) if image.id not in inside])
    left = replace(rest, split=f"{dataset.split}[without sample {count}, seed {seed}]")
    return Protocol("few-shot", drawn, left)


def zero_shot(train: Dataset, test: Dataset, *, overlapping: bool = True) -> Protocol:
    """Learn from one data set, be measured on another with that one's own labels.

    Args:
        train: what to learn from.
        test: what to measure on.
        overlapping: labels that both have stay in both, and a note of `test` counts them; False leaves them out of
            both ("without overlapped classes").

    Raises:
        DataError: a picture in both, or no label left.
    """
    _require_apart(train, test)
    known, wanted = set(train.labels), set(test.labels)
    both = [label for label in test.labels if label in known]
    if not both:
        return Protocol("zero-shot", train, test)
    if overlapping:
        note = f"{len(both)} of the {counted(len(test.labels), 'label')} were learnt from {train.name} by the same name"
        return Protocol("zero-shot", train, replace(test, notes=(*test.notes, note)))
    learn = [label for label in train.labels if label not in wanted]
    measured = [label for label in test.labels if label not in known]
    if not learn or not measured:
        raise DataError(
            f"expected labels of {train.name} and of {test.name} that the other has not, found "
            f"{len(learn)} and {len(measured)}"
        )
    return Protocol("zero-shot", train.with_labels(learn), test.with_labels(measured))


def zsl(train: Dataset, test: Dataset, unseen: Sequence[str], seen: Sequence[str] | None = None) -> Protocol:
    """Learn from seen labels only, be measured on unseen ones only, over all pictures of `test`.

    All pictures of `train` stay. One that shows nothing but unseen labels is all-negative, which is true of the seen
    ones and says nothing of the others. Pictures of `test` without an unseen label stay too, as in the sources: they
    are the negatives that a label has to be told from.

    Args:
        train: pictures to learn from.
        test: pictures to measure on, with the same labels or more.
        unseen: labels that training must not know of.
        seen: labels to learn; by default all others of `train`.

    Raises:
        DataError: no such label, a label both seen and unseen, none left to learn, or a picture in both.
    """
    _require_apart(train, test)
    return Protocol("zsl", train.with_labels(_seen(train, unseen, seen)), test.with_labels(unseen))


def gzsl(train: Dataset, test: Dataset, unseen: Sequence[str], seen: Sequence[str] | None = None) -> Protocol:
    """As `zsl`, but measured on seen and unseen labels together, the seen ones first.

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
    """Learn from pictures with exactly one label, be measured on pictures with any number.

    Which pictures have one label is decided by all labels of `train`; a picture with a left-out target may have
    another and does not count. Only pictures of labels that are learnt are kept.

    Args:
        train: what to learn from.
        test: what to measure on; of another data set with that one's own labels.
        unseen: labels that training must not know of; then they alone are measured, see `zsl`.
        seen: labels to learn, with `unseen`.
        overlapping: for another data set, see `zero_shot`.

    Raises:
        DataError, UsageError: see `conventional`, `zero_shot` and `zsl`; or no picture has exactly one label.
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
        raise DataError(f"expected pictures of {train.name} with exactly one label, found none")
    learn = replace(apart.learn.select(np.flatnonzero(one)), split=f"{train.split}[one label]")
    return Protocol("single-to-multi", learn, apart.test)


def held_out(labels: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """`count` of the labels, drawn at random, in their order: what `zsl` may call unseen.

    Raises:
        UsageError: fewer than one, none left to learn, or a seed that is not 0 to 2**32 − 1.
    """
    if not 1 <= count < len(labels):
        raise UsageError(f"expected 1 to {len(labels) - 1} of {counted(len(labels), 'label')} held out, got {count}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"expected a seed of 0 to {2**32 - 1}, got {seed}")
    drawn = np.random.RandomState(seed).permutation(len(labels))[:count]
    return tuple(labels[c] for c in sorted(drawn))


def _seen(train: Dataset, unseen: Sequence[str], seen: Sequence[str] | None) -> tuple[str, ...]:
    hidden = set(unseen)
    if not hidden:
        raise UsageError("expected at least one unseen label, found none")
    if seen is not None and (both := [label for label in seen if label in hidden]):
        raise DataError(f"expected seen and unseen labels apart, found {_named(both)} among both")
    found = tuple(seen) if seen is not None else tuple(label for label in train.labels if label not in hidden)
    if not found:
        raise DataError(f"expected labels of {train.name} to learn, found all {len(train.labels)} unseen")
    return found


def _same_labels(train: Dataset, test: Dataset) -> Dataset:
    if set(train.labels) != set(test.labels):
        other = [label for label in (*train.labels, *test.labels) if (label in train.labels) != (label in test.labels)]
        raise DataError(f"expected the labels of {train.name} in {test.name} too, found {_named(other)} in one alone")
    return test.with_labels(train.labels)


def _require_apart(train: Dataset, test: Dataset) -> None:
    """Pictures of one name are the same ones only in one data set."""
    if train.name != test.name:
        return
    known = {image.id for image in train.images}
    both = [image.id for image in test.images if image.id in known]
    if both:
        raise DataError(
            f"expected other pictures of {train.name} to test on than to learn from, found "
            f"{counted(len(both), 'picture')} in both {train.split} and {test.split}: {_named(both)}"
        )


def _named(names: Collection[str]) -> str:
    some = list(names)[:_NAMED]
    return ", ".join(some) + (f" and {len(names) - len(some):,} more" if len(names) > len(some) else "")
