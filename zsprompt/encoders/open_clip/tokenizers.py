"""The tokenisers of open_clip's models. Unlike open_clip's, they cut nothing off."""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from zsprompt._utils.text import reason
from zsprompt.encoders.clip.clip_package import clip_tokenizer
from zsprompt.encoders.clip.tokens import Tokeniser, is_plain
from zsprompt.encoders.dual_encoder import TokenIds, Tokenizer
from zsprompt.errors import ModelError

_REMEMBERED_TEXTS = 2**16
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class PaddingTokenizer(Tokenizer, Protocol):
    """A Tokenizer that also fills a text up to the context."""

    def pad(self, ids: TokenIds, length: int) -> TokenIds:
        """`length` ids: those of a text, and what the model was trained to see after them."""
        ...


def load_tokenizer(text: Mapping[str, Any], folder: Path | None) -> PaddingTokenizer:
    """The tokeniser of a model.

    Args:
        text: the model's `text_cfg`.
        folder: of a tokeniser of transformers; None for CLIP's vocabulary.

    Raises:
        ModelError: the folder's files are damaged or of another kind, or the configuration asks for what this does
            not know.
    """
    clean, settings = cleaning(text), dict(text.get("tokenizer_kwargs") or {})
    settings.pop("clean", None)
    if folder is not None:
        strips, mode = bool(settings.pop("strip_sep_token", False)), text.get("tokenizer_mode") or ""
        _refuse(settings, {"tokenizer_mode": mode} if mode not in ("", "clips") else {})
        return HubTokenizer(folder, clean, strips_separator=strips, ends_in_class=mode == "clips")
    _refuse(settings, {})
    return ClipTokenizer(clean)


def cleaning(text: Mapping[str, Any]) -> Callable[[str], str]:
    """What a model's tokeniser does to a text at first, from its `text_cfg`. Raises ModelError if that is not known."""
    has_own = bool(text.get("hf_tokenizer_name"))
    settings = text.get("tokenizer_kwargs") or {}
    kind = settings.get("clean", "whitespace" if has_own else "lower") if isinstance(settings, Mapping) else settings
    known = [one for one in _CLEANING if has_own or one != "whitespace"]  # CLIP's vocabulary is in lower case
    if kind not in known:
        raise ModelError(f"expected clean of tokenizer_kwargs from {', '.join(known)}, found {kind!r}")
    return _CLEANING[kind]


def _refuse(*settings: Mapping[str, Any]) -> None:
    for name, value in (item for group in settings for item in group.items()):
        raise ModelError(f"expected a tokeniser without {name}={value!r}, which zsprompt does not support")


class ClipTokenizer:
    """CLIP's vocabulary. A shorter text is filled up with zeros."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._words = Tokeniser(clip_tokenizer())
        self._clean = clean

    def __call__(self, texts: Sequence[str]) -> list[TokenIds]:
        """See Tokenizer."""
        return self._words([self._clean(text) for text in texts])

    def fits(self, text: str, context_length: int) -> bool:
        """See Tokenizer."""
        return self._words.fits(self._clean(text), context_length)

    def pad(self, ids: TokenIds, length: int) -> TokenIds:
        """See PaddingTokenizer."""
        return ids + (0,) * (length - len(ids))


class HubTokenizer:
    """A tokeniser of transformers, from a folder.

    Args:
        folder: with the tokeniser's files.
        clean: applied to each text.
        strips_separator: the separator's id becomes 0, as in CLIPA.
        ends_in_class: the class token ends the padded text, as in CLIPS, which has start and end tokens too.
    """

    def __init__(
        self, folder: Path, clean: Callable[[str], str], *, strips_separator: bool = False, ends_in_class: bool = False
    ) -> None:
        self._encode = _transformers_tokenizer(folder)
        needed = ("pad_token", *(("bos_token", "eos_token", "cls_token") if ends_in_class else ()))
        if lacking := [token for token in needed if getattr(self._encode, f"{token}_id") is None]:
            raise ModelError(
                f"expected a tokeniser with a {lacking[0]} in {folder}, found none; are all its files there?"
            )
        self._clean = clean
        self._strips, self._in_class = strips_separator, ends_in_class
        self._lock = Lock()  # its truncation and padding are one state for all threads
        self.ids = lru_cache(_REMEMBERED_TEXTS)(self._ids)

    def __call__(self, texts: Sequence[str]) -> list[TokenIds]:
        """See Tokenizer."""
        return [self.ids(text) for text in texts]

    def fits(self, text: str, context_length: int) -> bool:
        """See Tokenizer."""
        return len(self.ids(text)) + self._in_class <= context_length  # the class token takes a place

    def pad(self, ids: TokenIds, length: int) -> TokenIds:
        """See PaddingTokenizer."""
        padding = (int(self._encode.pad_token_id),) * (length - len(ids) - self._in_class)
        if self._in_class:
            return (*ids, *padding, int(self._encode.cls_token_id))
        return padding + ids if self._encode.padding_side == "left" else ids + padding

    def _ids(self, text: str) -> TokenIds:
        with self._lock:
            ids = self._encode(
                self._clean(text),
                add_special_tokens=not self._in_class,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                verbose=False,
            )["input_ids"]
        if self._in_class:
            return (int(self._encode.bos_token_id), *ids, int(self._encode.eos_token_id))
        separator = self._encode.sep_token_id if self._strips else None
        return tuple(0 if one == separator else int(one) for one in ids)


def _transformers_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds for files that it cannot read
        raise ModelError(f"cannot read the tokeniser in {folder} ({reason(error)})") from None


def basic(text: str) -> str:
    """Mojibake repaired, HTML entities replaced, no white space at the ends."""
    if is_plain(text):
        return text.strip()
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def whitespace(text: str) -> str:
    """`basic`, and single spaces."""
    return " ".join(basic(text).split())


def lower(text: str) -> str:
    """`whitespace`, in lower case."""
    return whitespace(text).lower()


def canonical(text: str) -> str:
    """Lower case, without punctuation. Source: big_vision, with which SigLIP was trained."""
    return " ".join(basic(text).replace("_", " ").translate(_NO_PUNCTUATION).lower().split())


_CLEANING = {"whitespace": whitespace, "lower": lower, "canonicalize": canonical}
