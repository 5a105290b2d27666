"""Forest: a random forest of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Floats
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.kinds.at_once import AtOnce, joined, share_logit, width_of
from zsprompt.adapters.kinds.base import Inputs, Sizes, Weights
from zsprompt.errors import UsageError
from zsprompt.store.image_embeddings import Images

_TREE = {
    **{"feature": ("i", 1), "threshold": ("f", 1), "left": ("i", 1), "right": ("i", 1)},
    **{"share": ("f", 2), "start": ("i", 1)},
}
"""The arrays of a forest, each with its kind of number and its number of axes."""


@dataclass(frozen=True)
class ForestSpec(AtOnce):
    """Random forest of scikit-learn on the vectors; only for its training labels (coco-captions-clip).

    Attributes:
        trees: number of trees.
        depth: maximum depth of each tree.
        inputs: "image", "captions", or "both" concatenated.
    """

    trees: int = 200
    depth: int = 16
    inputs: Inputs = "image"
    settings: ClassVar[frozenset[str]] = frozenset({"seed"})

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        for name, value, most in (("trees", self.trees, 10_000), ("depth", self.depth, 64)):
            if not 1 <= value <= most:
                raise UsageError(f"expected {name} of 1 to {most}, got {value}")

    def fit(self, examples: Examples, seed: int) -> dict[str, NDArray[Any]]:
        """See AtOnce. Ignored targets count as absent, because a forest cannot ignore single cells."""
        from sklearn.ensemble import RandomForestClassifier

        present = (examples.targets == 1).astype(np.int8)
        forest = RandomForestClassifier(self.trees, max_depth=self.depth, random_state=seed, n_jobs=-1)
        # scikit-learn warns about a single column
        forest.fit(joined(examples.images, self.inputs), present.ravel() if present.shape[1] == 1 else present)
        return _packed([tree.tree_ for tree in forest.estimators_], present)

    def answer(self, weights: Weights, images: Images) -> Floats:
        """See AtOnce. It is the logit of the mean share over the trees."""
        vectors = joined(images, self.inputs)
        shares = np.zeros((len(vectors), weights["share"].shape[1]))
        starts = weights["start"]
        for start in starts[:-1]:
            shares += weights["share"][_leaves(weights, vectors, int(start))]
        return share_logit(shares / (len(starts) - 1))

    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """See AtOnce."""
        if {name: (value.dtype.kind, value.ndim) for name, value in weights.items()} != _TREE:
            return f"the arrays {', '.join(_TREE)}"
        nodes, starts = len(weights["feature"]), weights["start"]
        inside = weights["left"] >= 0
        good = (
            weights["share"].shape == (nodes, sizes.labels)
            and all(weights[name].shape == (nodes,) for name in ("threshold", "left", "right"))
            and len(starts) >= 2
            and (starts[0], starts[-1]) == (0, nodes)
            and bool((np.diff(starts) > 0).all())
            and bool((weights["feature"][inside] < width_of(self.inputs, sizes)).all())
            and bool((weights["feature"][inside] >= 0).all())
            # children come after their parent, so every path ends
            and bool((weights["left"] > np.arange(nodes))[inside].all())
            and bool((weights["right"] > np.arange(nodes))[inside].all())
            and bool((weights["left"] < nodes).all() and (weights["right"] < nodes).all())
        )
        return None if good else f"complete trees for {width_of(self.inputs, sizes)} numbers and {sizes.labels} labels"


def _packed(trees: list[Any], present: NDArray[np.int8]) -> dict[str, NDArray[Any]]:
    """Concatenate trees. Children are positions in the concatenation, −1 at leaves.

    Args:
        trees: trees of scikit-learn.
        present: [N, C] the targets they were fitted to.
    """
    starts = np.cumsum([0, *[tree.node_count for tree in trees]])
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _TREE if name != "start"}
    for tree, start in zip(trees, starts, strict=False):
        parts["feature"].append(np.maximum(tree.feature, 0).astype(np.int32))
        parts["threshold"].append(tree.threshold.astype(np.float64))
        for name, children in (("left", tree.children_left), ("right", tree.children_right)):
            parts[name].append(np.where(children < 0, -1, children + start).astype(np.int64))
        parts["share"].append(_shares(tree, present))
    return {name: np.concatenate(values) for name, values in parts.items()} | {"start": starts.astype(np.int64)}


def _shares(tree: Any, present: NDArray[np.int8]) -> Floats:
    """[nodes, C] share of the images of a node that have each label.

    scikit-learn keeps only one class for a label that all or none of the images have.
    """
    counts = tree.value  # [nodes, C, most classes of a label]
    shares = np.zeros((tree.node_count, present.shape[1]), dtype=np.float32)
    for label in range(present.shape[1]):
        of_label = counts[:, label, :2]
        both = int(tree.n_classes[label]) == 2
        shares[:, label] = of_label[:, 1] / of_label.sum(axis=1) if both else present[0, label]
    return shares


def _leaves(weights: Weights, vectors: Floats, root: int) -> NDArray[np.int64]:
    """[N] the leaf of one tree for each image."""
    place = np.full(len(vectors), root, dtype=np.int64)
    rows = np.arange(len(vectors))
    while True:
        inside = rows[weights["left"][place] >= 0]
        if not len(inside):
            return place
        nodes = place[inside]
        low = vectors[inside, weights["feature"][nodes]] <= weights["threshold"][nodes]
        place[inside] = np.where(low, weights["left"][nodes], weights["right"][nodes])
