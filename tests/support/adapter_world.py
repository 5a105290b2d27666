"""A small planted world for adapters, and a small adapter of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from zsprompt._utils.arrays import Floats, Halves, Indices, unit_rows
from zsprompt.adapters import Examples, Fitted, Kind, Sizes, Trained, fit
from zsprompt.adapters.kinds.dm_decoder import DmDecoderSpec
from zsprompt.adapters.kinds.fc import FcSpec
from zsprompt.adapters.kinds.forest import ForestSpec
from zsprompt.adapters.kinds.fusion import FusionSpec
from zsprompt.adapters.kinds.knn import KnnSpec
from zsprompt.adapters.kinds.linear_probe import LinearProbeSpec
from zsprompt.adapters.kinds.ml_decoder import MlDecoderSpec
from zsprompt.adapters.kinds.mld import MldSpec
from zsprompt.prompts import load_prompts
from zsprompt.store import Images

WORDS = ("cat", "dog", "owl", "hat", "sea")
DIM, PLACES, WIDE = 16, 5, 12


@dataclass(frozen=True)
class Rows:
    """Tokens in memory."""

    array: Halves

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.array.shape  # type: ignore[return-value]

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        return self.array[rows]


def directions(count: int = len(WORDS), dim: int = DIM) -> Floats:
    """[C, D] the vector of each label, for images and texts."""
    return unit_rows(np.random.default_rng(7).normal(size=(count, dim)))


def world(count: int = 60, seed: int = 0, wide: int = DIM, noise: float = 0.3) -> Examples:
    """Images whose vectors are sums of their labels' vectors. Each spatial token shows one label, or nothing."""
    random = np.random.default_rng(seed)
    present = random.random((count, len(WORDS))) < 0.35
    present[0], present[1] = True, False  # no label without positives, none without negatives
    looks = directions()
    vectors = unit_rows(present @ looks + noise * random.normal(size=(count, DIM)) / 4 + 0.1)
    captions = present[:, None] @ looks + noise * random.normal(size=(count, 2, DIM)) / 4 + 0.1
    seen = np.pad(looks, ((0, 0), (0, 0)))[None] * present[:, :, None]
    places = (seen + noise * random.normal(size=(count, PLACES, DIM)) / 4) @ np.eye(DIM, wide)
    tokens = Rows(unit_rows(places).astype(np.float16))
    return Examples(Images(vectors, tokens, unit_rows(captions)), present.astype(np.int8))


SMALL: dict[str, Kind] = {
    "fc": FcSpec(),
    "fc,cosine": FcSpec(start="cosine"),
    "linear-probe": LinearProbeSpec(),
    "mld": MldSpec(heads=2, feed_forward=32, dropout=0.1),
    "mld,mean": MldSpec(heads=2, feed_forward=32, read_out="mean", blocks=2),
    "mld,spatial": MldSpec(heads=2, feed_forward=32, tokens="spatial"),
    "mld,cosine": MldSpec(heads=2, feed_forward=32, start="cosine"),
    "ml-decoder": MlDecoderSpec(heads=2, feed_forward=32),
    "ml-decoder,groups,cosine": MlDecoderSpec(heads=2, feed_forward=32, groups=2, start="cosine"),
    "ml-decoder,groups": MlDecoderSpec(heads=2, feed_forward=32, groups=2),
    "ml-decoder,pooled": MlDecoderSpec(heads=2, width=32, tokens="pooled"),
    "dm-decoder": DmDecoderSpec(blocks=2, heads=2, feed_forward=32),
    "dm-decoder,cosine": DmDecoderSpec(blocks=1, heads=2, feed_forward=32, start="cosine"),
    "dm-decoder,pooled": DmDecoderSpec(blocks=2, heads=2, feed_forward=32, tokens="pooled"),
    "fusion": FusionSpec(hidden=32),
    "fusion,image": FusionSpec(hidden=32, inputs="image", layers=2),
    "fusion,captions": FusionSpec(hidden=32, inputs="captions"),
    "fusion,mutan": FusionSpec(mode="mutan"),
    "knn": KnnSpec(k=5),
    "knn,both": KnnSpec(k=5, inputs="both"),
    "forest": ForestSpec(trees=20, depth=8),
    "forest,captions": ForestSpec(trees=20, depth=8, inputs="captions"),
}
QUICK = (
    "fc",
    "linear-probe",
    "mld",
    "mld,spatial",
    "ml-decoder,groups",
    "dm-decoder",
    "fusion",
    "knn",
    "forest,captions",
)
"""The others are left out of a quick run: they differ from these in one field."""

every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(SMALL[name], id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in SMALL]
)


def sizes_of(examples: Examples) -> Sizes:
    images = examples.images
    assert images.tokens is not None
    assert images.captions is not None
    return Sizes(DIM, images.tokens.shape[2], examples.targets.shape[1], images.captions.shape[1])


def fitted(kind: Kind, examples: Examples | None = None, **changes: Any) -> Fitted:
    examples = examples or world()
    schedule = replace(kind.schedule, **({"epochs": 1, "batch_size": 16, "patience": None} | changes))
    return fit(kind, sizes_of(examples), examples, directions(), schedule)


def trained(kind: Kind, examples: Examples | None = None, **changes: Any) -> Trained:
    examples = examples or world()
    return Trained(
        kind=kind,
        sizes=sizes_of(examples),
        labels=WORDS,
        prompts=load_prompts("photo"),
        model="planted",
        fingerprint="planted/1",
        weights=fitted(kind, examples, **changes).weights,
        facts={"data": {"dataset": "world"}},
        captions=("given", "written"),
    )


def probabilities(logits: Floats) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(float)))
