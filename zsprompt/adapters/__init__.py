"""Adapters: small trained heads on frozen towers, their training on stored embeddings, and their files."""

from __future__ import annotations

from zsprompt.adapters.adapter_file import Trained, load_adapter, save_adapter
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.fitted import Forest, Neighbours
from zsprompt.adapters.kinds import DmDecoder, Fc, Fusion, Kind, LinearProbe, Mld, MlDecoder, Sizes
from zsprompt.adapters.registry import ADAPTERS, available_adapters, load_kind, name_of, spec_of
from zsprompt.adapters.schedule import Schedule
from zsprompt.adapters.train_loop import Epoch, Fitted, fit

__all__ = [
    "ADAPTERS",
    "DmDecoder",
    "Epoch",
    "Examples",
    "Fc",
    "Fitted",
    "Forest",
    "Fusion",
    "Kind",
    "LinearProbe",
    "MlDecoder",
    "Mld",
    "Neighbours",
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
