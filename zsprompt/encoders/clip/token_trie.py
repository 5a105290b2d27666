"""A causal text tower over a trie of token sequences: shared prefixes are computed once.

A token of a causal tower sees only the tokens before it, so texts with a common prefix share its hidden states. "dog",
"dog, person" and "dog, person, sofa" are one path with three ends. Each node of the trie is computed once, in
depth-first order, block by block; a node attends to its ancestors and itself. Of earlier blocks, only the path to the
next node is kept, so memory does not grow with the number of texts. The embeddings equal those of the padded tower up
to rounding; nothing is approximated.
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

# Nodes per attention group. Small, because a node computes scores for all nodes of its group and masks most of them.
_GROUP = 64


@dataclass(frozen=True)
class Trie:
    """T token sequences with their common prefixes merged. Nodes are numbered in depth-first order.

    Attributes:
        tokens: [nodes] token of each node.
        depth: [nodes] its position in a sequence, from 0.
        paths: [T, longest] the nodes of each sequence, from the root down, in sorted order of the sequences. Entries
            after a sequence's end have no meaning.
        row: [nodes] a row of `paths` that contains the node, in column `depth`.
        ends: [T] the last node of each sequence, in the order given.
    """

    tokens: Indices
    depth: Indices
    paths: Indices
    row: Indices
    ends: Indices

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> Trie:
        """The trie of sequences of at least one token."""
        lengths = np.fromiter(map(len, sequences), dtype=np.intp, count=len(sequences))
        table = np.zeros((len(sequences), lengths.max()), dtype=">u4")
        inside = np.arange(table.shape[1]) < lengths[:, None]
        # one more than the id: 0 is after the end
        table[inside] = 1 + np.fromiter(chain.from_iterable(sequences), dtype=np.uint32, count=lengths.sum())
        # big-endian bytes sort like the numbers, and a prefix sorts before its continuations
        order = np.argsort(table.view(f"S{4 * table.shape[1]}").ravel(), kind="stable")
        table, inside = table[order], inside[order]
        alike = np.zeros_like(inside)
        alike[1:] = np.logical_and.accumulate(table[1:] == table[:-1], axis=1)
        new = inside & ~alike  # the first sequence with this prefix makes the node
        row, depth = np.nonzero(new)
        paths = np.zeros(table.shape, dtype=np.intp)
        paths[new] = np.arange(len(row))
        # at each depth, a sequence without a new node shares the latest one above it
        paths = np.maximum.accumulate(paths, axis=0)
        ends = np.empty(len(sequences), dtype=np.intp)
        ends[order] = paths[np.arange(len(sequences)), lengths[order] - 1]
        return cls(table[new].astype(np.intp) - 1, depth, paths, row, ends)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class _Block:
    """Consecutive nodes of a trie. Positions index the carried nodes followed by the nodes of the block.

    Attributes:
        first, last: the nodes are range(first, last).
        keys: [groups, slots] positions that a group attends to: the path to its first node, then the group itself.
        allowed: [groups, _GROUP, slots] whether a node attends to a slot: True for its ancestors and itself.
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
        """The position of a node. Carried nodes are at their depth; those of the block follow."""
        return np.where(node >= first, carried + node - first, trie.depth[node])

    keys = np.zeros((groups, above + _GROUP), dtype=np.intp)
    on_path = np.arange(above) < trie.depth[starts, None]
    keys[:, :above] = np.where(on_path, position(trie.paths[trie.row[starts], :above]), 0)  # 0: valid, but masked
    members = np.minimum(starts[:, None] + np.arange(_GROUP), last - 1)
    keys[:, above:] = position(members)

    # Depth-first order: ancestors of a node that precede its group are on the path to the group's first node.
    reach = int(trie.depth[first:last].max()) + 1
    paths = trie.paths[trie.row[nodes], :reach]
    start = np.repeat(starts, _GROUP)[: len(nodes), None]
    slot = np.where(paths >= start, above + paths - start, np.arange(reach))
    on_path = np.arange(reach) <= trie.depth[nodes, None]
    allowed = np.zeros((groups * _GROUP, above + _GROUP), dtype=np.bool_)
    at = np.broadcast_to((nodes - first)[:, None], slot.shape)
    allowed[at[on_path], slot[on_path]] = True
    allowed[len(nodes) :, 0] = True  # a fully masked row would give NaN
    following = trie.paths[trie.row[last], : trie.depth[last]] if last < len(trie) else np.empty(0, dtype=np.intp)
    return _Block(first, last, keys, allowed.reshape(groups, _GROUP, -1), position(following))


class TrieTower:
    """A causal text tower, run over tries. It equals a padded one whose embedding is read at the end of the text.

    Args:
        text: the tower's parts, on their device and in their precision: a `clip.model.CLIP`, an `open_clip.CLIP` or
            an `open_clip.TextTransformer`.
        block: nodes per block; memory grows with it alone.
        product: see Layer.
    """

    def __init__(self, text: Any, *, block: int, product: Callable[[Linear], Product] = plain) -> None:
        self._text = text
        self._block = block
        self._layers = [Layer(block, product) for block in text.transformer.resblocks]

    def __call__(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """[T, D] the embedding of each token sequence, not normalised, in the model's precision."""
        import torch

        trie = Trie.of(sequences)
        text_of = np.full(len(trie), -1, dtype=np.intp)  # equal sequences share an end and an embedding
        text_of[trie.ends] = np.arange(len(sequences))
        weight = self._text.token_embedding.weight
        rows, parts = [], []
        with torch.inference_mode():
            carried: list[torch.Tensor] = [
                weight.new_empty((0, 2 * one.width), dtype=one.dtype) for one in self._layers
            ]
            for block in _blocks(trie, self._block):
                ending = np.flatnonzero(text_of[block.first : block.last] >= 0)
                parts.append(self._project(self._run(trie, block, carried, ending)))
                rows.append(text_of[block.first + ending])
            embeddings = torch.cat(parts)
        place = np.empty(len(sequences), dtype=np.intp)
        place[np.concatenate(rows)] = np.arange(len(embeddings))
        return embeddings[torch.from_numpy(place[text_of[trie.ends]]).to(embeddings.device)]

    def _project(self, states: torch.Tensor) -> torch.Tensor:
        """[n, D] from last hidden states [n, width]."""
        from torch import nn

        normed: torch.Tensor = self._text.ln_final(states)
        projection = self._text.text_projection
        if projection is None:
            return normed
        result: torch.Tensor = projection(normed) if isinstance(projection, nn.Module) else normed @ projection
        return result

    def _run(self, trie: Trie, block: _Block, carried: list[torch.Tensor], ending: Indices) -> torch.Tensor:
        """[ending, width] last hidden states of the block's ending nodes. Updates `carried` for the next block."""
        import torch

        device = self._text.token_embedding.weight.device
        tokens = torch.from_numpy(trie.tokens[block.first : block.last]).to(device)
        depth = torch.from_numpy(trie.depth[block.first : block.last]).to(device)
        keys, allowed, carry = (torch.from_numpy(x).to(device) for x in (block.keys, block.allowed, block.carry))
        states: torch.Tensor = self._text.token_embedding(tokens) + self._text.positional_embedding[depth]
        states = states.to(self._layers[0].dtype)
        for i, layer in enumerate(self._layers):
            projected = layer.attention_input(states)
            seen = torch.cat([carried[i], projected[:, layer.width :]])
            carried[i] = seen[carry]
            states = states + _attend(layer, projected[:, : layer.width], seen[keys], allowed)
            if i == len(self._layers) - 1:
                states = states[torch.from_numpy(ending).to(device)]  # the other nodes are not needed any more
            states = states + layer.feed_forward(states)
        return states


def _attend(layer: Layer, queries: torch.Tensor, seen: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """[nodes, width] from queries [nodes, width], keys and values [groups, slots, 2 · width], and a mask."""
    import torch.nn.functional as F

    nodes = len(queries)
    padded = F.pad(queries, (0, 0, 0, len(seen) * _GROUP - nodes)).view(len(seen), _GROUP, layer.width)
    keys, values = seen[..., : layer.width], seen[..., layer.width :]
    return layer.attend(padded, keys, values, allowed).flatten(0, 1)[:nodes]
