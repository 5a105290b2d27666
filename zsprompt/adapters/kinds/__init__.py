"""Kinds of adapters, one module each. The table in zsprompt.adapters.registry names them."""

from __future__ import annotations

from zsprompt.adapters.kinds.base import ImageTensors, Kind, Sizes, Weights

__all__ = ["ImageTensors", "Kind", "Sizes", "Weights"]
