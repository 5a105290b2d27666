"""DM-decoder: label texts look at the picture, then the picture looks at what they found, block after block."""

from __future__ import annotations

from torch import Tensor, nn

from zsprompt.adapters.networks.layers import a_query_a_label, at_least, attend, cross_attention, mapped, scaled


class DMDecoder(nn.Module):
    """Blocks that refine label queries Q and picture features V (keys and values alike), then one number a label.

    In each block, DP being dropout and FFN₂, FFN₁ linear layers:

        Q¹ = LN(Q + DP(Q))
        Q² = attention(Q¹, V, V)
        Q³ = LN(Q² + Q¹)
        Q⁴ = DP(FFN₁(ReLU(FFN₂(Q³))))
        Q⁵ = LN(Q⁴ + Q³)
        Q' = LN(Q⁵ + Q), the next block's Q
        V' = LN(attention₂(V, Q⁵, Q⁵) + V), the next block's V; the last block has none

    All labels share all weights, so any labels can be asked for. But they are not independent of each other: from
    the second block on, the features hold what all of them found, and a label's logit depends on which others are
    asked for beside it.

    Args:
        dim: D, width of the label texts and of the blocks.
        features: D', width of the features, D if not given; a linear layer maps them where it is not D.
        blocks: number of blocks.
        heads: attention heads; they divide D.
        feed_forward: hidden width between FFN₂ and FFN₁.
        dropout: probability.

    Raises:
        UsageError: a size that cannot be.

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
        values, queries = self.map(scaled(features)), a_query_a_label(scaled(texts), features)
        for block in self.blocks:
            queries, values = block(queries, values)
        logits: Tensor = self.read_out(queries).squeeze(-1)
        return logits


class _Block(nn.Module):
    """One block of the equations above; the last one hands the features on as they are."""

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
        found = self.query_norm(q5 + queries)
        if self.attention2 is None or self.value_norm is None:
            return found, values
        return found, self.value_norm(attend(self.attention2, values, q5) + values)
