"""DM-decoder: label texts and image look at each other, block after block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zsprompt.adapters.kinds.base import ImageTensors, Sizes
from zsprompt.adapters.kinds.with_epochs import (
    Start,
    TokenChoice,
    WithEpochs,
    check_dropout,
    check_heads,
    check_sizes,
    token_features,
    token_reads,
)
from zsprompt.adapters.schedule import Schedule

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class DmDecoderSpec(WithEpochs):
    """Label texts query the image, then the image queries the answer, block after block (adds, eq. 5).

    Attributes:
        blocks: of two attentions and a feed-forward layer; the last has one attention.
        heads: of each attention.
        feed_forward: width inside the feed-forward layers; four times the width around them where None.
        dropout: of the queries, and in the feed-forward layers.
        tokens: "spatial" or "pooled".
        start: "random", as in the source, or "cosine", ours: begins as per-label's order and adds what it learns.
    """

    blocks: int = 6
    heads: int = 8
    feed_forward: int | None = None
    dropout: float = 0.1
    tokens: TokenChoice = "spatial"
    start: Start = "random"
    schedule: ClassVar[Schedule] = Schedule(patience=10)

    @property
    def bound(self) -> bool:
        """See Kind."""
        return False

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return token_reads(self.tokens)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        check_sizes({"blocks": self.blocks, "heads": self.heads, "feed_forward": self.feed_forward})
        check_dropout(self.dropout)
        check_heads(sizes.dim, self.heads)

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters.networks import DMDecoder

        return DMDecoder(
            sizes.dim,
            features=sizes.features,
            blocks=self.blocks,
            heads=self.heads,
            feed_forward=self.feed_forward or 4 * sizes.dim,
            dropout=self.dropout,
        )

    def features(self, images: ImageTensors) -> torch.Tensor:
        """See WithEpochs."""
        return token_features(self.tokens, images)
