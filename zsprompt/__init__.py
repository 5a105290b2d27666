"""zsprompt finds several labels in a photo with a frozen CLIP and text alone, and measures how well that works.

Importing it loads neither torch nor pandas nor a model; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "datasets",
    "EmbeddingStore": "store",
    "Encoder": "encoders",
    "ImageFile": "images",
    "ImageRef": "images",
    "Images": "strategies",
    "ListAll": "strategies",
    "Normalised": "strategies",
    "PerLabel": "strategies",
    "Prediction": "strategies",
    "Predictions": "prediction",
    "PromptSet": "prompts",
    "Result": "result",
    "Strategy": "strategies",
    "TopAll": "strategies",
    "YesOrNo": "strategies",
    "ZspromptError": "errors",
    "load_dataset": "datasets",
    "load_encoder": "encoders",
    "load_prompts": "prompts",
    "load_strategy": "strategies",
    "predict": "prediction",
    "run": "evaluate",
}

__all__ = [
    "Dataset",
    "EmbeddingStore",
    "Encoder",
    "ImageFile",
    "ImageRef",
    "Images",
    "ListAll",
    "Normalised",
    "PerLabel",
    "Prediction",
    "Predictions",
    "PromptSet",
    "Result",
    "Strategy",
    "TopAll",
    "YesOrNo",
    "ZspromptError",
    "__version__",
    "load_dataset",
    "load_encoder",
    "load_prompts",
    "load_strategy",
    "predict",
    "run",
]

if TYPE_CHECKING:
    from zsprompt.datasets import Dataset, load_dataset
    from zsprompt.encoders import Encoder, load_encoder
    from zsprompt.errors import ZspromptError
    from zsprompt.evaluate import run
    from zsprompt.images import ImageFile, ImageRef
    from zsprompt.prediction import Predictions, predict
    from zsprompt.prompts import PromptSet, load_prompts
    from zsprompt.result import Result
    from zsprompt.store import EmbeddingStore
    from zsprompt.strategies import (
        Images,
        ListAll,
        Normalised,
        PerLabel,
        Prediction,
        Strategy,
        TopAll,
        YesOrNo,
        load_strategy,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsprompt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zsprompt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
