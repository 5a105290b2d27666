"""ML-Decoder: one query per label, or per group of labels, attends to spatial tokens."""

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
    """Decoder whose fixed text queries, one per label or group, attend to spatial tokens (ML-Decoder, clip-decoder).

    Attributes:
        blocks: number of blocks of an attention and a feed-forward layer.
        heads: number of heads of the attention.
        width: width of queries and keys; None means D (the paper has 768 for features of 2048).
        feed_forward: inner width of the feed-forward layers; None means four times their outer width.
        dropout: dropout everywhere in a block.
        groups: number of queries, each for a group of labels; then it takes only its training labels. None means one
            query per label; then it takes unseen labels.
        tokens: "spatial" or "pooled".
        start: "random", as in the source, or "cosine" (ours): training starts at the ranking of per-label.
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
            raise UsageError(f"expected 1 to {sizes.labels} groups, at most one per label, got {self.groups}")

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
