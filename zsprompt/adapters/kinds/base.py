"""The protocol of adapter kinds: frozen dataclasses of sizes, with the training settings of their source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from zsprompt._utils.arrays import Floats
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError
from zsprompt.store.image_embeddings import Images

if TYPE_CHECKING:
    import torch

    from zsprompt.adapters.job import Fitted, Job

Weights = Mapping[str, NDArray[Any]]

Answer = Callable[[Images, Floats, str], Floats]
"""From images, label texts [C, D] and a device ("cpu", "cuda") to logits [N, C]."""

Inputs = Literal["image", "both", "captions"]
"""What an adapter reads of an image with captions."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of the inputs and outputs of an adapter.

    Attributes:
        dim: D, width of image and text vectors.
        features: D', width of the features that a decoder reads.
        labels: C in training.
        captions: K, captions per image.

    Raises:
        UsageError: an invalid size.
    """

    dim: int
    features: int
    labels: int
    captions: int = 0

    def __post_init__(self) -> None:
        for part in fields(self):
            value, least = getattr(self, part.name), int(part.name != "captions")
            if not least <= value <= 2**20:
                raise UsageError(f"expected {part.name} of {least} to {2**20}, got {value}")


@dataclass(frozen=True)
class ImageTensors:
    """Tensors of B images: vectors [B, D]; tokens [B, L, D'] and captions [B, K, D] if the network reads them."""

    vectors: torch.Tensor
    tokens: torch.Tensor | None
    captions: torch.Tensor | None


@runtime_checkable
class Kind(Protocol):
    """What every kind declares and does. `WithEpochs` and `AtOnce` implement most of it.

    Attributes:
        has_epochs: whether it is trained step by step with a schedule; otherwise it is fitted in one step.
        bound: whether it works only with the labels it was trained with; otherwise it takes any label texts.
        reads: what it reads besides pooled vectors: "tokens", "captions".
        reads_texts: whether it reads the texts of the labels.
        schedule: the training settings of its source.
        settings: the fields of Schedule that change its training.
    """

    @property
    def has_epochs(self) -> bool: ...
    @property
    def bound(self) -> bool: ...
    @property
    def reads(self) -> frozenset[str]: ...
    @property
    def reads_texts(self) -> bool: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def settings(self) -> frozenset[str]: ...

    def check(self, sizes: Sizes) -> None:
        """Raise UsageError if its fields do not suit these sizes."""
        ...

    def learn(self, job: Job) -> Fitted:
        """Train it and return its weights. Raises UsageError and TrainingError, see `fit`."""
        ...

    def answering(self, weights: Weights, sizes: Sizes) -> Answer:
        """The function that computes logits with these weights."""
        ...

    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """The weights that were expected instead, in words; None if the weights suit the sizes."""
        ...


def caption_reads(inputs: Inputs) -> frozenset[str]:
    """What is read of an image besides its vector."""
    return frozenset() if inputs == "image" else frozenset({"captions"})
