"""CLIP's byte-pair tokens. Each word is tokenised once.

Source of the vocabulary and its rules: OpenAI's `clip` package, whose tokeniser is called for new words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

START, END = 49406, 49407

_REMEMBERED_TEXTS = 2**16


def is_plain(text: str) -> bool:
    """Whether a text needs no cleaning. Each of its tokens is then at least one of its characters."""
    return text.isascii() and text.isprintable() and "&" not in text


class Tokeniser:
    """Text -> CLIP's token ids, start and end included. The ids equal those of `clip.tokenize`.

    Tokens never span white space, so each word is tokenised once and remembered. Cleaning a text (mojibake, HTML
    entities) costs more than everything else, and plain printable ASCII needs no cleaning.

    Args:
        tokenizer: `clip.simple_tokenizer.SimpleTokenizer`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._encode = tokenizer.encode
        self._pieces: dict[str, tuple[int, ...]] = {}
        self.ids = lru_cache(_REMEMBERED_TEXTS)(self._ids)

    def __call__(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The token ids of each text."""
        return [self.ids(text) for text in texts]

    def fits(self, text: str, context_length: int) -> bool:
        """Whether the text has at most so many tokens. For most texts, their length says so."""
        surely = len(text) <= context_length - 2 and is_plain(text)
        return surely or len(self.ids(text)) <= context_length

    def _ids(self, text: str) -> tuple[int, ...]:
        if not is_plain(text):
            return (START, *self._encode(text), END)
        ids = [START]
        for piece in text.split():
            piece_ids = self._pieces.get(piece)
            if piece_ids is None:
                piece_ids = self._pieces[piece] = tuple(self._encode(piece))
            ids += piece_ids
        ids.append(END)
        return tuple(ids)
