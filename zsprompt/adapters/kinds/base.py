"""What every kind of adapter says of itself: a frozen value whose fields are its sizes, with its source's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

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
"""Images, label texts [C, D] and a device ("cpu", "cuda") to logits [N, C]."""

Inputs = Literal["image", "both", "captions"]
"""What is looked at of an image that has captions."""


@dataclass(frozen=True)
class Sizes:
    """What a network is made for.

    Attributes:
        dim: D, width of images' and texts' vectors.
        features: D', width of what a decoder reads.
        labels: C at training.
        captions: K captions per image.

    Raises:
        UsageError: a size that cannot be.
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
    """Tensors of B images: vectors [B, D], tokens [B, L, D'] and captions [B, K, D] where a network reads them."""

    vectors: torch.Tensor
    tokens: torch.Tensor | None
    captions: torch.Tensor | None


class Kind(Protocol):
    """What every kind says of itself and does. `WithEpochs` and `AtOnce` have most of it.

    Attributes:
        has_epochs: whether it is trained step by step, by its schedule; else it is fitted at once.
        bound: whether it belongs to the labels it was trained with; else label texts are all it needs.
        reads: what it reads besides pooled vectors: "tokens", "captions".
        schedule: the settings of its source.
    """

    @property
    def has_epochs(self) -> bool: ...
    @property
    def bound(self) -> bool: ...
    @property
    def reads(self) -> frozenset[str]: ...
    @property
    def schedule(self) -> Schedule: ...

    def check(self, sizes: Sizes) -> None:
        """Raise UsageError if there can be none of these sizes."""
        ...

    def learn(self, job: Job) -> Fitted:
        """The weights that a training comes to. Raises UsageError and TrainingError, see `fit`."""
        ...

    def answering(self, weights: Weights, sizes: Sizes) -> Answer:
        """What answers with these weights."""
        ...

    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """What should be there instead of these weights, or None where they are what the sizes ask for."""
        ...


def caption_reads(inputs: Inputs) -> frozenset[str]:
    """What is read besides vectors."""
    return frozenset() if inputs == "image" else frozenset({"captions"})
