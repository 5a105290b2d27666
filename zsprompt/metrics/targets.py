"""Targets: the three conventions for difficult objects (−1), prevalence, and means over labels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zsprompt._utils.arrays import Doubles, Targets

Difficult = Literal["ignore", "negative", "positive"]

DIFFICULT: dict[str, int] = {"ignore": -1, "negative": 0, "positive": 1}
"""What a target of −1 becomes under each convention: official VOC, the mmm-clip report, CLIP_benchmark."""


def resolve_targets(targets: Targets, difficult: Difficult) -> Targets:
    """[N, C] targets with −1 replaced by one of the three conventions; "ignore" keeps −1."""
    return np.where(targets == -1, DIFFICULT[difficult], targets).astype(np.int8)


def prevalence(targets: Targets) -> Doubles:
    """[C] share of positives among the targets that are not ignored; NaN for a label without positives."""
    positives = (targets == 1).sum(axis=0)
    counted = (targets != -1).sum(axis=0)
    return np.where(positives > 0, positives / np.maximum(counted, 1), np.nan)


def mean_over_labels(values: Doubles) -> float:
    """Mean over the labels that have a value; NaN if none has one."""
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if len(finite) else float("nan")
