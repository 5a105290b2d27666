"""Self-training: a strategy, and what unlabelled images teach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.digests import digest
from zsprompt._utils.registry import object_path
from zsprompt.adapters import Trained, discriminant
from zsprompt.adapters.kinds.base import Weights
from zsprompt.adapters.kinds.self_training import FEWEST, SelfTrainingSpec
from zsprompt.errors import AdapterError
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.adapter import require_space
from zsprompt.strategies.base import Prediction, ReferenceWords, Strategy, Supervision
from zsprompt.strategies.order import require_order


@dataclass(frozen=True)
class SelfTraining:
    """NAME's scores, and discriminants learnt from the images that NAME scores highest; all images at once.

    A score depends on the other images, so this is transductive. `zsprompt train --adapter self-training` writes what
    images teach to a file, which `adapter:FILE` applies to other images one by one. Scores are NAME's in standard
    deviations, and `weight` times the discriminant in its own. A label is present on as many images as NAME finds it
    on: those that now score highest.

    Attributes:
        strategy: the wrapped strategy.
        best: share of the images that stand for a label, 0..1; 5 images at least.
        weight: of the discriminant beside NAME's score.
        shrinkage: of the images' covariance towards a multiple of the identity.
        rounds: each further round takes the best images by the result of the last one.
        space: what it reads of images: "vectors", "classes", the main components of the class logits, or "auto",
            classes where the encoder has them.
        fewest: images to learn from; with fewer it refuses.
    """

    strategy: Strategy
    best: float = 0.04
    weight: float = 0.5
    shrinkage: float = 1.0
    rounds: int = 1
    space: Literal["auto", "vectors", "classes"] = "auto"
    fewest: int = FEWEST
    supervision: ClassVar[Supervision] = "transductive"
    needs_all_images: ClassVar[bool] = True
    stage: ClassVar[int] = 3

    def __post_init__(self) -> None:
        check_fields(self)
        require_order(self, self.strategy)
        _ = self.kind  # raises for a field that is out of range

    @property
    def inner(self) -> Strategy:
        """See Wrapper."""
        return self.strategy

    def with_inner(self, strategy: Strategy) -> SelfTraining:
        """See Wrapper."""
        return replace(self, strategy=strategy)

    @property
    def reads(self) -> frozenset[str]:
        """See Reads."""
        return self.kind.reads

    @property
    def kind(self) -> SelfTrainingSpec:
        """The same fields, as a kind of adapter."""
        return SelfTrainingSpec(**{part.name: getattr(self, part.name) for part in fields(SelfTrainingSpec)})

    def refuse_images(self, count: int) -> None:
        """See RefusesImages. Raises UsageError for fewer images than it can learn from."""
        self.kind.refuse_images(count)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            UsageError: there are images, but fewer than `fewest`.
        """
        if len(images):
            self.refuse_images(len(images))
        inner = self.strategy.predict(images, check_labels(labels), texts)
        if not len(images):
            return replace(inner, probabilities=None)
        weights = self.kind.learn_from(images, inner.scores, inner.decisions)
        return _applied(self.kind, weights, images, inner)


@dataclass(frozen=True)
class SelfTrained:
    """A strategy and the discriminants of an adapter file, which unlabelled images taught; image by image.

    Scores are as those of self-training:. A label is present where its score is above that of the training image down
    to which the strategy found it.

    Attributes:
        strategy: the strategy that the images were scored with.
        trained: the adapter file.

    Raises:
        AdapterError: the strategy is not the one of the training.
    """

    strategy: Strategy
    trained: Trained
    supervision: ClassVar[Supervision] = "transductive"

    def __post_init__(self) -> None:
        check_fields(self)
        taught = self.trained.facts.get("recipe", {}).get("strategy_digest")
        if taught != digest(self.strategy):
            raise AdapterError(
                f"expected the strategy that this adapter was trained with (digest {taught}), found another "
                f"({digest(self.strategy)}); did a file of words or a prompt set change? Train it again"
            )

    @property
    def reads(self) -> frozenset[str]:
        """See Reads."""
        return frozenset({"classes"} if "components" in self.trained.weights else ())

    @property
    def written(self) -> str:
        """See Written."""
        return object_path(type(self)) if self.trained.file is None else f"adapter:{self.trained.file}"

    @property
    def own_model(self) -> str:
        """See OwnsModel."""
        return self.trained.model

    @property
    def own_labels(self) -> tuple[str, ...]:
        """See OwnsLabels."""
        return self.trained.labels

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords | None:
        """See Compares. Its decisions were made in training; only the strategy's scores may depend on words."""
        return None

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises AdapterError for another label set than in training."""
        self.trained.order(labels)

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises AdapterError for another encoder than in training."""
        require_space(self.trained, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises what the wrapped strategy raises.

        Raises:
            AdapterError: another encoder or label set than in training.
        """
        labels = check_labels(labels)
        self.refuse(labels, texts)
        order = self.trained.order(labels)
        inner = self.strategy.predict(images, labels, texts)
        weights = self.trained.weights if order is None else discriminant.for_labels(self.trained.weights, order)
        return _applied(self.kind, weights, images, inner)

    @property
    def kind(self) -> SelfTrainingSpec:
        """The fields of the training."""
        kind = self.trained.kind
        assert isinstance(kind, SelfTrainingSpec)  # see the table of strategies
        return kind


def _applied(kind: SelfTrainingSpec, weights: Weights, images: Images, inner: Prediction) -> Prediction:
    """The prediction of a strategy, with what `weights` add to it."""
    scores = kind.combined(weights, images, inner.scores)
    return replace(inner, scores=scores, decisions=scores > weights["cuts"], probabilities=None)
