"""Adapters that are fitted at once: nearest neighbours and a random forest, over pictures' vectors and captions.

Both are kept as arrays, never as pickles: neighbours are the training pictures themselves, a forest its trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Doubles, Floats, unit_rows
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.kinds import Sizes, Weights
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import TrainingError, UsageError
from zsprompt.store.image_embeddings import Images

Inputs = Literal["image", "both", "captions"]

_CELLS = 2**24  # similarities at a time
_TIE = 1e-4  # of a mean cosine, far less than one vote: k votes give many ties
_SURE = 1e-4  # shares of 0 and 1 become logits that are finite
_TREE = {
    **{"feature": ("i", 1), "threshold": ("f", 1), "left": ("i", 1), "right": ("i", 1)},
    **{"share": ("f", 2), "start": ("i", 1)},
}
"""The arrays of a forest, each with its kind of number and of axes."""


@dataclass(frozen=True)
class Neighbours:
    """The k most similar training pictures vote, by cosine (coco-captions-clip); for the labels it was fitted to.

    Attributes:
        k: how many vote; a closer one weighs no more than another.
        inputs: "image", "captions", or "both" joined.
    """

    k: int = 20
    inputs: Inputs = "image"
    bound: ClassVar[bool] = True
    schedule: ClassVar[Schedule] = Schedule()

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return _reads(self.inputs)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        if self.k < 1:
            raise UsageError(f"expected k of at least 1, got {self.k}")

    def fit(self, examples: Examples, seed: int) -> dict[str, NDArray[Any]]:
        """See FittedKind."""
        vectors = _joined(examples.images, self.inputs)
        if len(vectors) < self.k:
            raise TrainingError(f"expected at least k = {self.k} training pictures, found {len(vectors)}; lower k")
        return {"vectors": vectors.astype(np.float32), "targets": examples.targets.astype(np.int8)}

    def answer(self, weights: Weights, images: Images) -> Floats:
        """See FittedKind: the logit of the share of neighbours that have the label; ties by how near those are."""
        known, targets = weights["vectors"], weights["targets"]
        seen = _joined(images, self.inputs)
        labels = targets.shape[1]
        rows = max(1, _CELLS // max(len(known), self.k * labels))
        found = [self._some(seen[i : i + rows], known, targets) for i in range(0, len(seen), rows)]
        return np.concatenate([np.empty((0, labels), dtype=np.float32), *found])

    def _some(self, seen: Floats, known: Floats, targets: NDArray[Any]) -> Floats:
        cosines = seen @ known.T
        nearest = np.argpartition(-cosines, self.k - 1, axis=1)[:, : self.k]
        votes = targets[nearest]  # [n, k, C]
        counted = np.maximum((votes != -1).sum(axis=1), 1)
        yes = votes == 1
        near = (yes * np.take_along_axis(cosines, nearest, axis=1)[..., None]).sum(axis=1) / self.k
        # below 0 throughout, so that a share of just one half is no yes
        return np.asarray(_logit(yes.sum(axis=1) / counted) + _TIE * (near - 2), dtype=np.float32)

    def expected(self, weights: Weights, sizes: Sizes) -> str | None:
        """See FittedKind."""
        vectors, targets = weights.get("vectors"), weights.get("targets")
        width = _width(self.inputs, sizes)
        wanted = f"vectors [n, {width}] and targets [n, {sizes.labels}] of at least {self.k} pictures"
        if vectors is None or targets is None or len(weights) != 2 or vectors.ndim != 2 or len(vectors) < self.k:
            return wanted
        shapes = (vectors.shape[1], targets.shape) == (width, (len(vectors), sizes.labels))
        return None if shapes and vectors.dtype == np.float32 and targets.dtype == np.int8 else wanted


@dataclass(frozen=True)
class Forest:
    """A random forest over vectors (coco-captions-clip), as scikit-learn grows it; for the labels it was fitted to.

    Attributes:
        trees: how many.
        depth: of each tree, at most.
        inputs: "image", "captions", or "both" joined.
    """

    trees: int = 200
    depth: int = 16
    inputs: Inputs = "image"
    bound: ClassVar[bool] = True
    schedule: ClassVar[Schedule] = Schedule()

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return _reads(self.inputs)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        for name, value, most in (("trees", self.trees, 10_000), ("depth", self.depth, 64)):
            if not 1 <= value <= most:
                raise UsageError(f"expected {name} of 1 to {most}, got {value}")

    def fit(self, examples: Examples, seed: int) -> dict[str, NDArray[Any]]:
        """See FittedKind. A left-out target counts as absent: a forest has no other way to leave out one label."""
        from sklearn.ensemble import RandomForestClassifier

        present = (examples.targets == 1).astype(np.int8)
        forest = RandomForestClassifier(self.trees, max_depth=self.depth, random_state=seed, n_jobs=-1)
        # scikit-learn warns of one column
        forest.fit(_joined(examples.images, self.inputs), present.ravel() if present.shape[1] == 1 else present)
        return _packed([tree.tree_ for tree in forest.estimators_], present)

    def answer(self, weights: Weights, images: Images) -> Floats:
        """See FittedKind: the logit of the mean share over the trees."""
        seen = _joined(images, self.inputs)
        shares = np.zeros((len(seen), weights["share"].shape[1]))
        starts = weights["start"]
        for start in starts[:-1]:
            shares += weights["share"][_leaves(weights, seen, int(start))]
        return _logit(shares / (len(starts) - 1))

    def expected(self, weights: Weights, sizes: Sizes) -> str | None:
        """See FittedKind."""
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
            and bool((weights["feature"][inside] < _width(self.inputs, sizes)).all())
            and bool((weights["feature"][inside] >= 0).all())
            # children stand after their parent, so that every way down ends
            and bool((weights["left"] > np.arange(nodes))[inside].all())
            and bool((weights["right"] > np.arange(nodes))[inside].all())
            and bool((weights["left"] < nodes).all() and (weights["right"] < nodes).all())
        )
        return None if good else f"whole trees over {_width(self.inputs, sizes)} numbers and {sizes.labels} labels"


def _packed(trees: list[Any], present: NDArray[np.int8]) -> dict[str, NDArray[Any]]:
    """Trees one after the other; children are places in the whole, −1 at leaves.

    Args:
        trees: as scikit-learn keeps them.
        present: [N, C] what they were grown on.
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
    """[nodes, C] share of a node's pictures that have each label; a label all or none of them have has one class."""
    counts = tree.value  # [nodes, C, most classes of a label]
    shares = np.zeros((tree.node_count, present.shape[1]), dtype=np.float32)
    for label in range(present.shape[1]):
        of_label = counts[:, label, :2]
        both = int(tree.n_classes[label]) == 2
        shares[:, label] = of_label[:, 1] / of_label.sum(axis=1) if both else present[0, label]
    return shares


def _leaves(weights: Weights, seen: Floats, root: int) -> NDArray[np.int64]:
    """[N] the leaf of one tree that each picture ends in."""
    place = np.full(len(seen), root, dtype=np.int64)
    rows = np.arange(len(seen))
    while True:
        inside = rows[weights["left"][place] >= 0]
        if not len(inside):
            return place
        nodes = place[inside]
        low = seen[inside, weights["feature"][nodes]] <= weights["threshold"][nodes]
        place[inside] = np.where(low, weights["left"][nodes], weights["right"][nodes])


def _joined(images: Images, inputs: Inputs) -> Floats:
    """[N, D], or [N, D + K·D] with captions; unit rows, so that a product of two is their cosine."""
    if inputs == "image":
        return images.vectors
    captions = images.captions
    if captions is None:
        raise UsageError(f"expected captions for inputs={inputs}, found none; use inputs=image")
    flat = captions.reshape(len(captions), captions.shape[1] * captions.shape[2])
    return unit_rows(flat if inputs == "captions" else np.concatenate([images.vectors, flat], axis=1))


def _width(inputs: Inputs, sizes: Sizes) -> int:
    captions = sizes.captions * sizes.dim
    return {"image": sizes.dim, "captions": captions, "both": sizes.dim + captions}[inputs]


def _reads(inputs: Inputs) -> frozenset[str]:
    return frozenset() if inputs == "image" else frozenset({"captions"})


def _logit(share: Doubles) -> Floats:
    clipped = np.clip(share, _SURE, 1 - _SURE)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float32)
