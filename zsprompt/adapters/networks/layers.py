"""What the networks share: the scale of their inputs, cross-attention, and refusals of sizes that cannot be."""

from __future__ import annotations

import math

from torch import Tensor, nn

from zsprompt.errors import LabelError, UsageError


def scaled(rows: Tensor) -> Tensor:
    """`rows` […, D] times √D: the entries of a unit row come to the order of 1.

    LayerNorm's output and the default initialisation of linear layers are made for such entries. A unit row's are of
    the order of 1/√D: beside a LayerNorm they would vanish, and a bias would drown them.
    """
    return rows * math.sqrt(rows.shape[-1])


def mapped(found: int | None, wanted: int) -> nn.Module:
    """A linear layer from features of width `found` to `wanted`; nothing where the widths agree or none is given."""
    return nn.Identity() if found in (None, wanted) else nn.Linear(found or wanted, wanted)


def cross_attention(width: int, heads: int, dropout: float = 0.0) -> nn.MultiheadAttention:
    """Multi-head attention over inputs [B, …, width].

    Raises:
        UsageError: the heads do not share the width evenly.
    """
    if heads < 1 or width % heads:
        fitting = ", ".join(str(n) for n in range(1, 17) if width % n == 0)
        raise UsageError(f"expected a number of heads that divides the width {width}, found {heads}: try {fitting}")
    return nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)


def attend(attention: nn.MultiheadAttention, queries: Tensor, features: Tensor) -> Tensor:
    """[B, Q, D]: `queries` [B, Q, D] look at `features` [B, L, D], which are both keys and values."""
    result: Tensor = attention(queries, features, features, need_weights=False)[0]
    return result


def a_query_a_label(texts: Tensor, features: Tensor) -> Tensor:
    """[B, C, D]: the texts [C, D] once for each picture of the features [B, L, D']."""
    return texts.expand(len(features), -1, -1)


def at_least(what: str, found: int, least: int = 1) -> int:
    """`found`, if it is not smaller than `least`.

    Raises:
        UsageError: it is.
    """
    if found < least:
        raise UsageError(f"expected at least {least} {what}, found {found}")
    return found


def one_of(what: str, found: str, known: tuple[str, ...]) -> str:
    """`found`, if it is one of the known words.

    Raises:
        UsageError: it is none of them.
    """
    if found not in known:
        raise UsageError(f"expected {what} to be {' or '.join(known)}, found {found!r}")
    return found


def same_labels(texts: Tensor, num_classes: int) -> None:
    """Nothing, if there is a text [D] for each of the labels that the network was built for.

    Raises:
        LabelError: there are more or fewer.
    """
    if len(texts) != num_classes:
        raise LabelError(
            f"expected the texts of {num_classes} labels, found {len(texts)}: "
            "this adapter has weights of its own for each label it was trained on"
        )
