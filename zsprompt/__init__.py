"""zsprompt finds several labels in a photo with a frozen CLIP and text alone, and measures how well that works.

Importing it loads neither torch nor pandas nor a model; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zsprompt._version import __version__ as __version__

_HOMES = {
    "Ablation": "experiments.ablation",
    "Adapter": "strategies",
    "Captions": "llm",
    "Comparison": "evaluation.compare",
    "Compound": "strategies",
    "Dataset": "data",
    "EmbeddingStore": "store",
    "Encoder": "encoders",
    "ImageFile": "data.images",
    "ImageRef": "data.images",
    "Images": "store",
    "ListAll": "strategies",
    "Llm": "strategies",
    "MLDecoder": "adapters.networks",
    "Matched": "strategies",
    "Normalised": "strategies",
    "PerLabel": "strategies",
    "Prediction": "strategies",
    "Predictions": "evaluation.predict",
    "PromptSet": "prompts",
    "ReferenceWords": "strategies",
    "Regions": "strategies",
    "Result": "evaluation.result",
    "Row": "experiments.ablation",
    "Rule": "evaluation.threshold_rules",
    "RunSpec": "experiments.spec",
    "Schedule": "adapters",
    "SelfTraining": "strategies",
    "Softmax": "strategies",
    "Strategy": "strategies",
    "Thresholded": "strategies",
    "Thresholds": "strategies",
    "TopAll": "strategies",
    "YesOrNo": "strategies",
    "ZspromptError": "errors",
    "ablate": "experiments.ablation",
    "build_report": "report.build",
    "choose_thresholds": "evaluation.thresholds",
    "compare": "evaluation.compare",
    "expected_thresholds": "evaluation.thresholds",
    "grid": "experiments.ablation",
    "load_adapter": "adapters",
    "load_bank": "prompts",
    "load_dataset": "data",
    "load_encoder": "encoders",
    "load_prompts": "prompts",
    "load_result": "evaluation.result_files",
    "load_strategy": "strategies",
    "load_thresholds": "strategies",
    "predict": "experiments.calls",
    "reproduce": "experiments.reproduction",
    "run": "experiments.calls",
    "save_ablation": "report.tables",
    "save_result": "evaluation.result_files",
    "save_training_curve": "report.of_training",
    "save_thresholds": "strategies",
    "show": "report.annotated",
    "suggest_logit_scale": "strategies",
    "train": "experiments.calls",
    "unlabelled": "data",
    "with_thresholds": "experiments.calls",
}

__all__ = [
    "Ablation",
    "Adapter",
    "Captions",
    "Comparison",
    "Compound",
    "Dataset",
    "EmbeddingStore",
    "Encoder",
    "ImageFile",
    "ImageRef",
    "Images",
    "ListAll",
    "Llm",
    "MLDecoder",
    "Matched",
    "Normalised",
    "PerLabel",
    "Prediction",
    "Predictions",
    "PromptSet",
    "ReferenceWords",
    "Regions",
    "Result",
    "Row",
    "Rule",
    "RunSpec",
    "Schedule",
    "SelfTraining",
    "Softmax",
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
    "load_bank",
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
    "save_training_curve",
    "show",
    "suggest_logit_scale",
    "train",
    "unlabelled",
    "with_thresholds",
]

if TYPE_CHECKING:
    from zsprompt.adapters import Schedule, load_adapter
    from zsprompt.adapters.networks import MLDecoder
    from zsprompt.data import Dataset, load_dataset, unlabelled
    from zsprompt.data.images import ImageFile, ImageRef
    from zsprompt.encoders import Encoder, load_encoder
    from zsprompt.errors import ZspromptError
    from zsprompt.evaluation.compare import Comparison, compare
    from zsprompt.evaluation.predict import Predictions
    from zsprompt.evaluation.result import Result
    from zsprompt.evaluation.result_files import load_result, save_result
    from zsprompt.evaluation.threshold_rules import Rule
    from zsprompt.evaluation.thresholds import choose_thresholds, expected_thresholds
    from zsprompt.experiments.ablation import Ablation, Row, ablate, grid
    from zsprompt.experiments.calls import predict, run, train, with_thresholds
    from zsprompt.experiments.reproduction import reproduce
    from zsprompt.experiments.spec import RunSpec
    from zsprompt.llm import Captions
    from zsprompt.prompts import PromptSet, load_bank, load_prompts
    from zsprompt.report.annotated import show
    from zsprompt.report.build import build_report
    from zsprompt.report.of_training import save_training_curve
    from zsprompt.report.tables import save_ablation
    from zsprompt.store import EmbeddingStore, Images
    from zsprompt.strategies import (
        Adapter,
        Compound,
        ListAll,
        Llm,
        Matched,
        Normalised,
        PerLabel,
        Prediction,
        ReferenceWords,
        Regions,
        SelfTraining,
        Softmax,
        Strategy,
        Thresholded,
        Thresholds,
        TopAll,
        YesOrNo,
        load_strategy,
        load_thresholds,
        save_thresholds,
        suggest_logit_scale,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsprompt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"zsprompt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
