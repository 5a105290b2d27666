"""Self-training: what unlabelled images teach a strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Bools, Floats
from zsprompt._utils.text import counted
from zsprompt.adapters import discriminant
from zsprompt.adapters.kinds.base import Answer, Sizes, Weights
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError
from zsprompt.store.image_embeddings import Images

if TYPE_CHECKING:
    from zsprompt.adapters.job import Fitted, Job

FEWEST = 1000
"""Unlabelled images below which self-training refuses; see benchmarks/self_training.py."""

_COMPONENTS = 256  # of the class logits
_READ = 512  # images whose class logits are in memory at once
_LARGER = 1  # the row of the class logits that is the larger image's, see ClassEncoder


@dataclass(frozen=True)
class SelfTrainingSpec:
    """A discriminant per label, learnt from the unlabelled images that a strategy scores highest.

    Attributes:
        best: share of the images that stand for a label, 0..1; 5 images at least.
        weight: of the discriminant beside the strategy's score.
        shrinkage: of the images' covariance towards a multiple of the identity.
        rounds: each further round takes the best images by the result of the last one.
        space: what it reads of images: "vectors", "classes", the main components of the class logits, or "auto",
            classes where the encoder has them.
        fewest: images to learn from; with fewer it refuses.
    """

    best: float = 0.04
    weight: float = 0.5
    shrinkage: float = 1.0
    rounds: int = 1
    space: Literal["auto", "vectors", "classes"] = "auto"
    fewest: int = FEWEST
    has_epochs: ClassVar[bool] = False
    bound: ClassVar[bool] = True
    reads_texts: ClassVar[bool] = True
    schedule: ClassVar[Schedule] = Schedule()
    settings: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.best <= 1:
            raise UsageError(f"expected best of 0 to 1, a share of the images, got {self.best:g}")
        for name in ("weight", "shrinkage"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"expected {name} of at least 0, got {getattr(self, name):g}")
        for name in ("rounds", "fewest"):
            if getattr(self, name) < 1:
                raise UsageError(f"expected {name} of at least 1, got {getattr(self, name)}")

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return frozenset({"auto": ["classes:auto"], "classes": ["classes"], "vectors": []}[self.space])

    def check(self, sizes: Sizes) -> None:
        """See Kind. Any sizes are valid."""

    def refuse_images(self, count: int) -> None:
        """Raise UsageError for a number of images that teaches too little."""
        if count < self.fewest:
            raise UsageError(
                f"expected at least {counted(self.fewest, 'image')} for self-training, found {count:,}, which teach "
                "too little; leave self-training out, use more images, or lower the field fewest"
            )

    def learn(self, job: Job) -> Fitted:
        """See Kind. Raises UsageError: it learns from a strategy's scores, not from targets."""
        raise UsageError("expected a strategy for self-training to learn from, found none; add --strategy NAME")

    def learn_from(self, images: Images, scores: Floats, decisions: Bools) -> dict[str, NDArray[Any]]:
        """The weights that N images, with scores and decisions [N, C] of a strategy, teach."""
        self.refuse_images(len(images))
        basis: dict[str, NDArray[Any]] = {}
        if self.space != "vectors" and images.classes is not None:
            mean, components = discriminant.principal_components(_class_logits(images), _COMPONENTS)
            basis = {"class_mean": mean, "components": components}
        learnt = discriminant.learn(
            features(basis, images),
            scores,
            decisions,
            best=self.best,
            weight=self.weight,
            shrinkage=self.shrinkage,
            rounds=self.rounds,
        )
        return basis | learnt

    def combined(self, weights: Weights, images: Images, scores: Floats) -> Floats:
        """[N, C] what the images teach and the strategy's scores [N, C], together."""
        return discriminant.combined(weights, features(weights, images), scores, self.weight)

    def answering(self, weights: Weights, sizes: Sizes) -> Answer:
        """See Kind. The answer is the discriminants alone, without the strategy."""

        def answer(images: Images, texts: Floats, device: str) -> Floats:
            found = discriminant.standard_discriminants(weights, features(weights, images))
            return np.asarray(found, dtype=np.float32)

        return answer

    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """See Kind."""
        labels, width = (sizes.labels,), (sizes.features,)
        wanted = {
            "centre": width,
            "directions": width + labels,
            **dict.fromkeys(("offsets", "means", "deviations", "cuts"), labels),
            "spread": (1,),
        }
        found = {name: value.shape for name, value in weights.items()}
        basis = found.pop("class_mean", None), found.pop("components", None)
        classes = basis[0] or (0,)
        if found != wanted or basis not in ((None, None), (classes, classes + width)):
            return f"discriminants of {sizes.labels} labels on features of width {sizes.features}"
        if any(value.dtype != np.float32 for value in weights.values()):
            return "float32 weights"
        positive = all((weights[name] > 0).all() for name in ("deviations", "spread"))
        return None if positive else "positive deviations"


def features(weights: Weights, images: Images) -> Floats:
    """[N, F] unit rows: the vectors, or the main components of the class logits if `weights` holds them.

    Raises:
        UsageError: there are no class logits to read.
        CacheError: they are in a store that is closed or damaged.
    """
    if "components" not in weights:
        return images.vectors
    if images.classes is None:
        raise UsageError("expected images with class logits for self-training, found none; read them with store.read")
    if not len(images):
        return np.empty((0, weights["components"].shape[1]), dtype=np.float32)
    rows = (_class_logits(images) - weights["class_mean"]) @ weights["components"]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def _class_logits(images: Images) -> Floats:
    """[N, K] the class logits of the larger images. Raises CacheError, see `features`."""
    assert images.classes is not None  # see the callers
    parts = []
    for start in range(0, len(images), _READ):
        block = images.classes.read(range(start, min(start + _READ, len(images))))
        parts.append(np.stack([rows[_LARGER] for _, rows in block]).astype(np.float32))
    return np.concatenate(parts)
