"""What the networks share: the scale of their inputs, cross-attention, and checks of sizes."""

from __future__ import annotations

import math

from torch import Tensor, nn

from zsprompt.errors import LabelError, UsageError


def scaled(rows: Tensor) -> Tensor:
    """`rows` […, D] times √D, which brings the entries of unit rows to the order of 1.

    LayerNorm and the default initialisation of linear layers expect entries of that order. The entries of a unit row
    are of the order of 1/√D: they would vanish next to the output of a LayerNorm or a bias.
    """
    return rows * math.sqrt(rows.shape[-1])


def mapped(features: int | None, width: int) -> nn.Module:
    """A linear layer from width `features` to `width`; the identity if they are equal or `features` is None."""
    return nn.Identity() if features in (None, width) else nn.Linear(features or width, width)


def cross_attention(width: int, heads: int, dropout: float = 0.0) -> nn.MultiheadAttention:
    """Multi-head attention over inputs [B, …, width].

    Raises:
        UsageError: the number of heads does not divide the width.
    """
    if heads < 1 or width % heads:
        fitting = ", ".join(str(n) for n in range(1, 17) if width % n == 0)
        raise UsageError(f"expected a number of heads that divides the width {width}, found {heads}; try {fitting}")
    return nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)


def attend(attention: nn.MultiheadAttention, queries: Tensor, features: Tensor) -> Tensor:
    """[B, Q, D]: `queries` [B, Q, D] attend to `features` [B, L, D], which are both keys and values."""
    result: Tensor = attention(queries, features, features, need_weights=False)[0]
    return result


def one_query_per_label(texts: Tensor, features: Tensor) -> Tensor:
    """[B, C, D]: the texts [C, D], repeated for each image of the features [B, L, D']."""
    return texts.expand(len(features), -1, -1)


def at_least(what: str, value: int, least: int = 1) -> int:
    """Return `value`.

    Raises:
        UsageError: it is smaller than `least`.
    """
    if value < least:
        raise UsageError(f"expected at least {least} {what}, found {value}")
    return value


def one_of(what: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value`.

    Raises:
        UsageError: it is not one of the choices.
    """
    if value not in choices:
        raise UsageError(f"expected {what} to be {' or '.join(choices)}, found {value!r}")
    return value


def same_labels(texts: Tensor, num_classes: int) -> None:
    """Check that `texts` [C, D] has one row per label of the network.

    Raises:
        LabelError: it has more or fewer rows.
    """
    if len(texts) != num_classes:
        raise LabelError(
            f"expected the texts of {num_classes} labels, found {len(texts)}: "
            "this adapter has separate weights for each label it was trained on"
        )
