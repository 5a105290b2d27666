"""FC: one linear layer on the concatenation of image and label text."""

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
    """One linear layer on the concatenated image and label text; only for its training labels (mmm-clip).

    Attributes:
        start: "random", as in the source, or "cosine" (ours): training starts at the ranking of per-label.
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
        """See Kind. Any sizes are valid."""

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters.networks import FC

        return FC(sizes.dim, sizes.labels)
