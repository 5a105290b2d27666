"""DM-decoder: in every block, label texts attend to the image, then the image attends to the result."""

from __future__ import annotations

from torch import Tensor, nn

from zsprompt.adapters.networks.layers import at_least, attend, cross_attention, mapped, one_query_per_label, scaled


class DMDecoder(nn.Module):
    """Blocks that refine label queries Q and image features V (both keys and values), then one logit per label.

    In each block, with DP for dropout and linear layers FFN₂ and FFN₁:

        Q¹ = LN(Q + DP(Q))
        Q² = attention(Q¹, V, V)
        Q³ = LN(Q² + Q¹)
        Q⁴ = DP(FFN₁(ReLU(FFN₂(Q³))))
        Q⁵ = LN(Q⁴ + Q³)
        Q' = LN(Q⁵ + Q), the next block's Q
        V' = LN(attention₂(V, Q⁵, Q⁵) + V), the next block's V; the last block has none

    All labels share all weights, so the network takes any labels. But labels are not independent: from the second
    block on, the features depend on all labels, so the logit of a label depends on the others.

    Args:
        dim: D, width of the label texts and the blocks.
        features: D', width of the features; D by default. A linear layer maps them if D' differs from D.
        blocks: number of blocks.
        heads: number of attention heads; it must divide D.
        feed_forward: hidden width between FFN₂ and FFN₁.
        dropout: probability.

    Raises:
        UsageError: an invalid size.

    Source: Xu et al., A Dual Modality Approach For (Zero-Shot) Multi-Label Classification, equation 5.
    """

    def __init__(
        self,
        dim: int,
        *,
        features: int | None = None,
        blocks: int = 6,
        heads: int = 8,
        feed_forward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.map = mapped(features, dim)
        last = at_least("block", blocks) - 1
        self.blocks = nn.ModuleList(_Block(dim, heads, feed_forward, dropout, last=i == last) for i in range(blocks))
        self.read_out = nn.Linear(dim, 1)

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters behind the logits."""
        return list(self.read_out.parameters())

    def forward(self, features: Tensor, texts: Tensor) -> Tensor:
        """[B, C] logits of features [B, L, D'] and label texts [C, D]."""
        values, queries = self.map(scaled(features)), one_query_per_label(scaled(texts), features)
        for block in self.blocks:
            queries, values = block(queries, values)
        logits: Tensor = self.read_out(queries).squeeze(-1)
        return logits


class _Block(nn.Module):
    """One block of the equations above; the last block leaves the features unchanged."""

    def __init__(self, dim: int, heads: int, feed_forward: int, dropout: float, *, last: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm1, self.norm3, self.norm5, self.query_norm = (nn.LayerNorm(dim) for _ in range(4))
        self.attention = cross_attention(dim, heads)
        self.ffn2, self.ffn1 = nn.Linear(dim, feed_forward), nn.Linear(feed_forward, dim)
        self.attention2 = None if last else cross_attention(dim, heads)
        self.value_norm = None if last else nn.LayerNorm(dim)

    def forward(self, queries: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        q1 = self.norm1(queries + self.dropout(queries))
        q3 = self.norm3(attend(self.attention, q1, values) + q1)
        q4 = self.dropout(self.ffn1(self.ffn2(q3).relu()))
        q5 = self.norm5(q4 + q3)
        next_queries = self.query_norm(q5 + queries)
        if self.attention2 is None or self.value_norm is None:
            return next_queries, values
        return next_queries, self.value_norm(attend(self.attention2, values, q5) + values)
