"""What a strategy asks to see of pictures, from the store: vectors, and where it reads them tokens and captions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Indices
from zsprompt.data.images import ImageRef
from zsprompt.errors import DataError
from zsprompt.store.image_embeddings import Images
from zsprompt.store.store import EmbeddingStore


@dataclass(frozen=True)
class Embedded:
    """The N' of N pictures that could be read.

    Attributes:
        images: as a strategy sees them.
        kept: [N'] their positions among those asked for.
        bad: (position, reason) of every other one.
        shortened: captions that were cut to fit the encoder.
    """

    images: Images
    kept: Indices
    bad: tuple[tuple[int, str], ...] = ()
    shortened: int = 0


def embed(
    refs: Sequence[ImageRef],
    store: EmbeddingStore,
    reads: Collection[str] = (),
    captions: Sequence[Sequence[str]] = (),
) -> Embedded:
    """Embed pictures, with what beside vectors is read of them.

    Args:
        refs: N pictures.
        store: where they are embedded.
        reads: "tokens", "captions".
        captions: K sequences of N captions.

    Raises:
        DataError: captions are read and there are none.
        ModelError, CacheError: see EmbeddingStore.
    """
    if "captions" in reads and not captions:
        raise DataError(
            "expected a caption of each picture, which this adapter reads, found none; use `run` or `train` on a data "
            "set with captions, or with --picture-captions FILE, or an adapter on pictures alone"
        )
    tokens = None
    if "tokens" in reads:
        found = store.tokens(refs)
        vectors, kept, bad, tokens = found.vectors, found.kept, found.bad, found.tokens
    else:
        plain = store.images(refs)
        vectors, kept, bad = plain.vectors, plain.kept, plain.bad
    words, shortened = _captions(captions, kept, store) if "captions" in reads else (None, 0)
    return Embedded(Images(vectors, tokens, words), kept, bad, shortened)


def _captions(captions: Sequence[Sequence[str]], kept: Indices, store: EmbeddingStore) -> tuple[Floats, int]:
    """[N', K, D], and how many captions had to be cut."""
    rows, cut = [], 0
    for column in captions:
        texts, shortened = _fitting([column[i] for i in kept], store)
        rows.append(store.texts(texts))
        cut += shortened
    return np.stack(rows, axis=1), cut


def _fitting(texts: Sequence[str], store: EmbeddingStore) -> tuple[list[str], int]:
    """Texts that fit the encoder: of those that do not, as many whole words as do, or characters of the first."""
    fitting: Bools = np.asarray(store.fits(texts), dtype=np.bool_)  # of no texts, an array of no kind in particular
    found = [text if fits else _cut(text, store) for text, fits in zip(texts, fitting, strict=True)]
    return found, int((~fitting).sum())


def _cut(text: str, store: EmbeddingStore) -> str:
    words = text.split()
    return _longest([" ".join(words[:n]) for n in range(len(words))], store) or _longest(
        [words[0][:n] for n in range(len(words[0]))],
        store,  # a language without blanks
    )


def _longest(growing: Sequence[str], store: EmbeddingStore) -> str:
    """The last of ever longer texts that fits; the first, which is empty, always does."""
    low, high = 0, len(growing)
    while low + 1 < high:
        middle = (low + high) // 2
        if store.fits([growing[middle]])[0]:
            low = middle
        else:
            high = middle
    return growing[low]
