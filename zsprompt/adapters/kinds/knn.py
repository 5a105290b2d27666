"""Nearest neighbours: the most similar training images vote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Floats
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.kinds.at_once import AtOnce, joined, share_logit, width_of
from zsprompt.adapters.kinds.base import Inputs, Sizes, Weights
from zsprompt.errors import TrainingError, UsageError
from zsprompt.store.image_embeddings import Images

_CELLS = 2**24  # similarities at a time
_TIE = 1e-4  # of a mean cosine, far less than one vote: k votes give many ties


@dataclass(frozen=True)
class KnnSpec(AtOnce):
    """The k most similar training images vote, by cosine (coco-captions-clip); for the labels it was fitted to.

    Attributes:
        k: how many vote; a closer one weighs no more than another.
        inputs: "image", "captions", or "both" joined.
    """

    k: int = 20
    inputs: Inputs = "image"

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        if self.k < 1:
            raise UsageError(f"expected k of at least 1, got {self.k}")

    def fit(self, examples: Examples, seed: int) -> dict[str, NDArray[Any]]:
        """See AtOnce."""
        vectors = joined(examples.images, self.inputs)
        if len(vectors) < self.k:
            raise TrainingError(f"expected at least k = {self.k} training images, found {len(vectors)}; lower k")
        return {"vectors": vectors.astype(np.float32), "targets": examples.targets.astype(np.int8)}

    def answer(self, weights: Weights, images: Images) -> Floats:
        """See AtOnce: the logit of the share of neighbours that have the label; ties by how near those are."""
        known, targets = weights["vectors"], weights["targets"]
        seen = joined(images, self.inputs)
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
        return np.asarray(share_logit(yes.sum(axis=1) / counted) + _TIE * (near - 2), dtype=np.float32)

    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """See AtOnce."""
        vectors, targets = weights.get("vectors"), weights.get("targets")
        width = width_of(self.inputs, sizes)
        wanted = f"vectors [n, {width}] and targets [n, {sizes.labels}] of at least {self.k} images"
        if vectors is None or targets is None or len(weights) != 2 or vectors.ndim != 2 or len(vectors) < self.k:
            return wanted
        shapes = (vectors.shape[1], targets.shape) == (width, (len(vectors), sizes.labels))
        return None if shapes and vectors.dtype == np.float32 and targets.dtype == np.int8 else wanted
