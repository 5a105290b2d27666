"""Adapters: small heads trained on stored embeddings of frozen encoders, and their files."""

from __future__ import annotations

from zsprompt.adapters.adapter_file import Trained, load_adapter, save_adapter
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.job import Epoch, Fitted
from zsprompt.adapters.kinds.base import Kind, Sizes
from zsprompt.adapters.registry import ADAPTERS, available_adapters, load_kind, name_of, spec_of
from zsprompt.adapters.schedule import Schedule
from zsprompt.adapters.train_loop import fit

__all__ = [
    "ADAPTERS",
    "Epoch",
    "Examples",
    "Fitted",
    "Kind",
    "Schedule",
    "Sizes",
    "Trained",
    "available_adapters",
    "fit",
    "load_adapter",
    "load_kind",
    "name_of",
    "save_adapter",
    "spec_of",
]
