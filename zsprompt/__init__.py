"""zsprompt finds several labels in a photo with a frozen CLIP and text alone, and measures how well that works.

Importing it loads neither torch nor pandas nor a model; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Ablation": "ablation",
    "Adapter": "strategies",
    "Comparison": "comparison",
    "Dataset": "datasets",
    "EmbeddingStore": "store",
    "Encoder": "encoders",
    "ImageFile": "images",
    "ImageRef": "images",
    "Images": "strategies",
    "ListAll": "strategies",
    "MLDecoder": "adapters.networks",
    "Normalised": "strategies",
    "PerLabel": "strategies",
    "Prediction": "strategies",
    "Predictions": "prediction",
    "PromptSet": "prompts",
    "Result": "result",
    "Row": "ablation",
    "Rule": "thresholds",
    "Schedule": "adapters",
    "Strategy": "strategies",
    "Thresholded": "strategies",
    "Thresholds": "thresholds",
    "TopAll": "strategies",
    "YesOrNo": "strategies",
    "ZspromptError": "errors",
    "ablate": "ablation",
    "build_report": "report.build",
    "choose_thresholds": "tuning",
    "compare": "comparison",
    "expected_thresholds": "tuning",
    "grid": "ablation",
    "load_adapter": "adapters",
    "load_dataset": "datasets",
    "load_encoder": "encoders",
    "load_prompts": "prompts",
    "load_result": "saved",
    "load_strategy": "strategies",
    "load_thresholds": "thresholds",
    "predict": "prediction",
    "reproduce": "reproduction",
    "run": "evaluate",
    "save_ablation": "report.tables",
    "save_result": "saved",
    "save_thresholds": "thresholds",
    "train": "training",
    "with_thresholds": "tuning",
}

__all__ = [
    "Ablation",
    "Adapter",
    "Comparison",
    "Dataset",
    "EmbeddingStore",
    "Encoder",
    "ImageFile",
    "ImageRef",
    "Images",
    "ListAll",
    "MLDecoder",
    "Normalised",
    "PerLabel",
    "Prediction",
    "Predictions",
    "PromptSet",
    "Result",
    "Row",
    "Rule",
    "Schedule",
    "Strategy",
    "Thresholded",
    "Thresholds",
    "TopAll",
    "YesOrNo",
    "ZspromptError",
    "__version__",
    "ablate",
    "build_report",
    "choose_thresholds",
    "compare",
    "expected_thresholds",
    "grid",
    "load_adapter",
    "load_dataset",
    "load_encoder",
    "load_prompts",
    "load_result",
    "load_strategy",
    "load_thresholds",
    "predict",
    "reproduce",
    "run",
    "save_ablation",
    "save_result",
    "save_thresholds",
    "train",
    "with_thresholds",
]

if TYPE_CHECKING:
    from zsprompt.ablation import Ablation, Row, ablate, grid
    from zsprompt.adapters import Schedule, load_adapter
    from zsprompt.adapters.networks import MLDecoder
    from zsprompt.comparison import Comparison, compare
    from zsprompt.datasets import Dataset, load_dataset
    from zsprompt.encoders import Encoder, load_encoder
    from zsprompt.errors import ZspromptError
    from zsprompt.evaluate import run
    from zsprompt.images import ImageFile, ImageRef
    from zsprompt.prediction import Predictions, predict
    from zsprompt.prompts import PromptSet, load_prompts
    from zsprompt.report.build import build_report
    from zsprompt.report.tables import save_ablation
    from zsprompt.reproduction import reproduce
    from zsprompt.result import Result
    from zsprompt.saved import load_result, save_result
    from zsprompt.store import EmbeddingStore
    from zsprompt.strategies import (
        Adapter,
        Images,
        ListAll,
        Normalised,
        PerLabel,
        Prediction,
        Strategy,
        Thresholded,
        TopAll,
        YesOrNo,
        load_strategy,
    )
    from zsprompt.thresholds import Rule, Thresholds, load_thresholds, save_thresholds
    from zsprompt.training import train
    from zsprompt.tuning import choose_thresholds, expected_thresholds, with_thresholds


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsprompt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zsprompt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
