"""MLD: label texts attend to the image, without self-attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

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
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class MldSpec(WithEpochs):
    """Decoder whose label texts attend to the image, without self-attention; takes unseen labels (mmm-clip).

    Attributes:
        blocks: number of blocks of an attention and a feed-forward layer.
        heads: number of heads of the attention.
        feed_forward: inner width of the feed-forward layers; None means four times their outer width.
        dropout: dropout in the feed-forward layers.
        read_out: "linear", one layer D → 1 shared by all labels, or "mean" over the width, as in the source.
        tokens: "pooled", one key per image as in the authors' code, or "spatial".
        start: "random", as in the source, or "cosine" (ours): training starts at the ranking of per-label.
    """

    blocks: int = 1
    heads: int = 4
    feed_forward: int | None = None
    dropout: float = 0.4
    read_out: Literal["linear", "mean"] = "linear"
    tokens: TokenChoice = "pooled"
    start: Start = "random"
    schedule: ClassVar[Schedule] = Schedule(
        epochs=180, batch_size=56, lr=3e-4, weight_decay=0.01, optimizer="adamw", loss="bce", patience=10
    )

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
        if self.start == "cosine" and self.read_out == "mean":
            raise UsageError("expected read_out=linear with start=cosine: a mean has no weights that can start at 0")

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters.networks import MLD

        return MLD(
            sizes.dim,
            features=sizes.features,
            blocks=self.blocks,
            heads=self.heads,
            feed_forward=self.feed_forward or 4 * sizes.dim,
            dropout=self.dropout,
            read_out=self.read_out,
        )

    def features(self, images: ImageTensors) -> torch.Tensor:
        """See WithEpochs."""
        return token_features(self.tokens, images)
