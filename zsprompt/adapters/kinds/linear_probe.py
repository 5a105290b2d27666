"""Linear probe: one linear layer on the image vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from zsprompt.adapters.kinds.base import ImageTensors, Sizes
from zsprompt.adapters.kinds.with_epochs import WithEpochs, tensor
from zsprompt.adapters.schedule import Schedule

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class LinearProbeSpec(WithEpochs):
    """One linear layer on the image vector; only for its training labels (the mmm-clip baseline)."""

    reads_texts: ClassVar[bool] = False
    schedule: ClassVar[Schedule] = Schedule(
        epochs=100, batch_size=32, lr=1e-3, weight_decay=0.01, optimizer="adamw", loss="bce", patience=10
    )

    @property
    def bound(self) -> bool:
        """See Kind."""
        return True

    def check(self, sizes: Sizes) -> None:
        """See Kind. Any sizes are valid."""

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters.networks import LinearHead

        return LinearHead(sizes.dim, sizes.labels)

    def logits(self, network: Any, images: ImageTensors, texts: torch.Tensor) -> torch.Tensor:
        """See WithEpochs."""
        return tensor(network(images.vectors))
