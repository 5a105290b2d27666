"""Encoders: images and texts in, unit vectors of one space out."""

from __future__ import annotations

from zsprompt.encoders.base import BatchedEncoder, Encoder, Precision, Resizable, SpatialEncoder
from zsprompt.encoders.registry import OPENAI_MODELS, available_models, load_encoder

__all__ = [
    "OPENAI_MODELS",
    "BatchedEncoder",
    "Encoder",
    "Precision",
    "Resizable",
    "SpatialEncoder",
    "available_models",
    "load_encoder",
]
