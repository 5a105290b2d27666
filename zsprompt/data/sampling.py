"""A sample of a data set in which every label keeps its share.

Sechidis, Tsoumakas and Vlahavas 2011, On the Stratification of Multi-Label Data, is where dealing out the rarest
labels first comes from. Their choice of a side, the one that wants more of the label, drifts for frequent labels when
the sides differ in size (3 % on COCO's "person"), so here an image goes where it keeps all its labels balanced.
"""

from __future__ import annotations

import numpy as np

from zsprompt._utils.arrays import Bools, Indices, Targets


def stratified(targets: Targets, count: int, seed: int) -> Indices:
    """Positions of `count` of the N images, ascending, with each label's share of positives kept as far as possible.

    Images are dealt out one by one, those with the rarest labels first. Each goes into the sample if that leaves
    the smaller sum of squares, over its labels, of positives too many or too few in the sample; a label weighs one
    over the square root of its positives, and the number of images counts as one more label.

    Args:
        targets: [N, C] 1 present, 0 absent, −1 left out (counts as absent).
        count: 1 to N.
        seed: 0 to 2**32 − 1; the same seed gives the same images with every NumPy.
    """
    # the last column, present on every image, keeps the number of images
    present = np.column_stack([targets == 1, np.ones(len(targets), dtype=np.bool_)])
    weights = np.maximum(present.sum(axis=0), 1) ** -0.5
    share = count / len(targets)
    excess = np.zeros(len(weights))  # positives in the sample beyond their share of those dealt out
    sampled = np.zeros(len(targets), dtype=np.bool_)
    room = [len(targets) - count, count]
    for image in _rarest_first(present, seed):
        labels = np.flatnonzero(present[image])
        into = (weights[labels] * (2 * excess[labels] + 1 - 2 * share)).sum() < 0 if all(room) else room[1] > 0
        excess[labels] += into - share
        sampled[image] = into
        room[bool(into)] -= 1
    return np.flatnonzero(sampled)


def _rarest_first(present: Bools, seed: int) -> Indices:
    """Positions by the number of positives of each image's rarest label, at random among equals."""
    # RandomState: NumPy promises the same stream for ever, which it does not of its newer generators
    order = np.random.RandomState(seed).permutation(len(present))
    counts = present.sum(axis=0)
    by_rarity = np.argsort(counts, kind="stable")
    rarest = counts[by_rarity][present[:, by_rarity].argmax(axis=1)]  # argmax finds the first that is present
    found: Indices = order[np.argsort(rarest[order], kind="stable")]
    return found
