"""Kinds with epochs: networks that are trained step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from zsprompt._utils.arrays import Floats
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.forward import answer
from zsprompt.adapters.kinds.base import Answer, ImageTensors, Sizes, Weights
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError
from zsprompt.store.image_embeddings import Images

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zsprompt.adapters.job import Fitted, Job

TokenChoice = Literal["pooled", "spatial"]
"""Keys and values of a decoder: only the pooled vector of the image, or also the vector of every position."""

Start = Literal["random", "cosine"]
"""Where training starts: at random weights, or at the cosines of the prompts (see FromCosine)."""

_MOST_BLOCKS = 256  # tens of thousands would take minutes to create and would not fit in memory
_CELLS = 2**24  # maximum number of targets that set the start; with a million images, a part is enough


class WithEpochs(ABC):
    """See Kind. A frozen dataclass adds `head`, and `logits` if its head takes more than features and texts."""

    has_epochs: ClassVar[bool] = True
    aligns: ClassVar[bool] = False  # whether `aligned` projects images and labels into one space
    schedule: ClassVar[Schedule]
    settings: ClassVar[frozenset[str]] = frozenset(part.name for part in fields(Schedule))
    reads_texts: ClassVar[bool] = True

    @property
    @abstractmethod
    def bound(self) -> bool:
        """See Kind."""

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return frozenset()

    @property
    def start(self) -> Start:
        """See Start."""
        return "random"

    @abstractmethod
    def check(self, sizes: Sizes) -> None:
        """See Kind."""

    @abstractmethod
    def head(self, sizes: Sizes) -> Any:
        """The network with random weights. It has `last_layer` if it can start at the cosines."""

    def features(self, images: ImageTensors) -> torch.Tensor:
        """The part of the images that the head reads, [B, …]."""
        return images.vectors

    def network(self, sizes: Sizes) -> nn.Module:
        """The head, wrapped to start at the cosines if `start` asks for it."""
        from zsprompt.adapters.networks import FromCosine

        head = self.head(sizes)
        network: nn.Module = FromCosine(head, head.last_layer()) if self.start == "cosine" else head
        return network

    def begin(self, network: Any, examples: Examples, texts: Floats) -> None:
        """Fit the start of a network that starts at the cosines to the examples and label texts [C, D]."""
        import torch

        if self.start == "cosine":
            part = slice(None, None, 1 + examples.targets.size // _CELLS)
            vectors, targets = torch.from_numpy(examples.images.vectors[part]), torch.from_numpy(examples.targets[part])
            network.begin(vectors, torch.from_numpy(np.array(texts)), targets)

    def logits(self, network: Any, images: ImageTensors, texts: torch.Tensor) -> torch.Tensor:
        """[B, C] logits of B images for label texts [C, D]."""
        inputs = (images.vectors, self.features(images)) if self.start == "cosine" else (self.features(images),)
        return tensor(network(*inputs, texts))

    def aligned(self, network: Any, images: ImageTensors, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images [B, W] and labels [C, W] in one space, for the contrastive loss; see `aligns`."""
        raise UsageError("expected an adapter that projects images and labels into one space, found another")

    def learn(self, job: Job) -> Fitted:
        """See Kind."""
        from zsprompt.adapters.train_loop import run_epochs

        return run_epochs(self, job)

    def answering(self, weights: Weights, sizes: Sizes) -> Answer:
        """See Kind."""
        import torch

        with torch.random.fork_rng(devices=()):  # the initial weights must not change the caller's random state
            network = self.network(sizes)
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        network.eval()

        def answers(images: Images, texts: Floats, device: str) -> Floats:
            return answer(self, network.to(device), images, texts, device)  # the module stays on the device

        return answers

    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """See Kind."""
        import torch

        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in self.network(sizes).state_dict().items()}
        shapes = {name: value.shape for name, value in weights.items() if value.dtype == np.float32}
        for name in sorted(set(wanted) | set(shapes)):
            if wanted.get(name) != shapes.get(name):
                return f"weights of the sizes in the header ({name}: {wanted.get(name)}, found {shapes.get(name)})"
        return None


def tensor(value: Any) -> torch.Tensor:
    """The output of a network, with a type; torch returns Any."""
    result: torch.Tensor = value
    return result


def token_reads(choice: TokenChoice) -> frozenset[str]:
    """What is read of an image besides its vector."""
    return frozenset({"tokens"}) if choice == "spatial" else frozenset()


def token_features(choice: TokenChoice, images: ImageTensors) -> torch.Tensor:
    """[B, L, D']; L is 1 for pooled vectors."""
    if choice == "pooled":
        return images.vectors[:, None]
    if images.tokens is None:
        raise UsageError("expected spatial tokens, found pooled vectors only; use tokens=pooled")
    return images.tokens


def check_sizes(sizes: Mapping[str, int | None]) -> None:
    """Raise UsageError for a size out of range. Sizes are given by field; None means a default."""
    for name, value in sizes.items():
        most = _MOST_BLOCKS if name == "blocks" else 2**16
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"expected {name} of 1 to {most}, got {value}")


def check_dropout(value: float) -> None:
    """Raise UsageError unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise UsageError(f"expected a dropout of at least 0 and below 1, got {value:g}")


def check_heads(width: int, heads: int) -> None:
    """Raise UsageError unless the number of heads divides the width."""
    if width % heads:
        raise UsageError(f"expected heads that divide the width {width}, got {heads}; set heads or another --model")
