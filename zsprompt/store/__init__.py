"""The embedding store: each distinct text and image is encoded once."""

from __future__ import annotations

from zsprompt.store.image_embeddings import Images
from zsprompt.store.store import EmbeddingStore

__all__ = [
    "EmbeddingStore",
    "Images",
]
