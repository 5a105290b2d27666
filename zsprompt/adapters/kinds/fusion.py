"""Fusion: a classifier on an image and its captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from zsprompt.adapters.kinds.base import ImageTensors, Inputs, Sizes, caption_reads
from zsprompt.adapters.kinds.with_epochs import WithEpochs, check_sizes, tensor
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class FusionSpec(WithEpochs):
    """Perceptron or MUTAN on an image and its captions; only for its training labels (coco-captions-clip).

    Attributes:
        mode: "concat" (perceptron) or "mutan" (Ben-Younes et al. 2017).
        inputs: "both", "image" or "captions".
        layers: 3 (hidden, then half of it) or 2 (hidden).
        hidden: width of the first hidden layer.
    """

    mode: Literal["concat", "mutan"] = "concat"
    inputs: Inputs = "both"
    layers: int = 3
    hidden: int = 2048
    reads_texts: ClassVar[bool] = False
    schedule: ClassVar[Schedule] = Schedule(
        epochs=20, batch_size=64, lr=7e-4, weight_decay=0.0, loss="bce", warm_up=0.1, decay="linear"
    )

    @property
    def bound(self) -> bool:
        """See Kind."""
        return True

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return caption_reads(self.inputs)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        check_sizes({"hidden": self.hidden})
        if self.layers not in (2, 3):
            raise UsageError(f"expected 2 or 3 layers, got {self.layers}")
        if self.hidden % 2:
            raise UsageError(f"expected an even hidden width, got {self.hidden}")
        if self.mode == "mutan" and self.inputs != "both":
            raise UsageError(f"expected inputs=both for mutan, which multiplies the two, got {self.inputs}")

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters import networks

        return networks.Fusion(
            sizes.dim,
            sizes.labels,
            mode=self.mode,
            inputs=self.inputs,
            captions=max(1, sizes.captions),
            layers=self.layers,
            hidden=self.hidden,
        )

    def logits(self, network: Any, images: ImageTensors, texts: torch.Tensor) -> torch.Tensor:
        """See WithEpochs."""
        return tensor(network(images.vectors, images.captions))
