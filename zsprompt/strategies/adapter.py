"""Adapter: a trained head on the frozen towers, as one more strategy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from zsprompt._utils.registry import object_path
from zsprompt.adapters import Trained
from zsprompt.errors import AdapterError, UnknownName, UsageError
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, Supervision


@dataclass(frozen=True)
class Adapter:
    """What `zsprompt train` made of a data set's targets.

    Scores are logits. A label is present where the network's probability exceeds `threshold`. With dm-decoder of two
    blocks and more a label's score depends on which others are asked for beside it, as its equations have it.

    Attributes:
        trained: the weights, and what they belong to.
        threshold: a probability, 0..1.
        device: where a network computes: "cpu", "cuda", or "auto".

    Raises:
        UsageError: a threshold that is no probability, or another device.
    """

    trained: Trained
    threshold: float = 0.5
    device: str = field(default="auto", repr=False)  # moves scores by rounding alone: no part of a recipe
    supervision: ClassVar[Supervision] = "trained"

    def __post_init__(self) -> None:
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

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises AdapterError for another encoder or label list than it was trained with."""
        self.trained.order(labels)
        _require_space(self.trained, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder.

        Raises:
            AdapterError: another encoder or label list than it was trained with, or another number of captions.
        """
        from zsprompt.encoders.devices import pick_device

        labels = check_labels(labels)
        trained = self.trained
        self.refuse(labels, texts)
        _require_captions(trained, images)
        words = label_vectors(trained.prompts, labels, texts)
        scores = trained.answer(images, labels, words, pick_device(self.device))
        return Prediction(scores, scores > math.log(self.threshold / (1 - self.threshold)))


def _require_space(trained: Trained, texts: TextSpace) -> None:
    """A number of another encoder's is no error to a network, and means nothing."""
    found = texts.fingerprint
    if found != trained.fingerprint:
        raise AdapterError(
            f"expected the encoder this adapter was trained on, {trained.model} ({trained.fingerprint[:80]}), found "
            f"{found[:80]}; use --model {trained.model} with the precision it had, or train an adapter on this one"
        )


def _require_captions(trained: Trained, images: Images) -> None:
    if "captions" not in trained.kind.reads:
        return
    found = 0 if images.captions is None else images.captions.shape[1]
    if found != trained.sizes.captions:
        raise AdapterError(
            f"expected {trained.sizes.captions} captions a picture ({', '.join(trained.captions)}), as this adapter "
            f"was trained with, found {found}; use a data set with captions, or --picture-captions FILE"
        )
