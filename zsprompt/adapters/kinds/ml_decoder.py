"""ML-Decoder: a query per label, or per group of labels, over spatial tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
class MlDecoderSpec(WithEpochs):
    """Fixed text queries, or groups of them, over spatial tokens (ML-Decoder, clip-decoder).

    Attributes:
        blocks: of attention and feed-forward layer.
        heads: of the attention.
        width: of queries and keys inside; D where None (the paper has 768 for features of 2048).
        feed_forward: width inside the feed-forward layers; four times the width around them where None.
        dropout: everywhere in a block.
        groups: number of queries for all labels, each answering for several; then only for the labels it was trained
            with. None has a query per label and takes labels never seen.
        tokens: "spatial" or "pooled".
        start: "random", as in the source, or "cosine", ours: begins as per-label's order and adds what it learns.
    """

    blocks: int = 1
    heads: int = 8
    width: int | None = None
    feed_forward: int | None = None
    dropout: float = 0.1
    groups: int | None = None
    tokens: TokenChoice = "spatial"
    start: Start = "random"
    aligns: ClassVar[bool] = True
    schedule: ClassVar[Schedule] = Schedule(patience=10)

    @property
    def bound(self) -> bool:
        """See Kind."""
        return self.groups is not None

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return token_reads(self.tokens)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        width = self.width or sizes.dim
        check_sizes({"blocks": self.blocks, "heads": self.heads, "width": width, "feed_forward": self.feed_forward})
        check_dropout(self.dropout)
        check_heads(width, self.heads)
        if self.groups is not None and not 1 <= self.groups <= sizes.labels:
            raise UsageError(f"expected 1 to {sizes.labels} groups, one a label at most, got {self.groups}")

    def head(self, sizes: Sizes) -> nn.Module:
        """See WithEpochs."""
        from zsprompt.adapters.networks import MLDecoder

        width = self.width or sizes.dim
        return MLDecoder(
            sizes.labels if self.bound else None,
            in_features=sizes.features,
            text_features=sizes.dim,
            width=width,
            heads=self.heads,
            feed_forward=self.feed_forward or 4 * width,
            dropout=self.dropout,
            blocks=self.blocks,
            groups=self.groups,
        )

    def features(self, images: ImageTensors) -> torch.Tensor:
        """See WithEpochs."""
        return token_features(self.tokens, images)

    def aligned(self, network: Any, images: ImageTensors, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images [B, W] and labels [C, W] in one space, for the contrastive loss."""
        inner = network.network if self.start == "cosine" else network
        projected, labels = inner.project(token_features(self.tokens, images), texts)
        return projected, labels
