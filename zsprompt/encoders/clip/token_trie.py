"""A causal text tower over a trie of token sequences: what texts have in common is computed once.

A token of a causal tower sees only what stands before it, so texts that begin alike share every hidden state of that
beginning. "dog", "dog, person" and "dog, person, sofa" are one path with three ends. The trie's nodes are run once
each, in the order of a depth-first walk, block by block: a node attends to its ancestors and itself. Of earlier
blocks only the path to the next node is kept, so memory does not grow with the number of texts. The embeddings are
those of the padded tower up to rounding; nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt._utils.arrays import Bools, Indices
from zsprompt.encoders.clip.products import Linear, Product, plain
from zsprompt.encoders.clip.transformer import Layer

if TYPE_CHECKING:
    import torch

# Nodes that attend together: small, because a node looks at all nodes of its group and masks most of them.
_GROUP = 64


@dataclass(frozen=True)
class Trie:
    """T token sequences merged where they begin alike. Nodes are numbered in depth-first order.

    Attributes:
        tokens: [nodes] token of each node.
        depth: [nodes] its position in a sequence, from 0.
        paths: [T, longest] the nodes of each sequence, from the root down, in sorted order of the sequences; what
            stands behind a sequence's end means nothing.
        row: [nodes] a row of `paths` that the node stands in, at column `depth`.
        ends: [T] the last node of each sequence, in the order given.
    """

    tokens: Indices
    depth: Indices
    paths: Indices
    row: Indices
    ends: Indices

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Trie:
        """The trie of sequences that each have at least one token; ids are 1 or larger."""
        lengths = np.fromiter(map(len, sequences), dtype=np.intp, count=len(sequences))
        table = np.zeros((len(sequences), lengths.max()), dtype=">u4")
        inside = np.arange(table.shape[1]) < lengths[:, None]
        table[inside] = np.fromiter(chain.from_iterable(sequences), dtype=np.uint32, count=lengths.sum())
        # big-endian bytes sort as the numbers do, and a beginning before what continues it
        order = np.argsort(table.view(f"S{4 * table.shape[1]}").ravel(), kind="stable")
        table, inside = table[order], inside[order]
        alike = np.zeros_like(inside)
        alike[1:] = np.logical_and.accumulate(table[1:] == table[:-1], axis=1)
        new = inside & ~alike  # the first sequence that has this beginning makes the node
        row, depth = np.nonzero(new)
        paths = np.zeros(table.shape, dtype=np.intp)
        paths[new] = np.arange(len(row))
        # at each depth the latest node made is the one the sequences below it share
        paths = np.maximum.accumulate(paths, axis=0)
        ends = np.empty(len(sequences), dtype=np.intp)
        ends[order] = paths[np.arange(len(sequences)), lengths[order] - 1]
        return cls(table[new].astype(np.intp), depth, paths, row, ends)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class _Block:
    """Consecutive nodes of a trie, and where in "what is carried, then the block" each finds what it attends to.

    Attributes:
        first, last: the nodes are range(first, last).
        keys: [groups, slots] positions a group of nodes looks at: first the path to its first node, then itself.
        allowed: [groups, _GROUP, slots] whether a node really looks at a slot: its ancestors and itself.
        carry: positions of the path to the next block's first node.
    """

    first: int
    last: int
    keys: Indices
    allowed: Bools
    carry: Indices


def _blocks(trie: Trie, size: int) -> Iterator[_Block]:
    for first in range(0, len(trie), size):
        yield _block(trie, first, min(first + size, len(trie)))


def _block(trie: Trie, first: int, last: int) -> _Block:
    nodes = np.arange(first, last)
    groups = -(-len(nodes) // _GROUP)
    starts = first + _GROUP * np.arange(groups)
    above = int(trie.depth[starts].max())  # slots for the paths to the groups' first nodes
    carried = int(trie.depth[first])

    def position(node: Indices) -> Indices:
        """Where a node lies in "what is carried, then the block": carried nodes lie at their depth."""
        return np.where(node >= first, carried + node - first, trie.depth[node])

    keys = np.zeros((groups, above + _GROUP), dtype=np.intp)
    on_path = np.arange(above) < trie.depth[starts, None]
    keys[:, :above] = np.where(on_path, position(trie.paths[trie.row[starts], :above]), 0)  # 0: masked, but there
    own = np.minimum(starts[:, None] + np.arange(_GROUP), last - 1)
    keys[:, above:] = position(own)

    # Depth-first order: whatever of a node's path lies before its group lies on the path to the group's first node.
    reach = int(trie.depth[first:last].max()) + 1
    paths = trie.paths[trie.row[nodes], :reach]
    start = np.repeat(starts, _GROUP)[: len(nodes), None]
    slot = np.where(paths >= start, above + paths - start, np.arange(reach))
    on_path = np.arange(reach) <= trie.depth[nodes, None]
    allowed = np.zeros((groups * _GROUP, above + _GROUP), dtype=np.bool_)
    at = np.broadcast_to((nodes - first)[:, None], slot.shape)
    allowed[at[on_path], slot[on_path]] = True
    allowed[len(nodes) :, 0] = True  # a row without any would be not a number
    following = trie.paths[trie.row[last], : trie.depth[last]] if last < len(trie) else np.empty(0, dtype=np.intp)
    return _Block(first, last, keys, allowed.reshape(groups, _GROUP, -1), position(following))


class TrieTower:
    """The text tower of an OpenAI CLIP model, run over tries.

    Args:
        model: a `clip.model.CLIP`, on its device and in its precision.
        block: nodes run at a time; memory grows with it and with nothing else.
        product: see Layer.
    """

    def __init__(self, model: Any, *, block: int, product: Callable[[Linear], Product] = plain) -> None:
        self._model = model
        self._block = block
        self._layers = [Layer(block, product) for block in model.transformer.resblocks]

    def __call__(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """[T, D] the embedding of each token sequence, not made unit, in the model's precision."""
        import torch

        trie = Trie.of(sequences)
        text_of = np.full(len(trie), -1, dtype=np.intp)  # equal sequences share an end and an embedding
        text_of[trie.ends] = np.arange(len(sequences))
        projection = self._model.text_projection
        result = torch.empty((len(sequences), projection.shape[1]), dtype=projection.dtype, device=projection.device)
        with torch.inference_mode():
            carried: list[torch.Tensor] = [projection.new_empty((0, 2 * layer.width)) for layer in self._layers]
            for block in _blocks(trie, self._block):
                ending = np.flatnonzero(text_of[block.first : block.last] >= 0)
                states = self._run(trie, block, carried, ending)
                rows = torch.from_numpy(text_of[block.first + ending]).to(result.device)
                result[rows] = (self._model.ln_final(states) @ projection).to(result.dtype)
            every: torch.Tensor = result[torch.from_numpy(text_of[trie.ends]).to(result.device)]
            return every

    def _run(self, trie: Trie, block: _Block, carried: list[torch.Tensor], ending: Indices) -> torch.Tensor:
        """[ending, width] last hidden states of the block's ending nodes; `carried` moves on to the next block."""
        import torch

        device = self._model.text_projection.device
        tokens = torch.from_numpy(trie.tokens[block.first : block.last]).to(device)
        depth = torch.from_numpy(trie.depth[block.first : block.last]).to(device)
        keys, allowed, carry = (torch.from_numpy(x).to(device) for x in (block.keys, block.allowed, block.carry))
        states: torch.Tensor = self._model.token_embedding(tokens) + self._model.positional_embedding[depth]
        states = states.to(self._layers[0].dtype)
        for i, layer in enumerate(self._layers):
            projected = layer.attention_input(states)
            seen = torch.cat([carried[i], projected[:, layer.width :]])
            carried[i] = seen[carry]
            states = states + _attend(layer, projected[:, : layer.width], seen[keys], allowed)
            if i == len(self._layers) - 1:
                states = states[torch.from_numpy(ending).to(device)]  # nothing looks at the other nodes any more
            states = states + layer.feed_forward(states)
        return states


def _attend(layer: Layer, queries: torch.Tensor, seen: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """[nodes, width] from queries [nodes, width], keys beside values [groups, slots, 2 · width], and the mask."""
    import torch.nn.functional as F

    nodes = len(queries)
    padded = F.pad(queries, (0, 0, 0, len(seen) * _GROUP - nodes)).view(len(seen), _GROUP, layer.width)
    keys, values = seen[..., : layer.width], seen[..., layer.width :]
    return layer.attend(padded, keys, values, allowed).flatten(0, 1)[:nodes]
