"""Knn: the nearest training images vote."""

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

_CELLS = 2**24  # cosines at a time
_TIE = 1e-4  # weight of the mean cosine; breaks the many ties between k votes, and is far less than one vote


@dataclass(frozen=True)
class KnnSpec(AtOnce):
    """Vote of the k nearest training images by cosine; only for its training labels (coco-captions-clip).

    Attributes:
        k: number of images that vote, all with the same weight.
        inputs: "image", "captions", or "both" concatenated.
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
        """See AtOnce. It is the logit of the share of neighbours with the label; mean cosines break ties."""
        stored, targets = weights["vectors"], weights["targets"]
        vectors = joined(images, self.inputs)
        labels = targets.shape[1]
        rows = max(1, _CELLS // max(len(stored), self.k * labels))
        parts = [self._some(vectors[i : i + rows], stored, targets) for i in range(0, len(vectors), rows)]
        return np.concatenate([np.empty((0, labels), dtype=np.float32), *parts])

    def _some(self, vectors: Floats, stored: Floats, targets: NDArray[Any]) -> Floats:
        cosines = vectors @ stored.T
        nearest = np.argpartition(-cosines, self.k - 1, axis=1)[:, : self.k]
        votes = targets[nearest]  # [n, k, C]
        counted = np.maximum((votes != -1).sum(axis=1), 1)
        yes = votes == 1
        near = (yes * np.take_along_axis(cosines, nearest, axis=1)[..., None]).sum(axis=1) / self.k
        # always below 0, so that a share of exactly one half is a no
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
