"""Stratified samples of multi-label data, in which every label keeps its share.

Source: Sechidis, Tsoumakas and Vlahavas 2011, On the Stratification of Multi-Label Data, for distributing the rarest
labels first. Their rule, which gives an image to the side with the larger demand for its label, drifts for frequent
labels if the sides differ in size (3 % on COCO's "person"). Here an image goes where it keeps all its labels balanced.
"""

from __future__ import annotations

import numpy as np

from zsprompt._utils.arrays import Bools, Indices, Targets


def stratified(targets: Targets, count: int, seed: int) -> Indices:
    """Positions of `count` of N images, ascending, that keep each label's share of positives as closely as possible.

    Images are assigned one by one, those with the rarest labels first. An image joins the sample if this lowers the
    weighted sum, over its labels, of squared deviations from the expected number of positives. The weight of a label
    is one over the square root of its positives. The number of images counts as one more label.

    Args:
        targets: [N, C] 1 present, 0 absent, −1 left out (counts as absent).
        count: 1 to N.
        seed: 0 to 2**32 − 1. The same seed gives the same images with every version of NumPy.
    """
    # the last column is present on every image and balances the number of images
    present = np.column_stack([targets == 1, np.ones(len(targets), dtype=np.bool_)])
    weights = np.maximum(present.sum(axis=0), 1) ** -0.5
    share = count / len(targets)
    excess = np.zeros(len(weights))  # positives in the sample minus their expected number so far
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
    """Positions ordered by the number of positives of each image's rarest label; ties in random order."""
    # RandomState: NumPy guarantees a stable stream, unlike for its newer generators
    order = np.random.RandomState(seed).permutation(len(present))
    counts = present.sum(axis=0)
    by_rarity = np.argsort(counts, kind="stable")
    rarest = counts[by_rarity][present[:, by_rarity].argmax(axis=1)]  # argmax finds the first present label
    ordered: Indices = order[np.argsort(rarest[order], kind="stable")]
    return ordered
