"""Text towers of open_clip: over a token trie where that is the same, else in padded batches.

A trie needs a causal tower whose embedding is read at a place in the text. Then what follows the text has no part in
it, and texts with a common prefix share their states. In other towers padding takes part, so every text is padded as
in training, or it is masked, so a batch is padded to its longest text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zsprompt.encoders.clip.products import Linear, Product
from zsprompt.encoders.clip.token_trie import TrieTower
from zsprompt.encoders.clip.transformer import is_plain_block, run_by_layers
from zsprompt.encoders.dual_encoder import TokenIds
from zsprompt.encoders.open_clip.linear import swap_linear
from zsprompt.encoders.open_clip.tokenizers import PaddingTokenizer

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Way = Literal["trie", "masked", "padded"]
"""Over a trie; in batches padded to the longest text; in batches padded to the context."""

_CPU_TEXTS, _GPU_TEXTS = 32, 1024  # texts per padded batch
_CPU_NODES, _GPU_NODES = 1024, 2**13  # nodes per block of a trie
_PROBES = ("a dog", "a photo of a dog", "a dog and a cat", "")
_TOLERANCE = 1e-5  # 1 - cosine of vectors that are the same: rounding in float32, and in float16 and bfloat16
_HALF_TOLERANCE = 1e-3

Run = Callable[[Sequence[TokenIds]], "torch.Tensor"]


class TextTower:
    """The text tower of an open_clip model, by the fastest way that gives the model's own embeddings.

    Args:
        model: the model, on its device. Its blocks are changed to run by `product`.
        tokenizer: the model's.
        context_length: its longest text, in tokens.
        product: see Layer.

    Attributes:
        way: how texts are embedded. The fastest way is compared with the model's own on a few texts, and left out
            with a warning if they differ.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PaddingTokenizer,
        context_length: int,
        product: Callable[[Linear], Product],
    ) -> None:
        self._model, self._tokenizer, self._context = model, tokenizer, context_length
        self._part = model.text if hasattr(model, "text") else model
        self._device = model.logit_scale.device
        self.way: Way = self._checked(self._fastest())
        if self.way == "trie":
            nodes = _CPU_NODES if self._device.type == "cpu" else _GPU_NODES
            self._trie = TrieTower(self._part, block=nodes, product=product)
        elif self.way == "padded":
            run_by_layers(self._part.transformer, product)
        else:
            swap_linear(self._part, product)

    def __call__(self, sequences: Sequence[TokenIds]) -> torch.Tensor:
        """[T, D] from the ids of T texts."""
        return self._run(self.way, sequences)

    def _run(self, way: Way, sequences: Sequence[TokenIds]) -> torch.Tensor:
        if way == "trie":
            return self._trie([self._up_to_end(ids) for ids in sequences])
        return self._batches(sequences, trimmed=way == "masked")

    def _fastest(self) -> Way:
        from open_clip.hf_model import HFTextEncoder

        part = self._part
        if isinstance(part, HFTextEncoder):
            return "masked"
        causal = getattr(self._model, "attn_mask", None) if part is self._model else part.attn_mask
        ends = self._pool() in ("argmax", "eos") and getattr(part, "cls_emb", None) is None
        plain = all(map(is_plain_block, part.transformer.resblocks))
        return "trie" if causal is not None and ends and plain else "padded"

    def _checked(self, way: Way) -> Way:
        """`way`, or "padded" if it does not give the model's own embeddings."""
        import torch.nn.functional as F

        if way == "padded":
            return way
        texts = [ids for ids in self._tokenizer(_PROBES) if len(ids) <= self._context]
        expected = F.normalize(self._run("padded", texts).float(), dim=-1)
        if way == "trie":
            self._trie = TrieTower(self._part, block=_CPU_NODES)
        found = F.normalize(self._run(way, texts).float(), dim=-1)
        difference = 1 - float((found * expected).sum(dim=-1).min())
        if difference <= (_HALF_TOLERANCE if self._is_half() else _TOLERANCE):
            return way
        logger.warning(
            f"the text tower is slower than usual: its {way} batches differ from open_clip's own, "
            f"by {difference:.2g} of 1 in cosine"
        )
        return "padded"

    def _is_half(self) -> bool:
        import torch

        return any(one.dtype in (torch.float16, torch.bfloat16) for one in self._part.parameters())

    def _pool(self) -> str:
        part = self._part
        return str(part.text_pool_type if part is self._model else part.pool_type)

    def _up_to_end(self, ids: TokenIds) -> TokenIds:
        """The ids up to the place where the embedding is read."""
        padded = self._tokenizer.pad(ids, self._context)
        if self._pool() == "argmax":
            return padded[: padded.index(max(padded)) + 1]
        end = self._part.text_eos_id if self._part is self._model else self._part.eos_id
        return padded[: padded.index(end) + 1] if end in padded else padded[:1]

    def _batches(self, sequences: Sequence[TokenIds], *, trimmed: bool) -> torch.Tensor:
        """[T, D] by the model's own `encode_text`, part by part, from the shortest texts to the longest."""
        import torch

        size = _CPU_TEXTS if self._device.type == "cpu" else _GPU_TEXTS
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        rows = []
        with torch.inference_mode():
            for first in range(0, len(order), size):
                part = [sequences[i] for i in order[first : first + size]]
                length = max(map(len, part)) if trimmed else self._context
                ids = torch.tensor([self._tokenizer.pad(one, length) for one in part], device=self._device)
                rows.append(self._model.encode_text(ids))
        return torch.cat(rows)[torch.from_numpy(np.argsort(order)).to(self._device)]
