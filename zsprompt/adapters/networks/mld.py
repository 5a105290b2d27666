"""MLD: label texts attend to the image in decoder blocks without self-attention."""

from __future__ import annotations

from torch import Tensor, nn

from zsprompt.adapters.networks.layers import (
    at_least,
    attend,
    cross_attention,
    mapped,
    one_of,
    one_query_per_label,
    scaled,
)


class MLD(nn.Module):
    """x = LN(x + attention(x, features, features)), x = LN(x + FFN(x)) in each block; then one logit per label.

    Labels do not attend to each other and share all weights, so the network takes seen and unseen labels.
    With a single feature, the pooled vector, every attention weight is 1. Then the attention output does not depend on
    the label, and image and label meet only in the sum and the feed-forward layer. The query and key projections of
    the attention get no gradient.

    Args:
        dim: D, width of the label texts and the blocks.
        features: D', width of the features; D by default. A linear layer maps them if D' differs from D.
        blocks: number of blocks.
        heads: number of attention heads; it must divide D.
        feed_forward: hidden width of the feed-forward layers.
        dropout: probability, within the feed-forward layers.
        read_out: "linear", a layer D → 1 that all labels share, or "mean" over the width, as in the report. After a
            LayerNorm, this mean starts at 0 for every image and label and passes no gradient down. At first, only the
            weight and bias of the last LayerNorm learn.

    Raises:
        UsageError: an invalid size, or an unknown read-out.

    Source: the mmm-clip report, CLIP-MLD-Adapter.
    """

    def __init__(
        self,
        dim: int,
        *,
        features: int | None = None,
        blocks: int = 1,
        heads: int = 4,
        feed_forward: int = 2048,
        dropout: float = 0.4,
        read_out: str = "linear",
    ) -> None:
        super().__init__()
        self.map = mapped(features, dim)
        self.blocks = nn.ModuleList(_Block(dim, heads, feed_forward, dropout) for _ in range(at_least("block", blocks)))
        linear = one_of("the read-out", read_out, ("linear", "mean")) == "linear"
        self.read_out = nn.Linear(dim, 1) if linear else None

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters behind the logits."""
        return [] if self.read_out is None else list(self.read_out.parameters())

    def forward(self, features: Tensor, texts: Tensor) -> Tensor:
        """[B, C] logits of features [B, L, D'] and label texts [C, D]."""
        tokens, states = self.map(scaled(features)), one_query_per_label(scaled(texts), features)
        for block in self.blocks:
            states = block(states, tokens)
        return states.mean(dim=-1) if self.read_out is None else self.read_out(states).squeeze(-1)


class _Block(nn.Module):
    """Cross-attention and a feed-forward layer, each followed by a residual and a LayerNorm."""

    def __init__(self, dim: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = cross_attention(dim, heads)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, feed_forward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feed_forward, dim)
        )
        self.feed_forward_norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, features: Tensor) -> Tensor:
        states = self.attention_norm(queries + attend(self.attention, queries, features))
        result: Tensor = self.feed_forward_norm(states + self.feed_forward(states))
        return result
