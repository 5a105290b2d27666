"""Adapter: a trained head on frozen embeddings, used as a strategy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.registry import object_path
from zsprompt._utils.text import counted
from zsprompt.adapters import Trained
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.errors import AdapterError, UnknownName, UsageError
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, Supervision


@dataclass(frozen=True)
class Adapter:
    """A head that `zsprompt train` has trained on the targets of a data set.

    Scores are logits. A label is present where its probability exceeds `threshold`. With dm-decoder and at least two
    blocks, the score of a label also depends on the other labels, because its equations mix them.

    Attributes:
        trained: the weights and what they belong to.
        threshold: a probability, 0..1.
        device: where a network computes: "cpu", "cuda", or "auto".

    Raises:
        UsageError: the threshold is not a probability, or the device is unknown.
    """

    trained: Trained
    threshold: float = 0.5
    device: str = field(default="auto", repr=False)  # changes scores only by rounding, so it is not in the repr
    supervision: ClassVar[Supervision] = "trained"

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.trained.kind, SelfTrainingSpec):
            raise UsageError(
                "expected an adapter that was trained on targets, found self-training, which adds to a strategy; use "
                "zsprompt.strategies.strategy_of(trained), or load_strategy('adapter:FILE')"
            )
        if not 0 < self.threshold < 1:
            raise UsageError(f"expected a threshold between 0 and 1, a probability, got {self.threshold:g}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UnknownName("device", self.device, ("auto", "cpu", "cuda"))

    @property
    def reads(self) -> frozenset[str]:
        """See Reads."""
        return self.trained.kind.reads

    @property
    def written(self) -> str:
        """See Written."""
        file = self.trained.file
        return object_path(type(self)) if file is None else f"adapter:{file}"

    @property
    def own_model(self) -> str:
        """See OwnsModel."""
        return self.trained.model

    @property
    def own_labels(self) -> tuple[str, ...]:
        """See OwnsLabels."""
        return self.trained.labels

    def on_device(self, device: str) -> Adapter:
        """See Computes."""
        return replace(self, device=device) if self.device == "auto" else self

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises AdapterError for another label set than in training."""
        self.trained.order(labels)
        self.trained.prompts.ensemble(labels)

    def refuse_captions(self, count: int) -> None:
        """See RefusesCaptions. Raises AdapterError for another number of image captions than in training."""
        trained = self.trained
        if "captions" in self.reads and count != trained.sizes.captions:
            raise AdapterError(
                f"expected {counted(trained.sizes.captions, 'caption')} per image ({', '.join(trained.captions)}), "
                f"as in the training of this adapter, found {count}; use a data set with captions, or "
                "--image-captions FILE"
            )

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises AdapterError for another encoder than in training, ModelError for a missing device."""
        from zsprompt.encoders.devices import require_device

        require_device(self.device)
        require_space(self.trained, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder.

        Raises:
            AdapterError: another encoder, label set or number of image captions than in training.
        """
        from zsprompt.encoders.devices import pick_device

        labels = check_labels(labels)
        trained = self.trained
        self.refuse_labels(labels)
        self.refuse(labels, texts)
        self.refuse_captions(0 if images.captions is None else images.captions.shape[1])
        vectors = label_vectors(trained.prompts, labels, texts)
        scores = trained.answer(images, labels, vectors, pick_device(self.device))
        return Prediction(scores, scores > math.log(self.threshold / (1 - self.threshold)))


def require_space(trained: Trained, texts: TextSpace) -> None:
    """Raise AdapterError for another encoder than in training.

    An adapter accepts embeddings of any encoder, but its scores are meaningless for all but its own.
    """
    fingerprint = texts.fingerprint
    if fingerprint != trained.fingerprint:
        raise AdapterError(
            f"expected the encoder this adapter was trained on, {trained.model} ({trained.fingerprint[:80]}), found "
            f"{fingerprint[:80]}; use --model {trained.model} with the same precision, or train an adapter on this "
            "encoder"
        )
