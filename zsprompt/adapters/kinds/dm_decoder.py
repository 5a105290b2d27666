"""DM-decoder: label texts and image attend to each other in every block."""

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
    """Decoder whose label texts attend to the image and whose image attends back; takes unseen labels (ADDS, eq. 5).

    Attributes:
        blocks: number of blocks of two attentions and a feed-forward layer; the last block has one attention.
        heads: number of heads of each attention.
        feed_forward: inner width of the feed-forward layers; None means four times their outer width.
        dropout: dropout of the queries and in the feed-forward layers.
        tokens: "spatial" or "pooled".
        start: "random", as in the source, or "cosine" (ours): training starts at the ranking of per-label.
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
