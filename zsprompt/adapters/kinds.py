"""The kinds of adapters: frozen values whose fields are a network's sizes, each with the settings of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Floats
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError
from zsprompt.store.image_embeddings import Images

if TYPE_CHECKING:
    import torch
    from torch import nn

Weights = Mapping[str, NDArray[Any]]

_MOST_BLOCKS = 256  # to make tens of thousands takes minutes, and no memory holds them

TokenChoice = Literal["pooled", "spatial"]
"""What a decoder's keys and values are: the picture's one vector, or its vector and that of every position."""


Start = Literal["random", "cosine"]
"""Where training begins: at random, or at the prompts' answer, to which what is learnt is added (see FromCosine)."""


@dataclass(frozen=True)
class Sizes:
    """What a network is made for.

    Attributes:
        dim: D, width of pictures' and texts' vectors.
        features: D', width of what a decoder reads.
        labels: C at training.
        captions: K captions a picture.

    Raises:
        UsageError: a size that cannot be.
    """

    dim: int
    features: int
    labels: int
    captions: int = 0

    def __post_init__(self) -> None:
        for part in fields(self):
            value, least = getattr(self, part.name), int(part.name != "captions")
            if not least <= value <= 2**20:
                raise UsageError(f"expected {part.name} of {least} to {2**20}, got {value}")


@dataclass(frozen=True)
class Pictures:
    """Tensors of B pictures: vectors [B, D], tokens [B, L, D'] and captions [B, K, D] where a network reads them."""

    vectors: torch.Tensor
    tokens: torch.Tensor | None
    captions: torch.Tensor | None


class Kind(Protocol):
    """What every kind says of itself.

    Attributes:
        bound: whether it belongs to the labels it was trained with; else label texts are all it needs.
        reads: what beside pooled vectors it reads: "tokens", "captions".
        schedule: the settings of its source.
    """

    @property
    def bound(self) -> bool: ...
    @property
    def reads(self) -> frozenset[str]: ...
    @property
    def schedule(self) -> Schedule: ...
    def check(self, sizes: Sizes) -> None:
        """Raise UsageError if no such network can be made."""
        ...


class NetworkKind(Kind, Protocol):
    """A kind that is trained step by step."""

    def network(self, sizes: Sizes) -> nn.Module:
        """With fresh weights."""
        ...

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """[B, C] from B pictures and label texts [C, D]."""
        ...


class FittedKind(Kind, Protocol):
    """A kind that is fitted at once, by numpy and scikit-learn."""

    def fit(self, examples: Examples, seed: int) -> dict[str, NDArray[Any]]:
        """What `answer` needs."""
        ...

    def answer(self, weights: Weights, images: Images) -> Floats:
        """[N, C] logits."""
        ...

    def expected(self, weights: Weights, sizes: Sizes) -> str | None:
        """What is wrong with these weights, or None."""
        ...


@dataclass(frozen=True)
class Fc:
    """One linear layer over picture and label text joined (mmm-clip); for the labels it was trained with.

    Attributes:
        start: "random", as in the source, or "cosine", ours: begins as per-label's order and adds what it learns.
    """

    start: Start = "random"
    bound: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset()
    schedule: ClassVar[Schedule] = Schedule(
        epochs=2, batch_size=32, lr=1e-3, weight_decay=0.01, optimizer="adamw", loss="mse"
    )

    def check(self, sizes: Sizes) -> None:
        """See Kind."""

    def network(self, sizes: Sizes) -> nn.Module:
        """See NetworkKind."""
        from zsprompt.adapters.networks import FC

        network = FC(sizes.dim, sizes.labels)
        return _started(self.start, network)

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """See NetworkKind."""
        return _asked(self.start, network, pictures, pictures.vectors, texts)


@dataclass(frozen=True)
class LinearProbe:
    """One linear layer over the picture's vector: the mmm-clip baseline's head on a frozen backbone."""

    bound: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset()
    schedule: ClassVar[Schedule] = Schedule(
        epochs=100, batch_size=32, lr=1e-3, weight_decay=0.01, optimizer="adamw", loss="bce", patience=10
    )

    def check(self, sizes: Sizes) -> None:
        """See Kind."""

    def network(self, sizes: Sizes) -> nn.Module:
        """See NetworkKind."""
        from zsprompt.adapters.networks import LinearHead

        return LinearHead(sizes.dim, sizes.labels)

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """See NetworkKind."""
        return _tensor(network(pictures.vectors))


@dataclass(frozen=True)
class Mld:
    """Label texts query the picture, without self-attention (mmm-clip); takes labels never seen.

    Attributes:
        blocks: of attention and feed-forward layer.
        heads: of the attention.
        feed_forward: width inside the feed-forward layers; four times the width around them where None.
        dropout: in the feed-forward layers.
        read_out: "linear", one layer D → 1 shared by all labels, or "mean" over the width, the seed's.
        tokens: "pooled", one key a picture as in the authors' code, or "spatial".
        start: "random", as in the source, or "cosine", ours: begins as per-label's order and adds what it learns.
    """

    blocks: int = 1
    heads: int = 4
    feed_forward: int | None = None
    dropout: float = 0.4
    read_out: Literal["linear", "mean"] = "linear"
    tokens: TokenChoice = "pooled"
    start: Start = "random"
    bound: ClassVar[bool] = False
    schedule: ClassVar[Schedule] = Schedule(
        epochs=180, batch_size=56, lr=3e-4, weight_decay=0.01, optimizer="adamw", loss="bce", patience=10
    )

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return _reads(self.tokens)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        _check_sizes(blocks=self.blocks, heads=self.heads, feed_forward=self.feed_forward)
        _check_dropout(self.dropout)
        _check_heads(sizes.dim, self.heads)
        if self.start == "cosine" and self.read_out == "mean":
            raise UsageError("expected read_out=linear with start=cosine: a mean has no weights that could begin at 0")

    def network(self, sizes: Sizes) -> nn.Module:
        """See NetworkKind."""
        from zsprompt.adapters.networks import MLD

        network = MLD(
            sizes.dim,
            features=sizes.features,
            blocks=self.blocks,
            heads=self.heads,
            feed_forward=self.feed_forward or 4 * sizes.dim,
            dropout=self.dropout,
            read_out=self.read_out,
        )
        return _started(self.start, network)

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """See NetworkKind."""
        return _asked(self.start, network, pictures, _features(self.tokens, pictures), texts)


@dataclass(frozen=True)
class MlDecoder:
    """Fixed text queries, or groups of them, over spatial tokens (ML-Decoder, clip-decoder).

    Attributes:
        blocks: of attention and feed-forward layer.
        heads: of the attention.
        width: of queries and keys inside; D where None (the paper has 768 for features of 2048).
        feed_forward: width inside the feed-forward layers; four times the width around them where None.
        dropout: everywhere in a block.
        groups: so many queries for all labels, each answering for several; then only for the labels it was trained
            with. None has a query a label and takes labels never seen.
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
    schedule: ClassVar[Schedule] = Schedule(patience=10)

    @property
    def bound(self) -> bool:
        """See Kind."""
        return self.groups is not None

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return _reads(self.tokens)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        width = self.width or sizes.dim
        _check_sizes(blocks=self.blocks, heads=self.heads, width=width, feed_forward=self.feed_forward)
        _check_dropout(self.dropout)
        _check_heads(width, self.heads)
        if self.groups is not None and not 1 <= self.groups <= sizes.labels:
            raise UsageError(f"expected 1 to {sizes.labels} groups, one a label at most, got {self.groups}")

    def network(self, sizes: Sizes) -> nn.Module:
        """See NetworkKind."""
        from zsprompt.adapters.networks import MLDecoder

        width = self.width or sizes.dim
        network = MLDecoder(
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
        return _started(self.start, network)

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """See NetworkKind."""
        return _asked(self.start, network, pictures, _features(self.tokens, pictures), texts)

    def aligned(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures [B, W] and labels [C, W] in one space, for the contrastive loss."""
        inner = network.network if self.start == "cosine" else network
        images, labels = inner.project(_features(self.tokens, pictures), texts)
        return images, labels


@dataclass(frozen=True)
class DmDecoder:
    """Label texts query the picture, then the picture queries the answer, block after block (adds, eq. 5).

    Attributes:
        blocks: of two attentions and a feed-forward layer; the last has one attention.
        heads: of each attention.
        feed_forward: width inside the feed-forward layers; four times the width around them where None.
        dropout: of the queries, and in the feed-forward layers.
        tokens: "spatial" or "pooled".
        start: "random", as in the source, or "cosine", ours: begins as per-label's order and adds what it learns.
    """

    blocks: int = 6
    heads: int = 8
    feed_forward: int | None = None
    dropout: float = 0.1
    tokens: TokenChoice = "spatial"
    start: Start = "random"
    bound: ClassVar[bool] = False
    schedule: ClassVar[Schedule] = Schedule(patience=10)

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return _reads(self.tokens)

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        _check_sizes(blocks=self.blocks, heads=self.heads, feed_forward=self.feed_forward)
        _check_dropout(self.dropout)
        _check_heads(sizes.dim, self.heads)

    def network(self, sizes: Sizes) -> nn.Module:
        """See NetworkKind."""
        from zsprompt.adapters.networks import DMDecoder

        network = DMDecoder(
            sizes.dim,
            features=sizes.features,
            blocks=self.blocks,
            heads=self.heads,
            feed_forward=self.feed_forward or 4 * sizes.dim,
            dropout=self.dropout,
        )
        return _started(self.start, network)

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """See NetworkKind."""
        return _asked(self.start, network, pictures, _features(self.tokens, pictures), texts)


@dataclass(frozen=True)
class Fusion:
    """A picture and its captions joined, then two or three layers (coco-captions-clip); for its own labels.

    Attributes:
        mode: "concat", or "mutan" (Ben-Younes et al. 2017).
        inputs: "both", or "image" or "captions" alone.
        layers: 3 (hidden, then half of it) or 2 (hidden).
        hidden: width of the first hidden layer.
    """

    mode: Literal["concat", "mutan"] = "concat"
    inputs: Literal["both", "image", "captions"] = "both"
    layers: int = 3
    hidden: int = 2048
    bound: ClassVar[bool] = True
    schedule: ClassVar[Schedule] = Schedule(
        epochs=20, batch_size=64, lr=7e-4, weight_decay=0.0, loss="bce", warm_up=0.1, decay="linear"
    )

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return frozenset() if self.inputs == "image" else frozenset({"captions"})

    def check(self, sizes: Sizes) -> None:
        """See Kind."""
        _check_sizes(hidden=self.hidden)
        if self.layers not in (2, 3):
            raise UsageError(f"expected 2 or 3 layers, got {self.layers}")
        if self.hidden % 2:
            raise UsageError(f"expected an even hidden width, got {self.hidden}")
        if self.mode == "mutan" and self.inputs != "both":
            raise UsageError(f"expected inputs=both for mutan, which multiplies the two, got {self.inputs}")

    def network(self, sizes: Sizes) -> nn.Module:
        """See NetworkKind."""
        from zsprompt.adapters import networks

        return networks.Fusion(
            sizes.dim,
            sizes.labels,
            mode=self.mode,
            inputs=self.inputs,
            captions=max(1, sizes.captions),
            layers=self.layers,
            hidden=self.hidden,
        )

    def logits(self, network: Any, pictures: Pictures, texts: torch.Tensor) -> torch.Tensor:
        """See NetworkKind."""
        return _tensor(network(pictures.vectors, pictures.captions))


def _tensor(value: Any) -> torch.Tensor:
    result: torch.Tensor = value
    return result


def _started(start: Start, network: Any) -> nn.Module:
    """The network as it is, or beginning at the cosines."""
    from zsprompt.adapters.networks import FromCosine

    whole: nn.Module = FromCosine(network, _last(network)) if start == "cosine" else network
    return whole


def _last(network: Any) -> list[nn.Parameter]:
    """The parameters of a network's last layer."""
    for names in (("group_weight", "group_bias"), ("weight", "bias")):  # of grouped queries; of FC
        if all(hasattr(network, name) for name in names):
            return [getattr(network, name) for name in names]
    return list(network.read_out.parameters())


def _asked(start: Start, network: Any, pictures: Pictures, features: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    if start == "cosine":
        return _tensor(network(pictures.vectors, features, texts))
    return _tensor(network(features, texts))


def _reads(tokens: TokenChoice) -> frozenset[str]:
    return frozenset({"tokens"}) if tokens == "spatial" else frozenset()


def _features(choice: TokenChoice, pictures: Pictures) -> torch.Tensor:
    """[B, L, D']; L is 1 for pooled vectors."""
    if choice == "pooled":
        return pictures.vectors[:, None]
    if pictures.tokens is None:
        raise UsageError("expected spatial tokens, found pooled vectors only; use tokens=pooled")
    return pictures.tokens


def _check_sizes(**sizes: int | None) -> None:
    for name, value in sizes.items():
        most = _MOST_BLOCKS if name == "blocks" else 2**16
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"expected {name} of 1 to {most}, got {value}")


def _check_dropout(value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"expected a dropout of at least 0 and below 1, got {value:g}")


def _check_heads(width: int, heads: int) -> None:
    if width % heads:
        raise UsageError(f"expected heads that divide the width {width}, got {heads}; set heads or another --model")


def as_array(value: Any) -> NDArray[Any]:
    """A tensor's numbers in memory of their own."""
    return np.array(value.detach().cpu().numpy(), copy=True)
