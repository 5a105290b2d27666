"""Thresholds and calibration: from scores that rank to decisions and probabilities."""

from __future__ import annotations

from zsprompt.thresholds.calibrate import Calibration, Method, fit
from zsprompt.thresholds.choose import Kind, Rule, choose, decide, expecting, out_of_fold, sharing, split
from zsprompt.thresholds.value import Thresholds, load_thresholds, save_thresholds, thresholds_dict

__all__ = [
    "Calibration",
    "Kind",
    "Method",
    "Rule",
    "Thresholds",
    "choose",
    "decide",
    "expecting",
    "fit",
    "load_thresholds",
    "out_of_fold",
    "save_thresholds",
    "sharing",
    "split",
    "thresholds_dict",
]
