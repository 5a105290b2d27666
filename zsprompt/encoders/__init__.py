"""Encoders: they embed images and texts as unit vectors in one space."""

from __future__ import annotations

from zsprompt.encoders.base import (
    BatchedEncoder,
    ClassEncoder,
    Encoder,
    OfDomain,
    Precision,
    Resizable,
    ScaleOnUse,
    SpatialEncoder,
    WindowEncoder,
)
from zsprompt.encoders.clip.openai_models import OPENAI_MODELS
from zsprompt.encoders.registry import ENCODERS, available_models, check_model, load_encoder

__all__ = [
    "ENCODERS",
    "OPENAI_MODELS",
    "BatchedEncoder",
    "ClassEncoder",
    "Encoder",
    "OfDomain",
    "Precision",
    "Resizable",
    "ScaleOnUse",
    "SpatialEncoder",
    "WindowEncoder",
    "available_models",
    "check_model",
    "load_encoder",
]
