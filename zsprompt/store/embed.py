"""Embed images for a strategy: vectors, and the tokens and captions that it reads."""

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
    """The N' readable images of N.

    Attributes:
        images: embeddings of the readable images.
        kept: [N'] their positions among the N images.
        bad: (position, reason) of each unreadable image.
        shortened: number of captions that were cut to fit the encoder.
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
    """Embed images, with all that a strategy reads.

    Args:
        refs: N images.
        store: embeds them.
        reads: what is read in addition to vectors: "captions", and what EmbeddingStore.read takes.
        captions: K sequences of N captions.

    Raises:
        DataError: captions are read, but there are none.
        ModelError, CacheError: see EmbeddingStore.
    """
    require_captions(reads, captions)
    embedded = store.read(refs, reads)
    caption_vectors, shortened = _captions(captions, embedded.kept, store) if "captions" in reads else (None, 0)
    images = Images(embedded.vectors, embedded.tokens, caption_vectors, embedded.windows, embedded.classes)
    return Embedded(images, embedded.kept, embedded.bad, shortened)


def require_captions(reads: Collection[str], captions: Collection[object]) -> None:
    """Raise DataError if captions are read, but there are none."""
    if "captions" in reads and not captions:
        raise DataError(
            "expected a caption per image, which this adapter reads, found none; use `run` or `train` on a data set "
            "with captions, or with --image-captions FILE, or an adapter on images alone"
        )


def _captions(captions: Sequence[Sequence[str]], kept: Indices, store: EmbeddingStore) -> tuple[Floats, int]:
    """[N', K, D] caption embeddings, and the number of captions that were cut."""
    rows, cut = [], 0
    for column in captions:
        texts, shortened = _fitting([column[i] for i in kept], store)
        rows.append(store.texts(texts))
        cut += shortened
    return np.stack(rows, axis=1), cut


def _fitting(texts: Sequence[str], store: EmbeddingStore) -> tuple[list[str], int]:
    """Texts that fit the encoder. A longer one is cut after a word, or within the first word."""
    fitting: Bools = np.asarray(store.fits(texts), dtype=np.bool_)  # without texts, the dtype may be another
    result = [text if fits else _cut(text, store) for text, fits in zip(texts, fitting, strict=True)]
    return result, int((~fitting).sum())


def _cut(text: str, store: EmbeddingStore) -> str:
    words = text.split()
    return _longest([" ".join(words[:n]) for n in range(len(words))], store) or _longest(
        [words[0][:n] for n in range(len(words[0]))],
        store,  # a language without spaces
    )


def _longest(prefixes: Sequence[str], store: EmbeddingStore) -> str:
    """The longest prefix that fits. They are sorted by length; the first is empty and always fits."""
    low, high = 0, len(prefixes)
    while low + 1 < high:
        middle = (low + high) // 2
        if store.fits([prefixes[middle]])[0]:
            low = middle
        else:
            high = middle
    return prefixes[low]
