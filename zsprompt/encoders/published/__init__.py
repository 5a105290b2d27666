"""An image and three texts whose embeddings by OpenAI's ViT-B/32 are published, to check weights with."""

from __future__ import annotations

from zsprompt.encoders.published.comparison import (
    PUBLISHED_PROBABILITIES,
    PUBLISHED_TEXTS,
    Comparison,
    compare_published,
    is_published,
)

__all__ = ["PUBLISHED_PROBABILITIES", "PUBLISHED_TEXTS", "Comparison", "compare_published", "is_published"]
