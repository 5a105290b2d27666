"""Strategies turn embeddings of images, labels and texts into scores and decisions. They need only numpy."""

from __future__ import annotations

from zsprompt.strategies.adapter import Adapter
from zsprompt.strategies.base import Prediction, ReferenceWords, Strategy, Wrapper, rebuild, walk
from zsprompt.strategies.capabilities import (
    computes,
    lacks_captions,
    needs_all_images,
    on_device,
    own_labels,
    own_model,
    reads,
    reference_words,
    refuse,
    refuse_captions,
    refuse_images,
    refuse_labels,
    scores_logs,
    supervision,
    takes_captions,
    with_captions,
)
from zsprompt.strategies.compound import Compound
from zsprompt.strategies.list_all import ListAll
from zsprompt.strategies.llm import Llm
from zsprompt.strategies.logit_scale import suggest_logit_scale
from zsprompt.strategies.matched import Matched
from zsprompt.strategies.normalised import Normalised
from zsprompt.strategies.per_label import PerLabel
from zsprompt.strategies.regions import Regions
from zsprompt.strategies.registry import (
    STRATEGIES,
    WRAPPERS,
    available_strategies,
    digest_of,
    load_strategy,
    spec_of,
    strategy_of,
    takes_prompts,
)
from zsprompt.strategies.self_training import SelfTrained, SelfTraining
from zsprompt.strategies.softmax import Softmax
from zsprompt.strategies.thresholded import Thresholded
from zsprompt.strategies.thresholds import Thresholds, load_thresholds, save_thresholds, thresholds_dict
from zsprompt.strategies.top_all import TopAll
from zsprompt.strategies.yes_or_no import YesOrNo

__all__ = [
    "STRATEGIES",
    "WRAPPERS",
    "Adapter",
    "Compound",
    "ListAll",
    "Llm",
    "Matched",
    "Normalised",
    "PerLabel",
    "Prediction",
    "ReferenceWords",
    "Regions",
    "SelfTrained",
    "SelfTraining",
    "Softmax",
    "Strategy",
    "Thresholded",
    "Thresholds",
    "TopAll",
    "Wrapper",
    "YesOrNo",
    "available_strategies",
    "computes",
    "digest_of",
    "lacks_captions",
    "load_strategy",
    "load_thresholds",
    "needs_all_images",
    "on_device",
    "own_labels",
    "own_model",
    "reads",
    "rebuild",
    "reference_words",
    "refuse",
    "refuse_captions",
    "refuse_images",
    "refuse_labels",
    "save_thresholds",
    "scores_logs",
    "spec_of",
    "strategy_of",
    "suggest_logit_scale",
    "supervision",
    "takes_captions",
    "takes_prompts",
    "thresholds_dict",
    "walk",
    "with_captions",
]
