"""FC: one linear layer over image and label text joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zsprompt.adapters.kinds.base import Sizes
from zsprompt.adapters.kinds.with_epochs import Start, WithEpochs
from zsprompt.adapters.schedule import Schedule

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FcSpec(WithEpochs):
    """One linear layer over image and label text joined (mmm-clip); for the labels it was trained with.

    Attributes:
        start: "random", as in the source, or "cosine", ours: begins as per-label's order and adds what it learns.
    """

    start: Start = "random"
    schedule: ClassVar[Schedule] = Schedule(
        epochs=2, batch_size=32, lr=1e-3, weight_decay=0.01, optimizer="adamw", loss="mse"
    )

    @property
    def bound(self) -> bool:
        """See Kind."""
        return True

    def check(self, sizes: Sizes) -> None:
        """See Kind: any sizes will do."""

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters.networks import FC

        return FC(sizes.dim, sizes.labels)
