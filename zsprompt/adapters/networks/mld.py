"""MLD: label texts look at the picture through decoder blocks without self-attention."""

from __future__ import annotations

from torch import Tensor, nn

from zsprompt.adapters.networks.layers import (
    a_query_a_label,
    at_least,
    attend,
    cross_attention,
    mapped,
    one_of,
    scaled,
)


class MLD(nn.Module):
    """x = LN(x + attention(x, features, features)), x = LN(x + FFN(x)) in each block; then one number a label.

    Labels do not see each other and share all weights, so any labels can be asked for, seen in training or not.
    With a single feature, the pooled vector, every attention weight is 1: what a label takes from the picture does
    not depend on the label, and the two meet only in the sum and in the feed-forward layer. The attention's query
    and key projections then get no gradient.

    Args:
        dim: D, width of the label texts and of the blocks.
        features: D', width of the features, D if not given; a linear layer maps them where it is not D.
        blocks: number of blocks.
        heads: attention heads; they divide D.
        feed_forward: hidden width of the feed-forward layers.
        dropout: probability, within the feed-forward layers.
        read_out: "linear", a layer D → 1 that the labels share, or "mean" over the width, as in the report. Behind
            a LayerNorm that mean starts at 0 for every picture and label and has no gradient to what is below:
            at first only the weight and bias of the last LayerNorm learn.

    Raises:
        UsageError: a size that cannot be, or an unknown read-out.

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
        tokens, states = self.map(scaled(features)), a_query_a_label(scaled(texts), features)
        for block in self.blocks:
            states = block(states, tokens)
        return states.mean(dim=-1) if self.read_out is None else self.read_out(states).squeeze(-1)


class _Block(nn.Module):
    """Cross-attention and a feed-forward layer, each with its residual and its LayerNorm after it."""

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
