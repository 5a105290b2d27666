"""ML-Decoder: one query per group of labels attends to the tokens; one layer per group gives the logits."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsprompt.adapters.networks.layers import (
    at_least,
    attend,
    cross_attention,
    one_query_per_label,
    same_labels,
    scaled,
)
from zsprompt.errors import UsageError

_MOST_GROUPS = 100
"""Default number of groups, as in the paper."""


class MLDecoder(nn.Module):
    """A classification head on spatial features, without self-attention between queries.

    `MLDecoder(num_classes)` replaces the pooling and the last layer of a backbone. Its queries, one per group, are
    fixed random numbers. With `text_features`, the queries come from the label texts:

    - With `num_classes`, the query of a group comes from the mean of its label texts. The layer of a group belongs to
      the positions of its labels, so the network takes only the labels of the training, in order.
    - Without, every label is a query, and all share one layer width → 1. The network takes any labels.

    Labels are grouped in order, g = ⌈C / K⌉ per group. Outputs beyond the last label are cut off, and groups without
    labels are not created.

    Args:
        num_classes: C, or None for any labels.
        in_features: D', width of the features.
        text_features: D, width of the label texts, or None for random queries.
        width: width of the queries and the blocks.
        heads: number of attention heads; it must divide the width.
        feed_forward: hidden width of the feed-forward layers.
        dropout: probability, on queries, attention weights, residuals and hidden units.
        blocks: number of blocks.
        groups: K, min(100, C) by default.
        unit_rows: whether the features are unit rows, to be scaled to the order of 1; otherwise they are used
            unchanged. By default they are unit rows if there are label texts.

    Raises:
        UsageError: invalid sizes, or neither labels nor texts.

    Source: Ridnik et al. 2021, ML-Decoder: Scalable and Versatile Classification Head.
    """

    queries: Tensor

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        in_features: int = 2048,
        text_features: int | None = None,
        width: int = 768,
        heads: int = 8,
        feed_forward: int = 2048,
        dropout: float = 0.1,
        blocks: int = 1,
        groups: int | None = None,
        unit_rows: bool | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.group_size, self.groups = _grouped(num_classes, groups, text_features)
        self.unit_rows = text_features is not None if unit_rows is None else unit_rows
        self.map = nn.Linear(in_features, width)
        self.text_map = None if text_features is None else nn.Linear(text_features, width)
        if text_features is None:
            self.register_buffer("queries", torch.randn(self.groups, width))
        self.blocks = nn.ModuleList(
            _Block(width, heads, feed_forward, dropout) for _ in range(at_least("block", blocks))
        )
        self.read_out = nn.Linear(width, 1) if num_classes is None else None
        if num_classes is not None:
            self.group_weight = nn.Parameter(torch.empty(self.groups, width, self.group_size))
            self.group_bias = nn.Parameter(torch.zeros(num_classes))
            nn.init.normal_(self.group_weight, std=math.sqrt(2 / (width + self.group_size)))  # Glorot, per group

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters behind the logits."""
        return [self.group_weight, self.group_bias] if self.read_out is None else list(self.read_out.parameters())

    def forward(self, features: Tensor, texts: Tensor | None = None) -> Tensor:
        """[B, C] logits of features [B, L, D'] or [B, D', height, width], for label texts [C, D] if it takes any.

        Raises:
            LabelError: the number of texts is not C.
            UsageError: missing or unexpected texts.
        """
        tokens = F.relu(self.map(self._rows(features)))
        states = one_query_per_label(self._queries(texts), tokens)
        for block in self.blocks:
            states = block(states, tokens)
        if self.read_out is not None:
            logits: Tensor = self.read_out(states).squeeze(-1)
            return logits
        by_group = torch.einsum("bkw,kwg->bkg", states, self.group_weight)
        return by_group.flatten(1)[:, : self.num_classes] + self.group_bias

    def project(self, features: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, width], as the means of their mapped tokens, and mapped label texts [C, width].

        Both are taken before the ReLU, so that their cosines can have either sign. A contrastive loss aligns them.

        Raises:
            UsageError: the network does not take texts.
        """
        return self.map(self._rows(features)).mean(dim=1), self._mapped_texts(texts)

    def _rows(self, features: Tensor) -> Tensor:
        """[B, L, D'] at the scale that the map expects."""
        rows = features.flatten(2).transpose(1, 2) if features.dim() == 4 else features
        return scaled(rows) if self.unit_rows else rows

    def _queries(self, texts: Tensor | None) -> Tensor:
        """[K, width], or [C, width] if every label is a query."""
        if texts is None:
            if self.text_map is not None:
                raise UsageError("expected the label texts, found none: this network's queries are made from them")
            return self.queries
        if self.num_classes is not None:
            same_labels(texts, self.num_classes)
            texts = torch.stack([group.mean(dim=0) for group in torch.split(texts, self.group_size)])
        return F.relu(self._mapped_texts(texts))

    def _mapped_texts(self, texts: Tensor) -> Tensor:
        if self.text_map is None:
            raise UsageError("expected no label texts, found some: this network's queries are random (text_features=…)")
        result: Tensor = self.text_map(scaled(texts))
        return result


def _grouped(num_classes: int | None, groups: int | None, text_features: int | None) -> tuple[int, int]:
    """(labels per group, number of groups); (1, 0) if every label is a query."""
    if num_classes is None:
        if text_features is None:
            raise UsageError(
                "expected num_classes or text_features, found neither: queries are groups of labels or texts"
            )
        if groups is not None:
            raise UsageError(f"expected num_classes with groups={groups}, found none: groups go by position")
        return 1, 0
    groups = min(_MOST_GROUPS if groups is None else at_least("group", groups), at_least("label", num_classes))
    size = -(-num_classes // groups)
    return size, -(-num_classes // size)


class _Block(nn.Module):
    """x = LN(x + dropout(x)), x = LN(x + dropout(attention)), x = LN(x + dropout(FFN(x)))."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.query_norm, self.attention_norm, self.feed_forward_norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = cross_attention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, features: Tensor) -> Tensor:
        states = self.query_norm(queries + self.dropout(queries))
        states = self.attention_norm(states + self.dropout(attend(self.attention, states, features)))
        result: Tensor = self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))
        return result
