"""The embedding store: every distinct text and image goes through the encoder once."""

from __future__ import annotations

from zsprompt.store.image_embeddings import Images
from zsprompt.store.store import EmbeddingStore

__all__ = [
    "EmbeddingStore",
    "Images",
]
