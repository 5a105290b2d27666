"""Measures of scores and decisions: pure functions on numpy arrays.

Letters: N images, C labels. Scores [N, C] are finite; higher means more likely present. Decisions [N, C] are the yes
or no of a strategy. Targets [N, C] are 1 present, 0 absent, −1 ignored. All results are within 0..1.
The average precision of a label without positives is NaN; means exclude it.
"""

from __future__ import annotations

from zsprompt.metrics.bootstrap import (
    RESAMPLES,
    Difference,
    Sampling,
    difference,
    false_discovery,
    interval,
    mean_precision,
    mean_without_each,
    precision_without_each,
    resampled_precision,
)
from zsprompt.metrics.calibration import Reliability, reliability
from zsprompt.metrics.decisions import F1Scores, Overall, TopK, f1_scores, hit_at_one, top_k
from zsprompt.metrics.ranking import (
    all_point_average_precision,
    average_precision,
    eleven_point_average_precision,
    precision_recall,
    seed_average_precision,
    seed_nothing,
)
from zsprompt.metrics.targets import DIFFICULT, Difficult, mean_over_labels, prevalence, resolve_targets

__all__ = [
    "DIFFICULT",
    "RESAMPLES",
    "Difference",
    "Difficult",
    "F1Scores",
    "Overall",
    "Reliability",
    "Sampling",
    "TopK",
    "all_point_average_precision",
    "average_precision",
    "difference",
    "eleven_point_average_precision",
    "f1_scores",
    "false_discovery",
    "hit_at_one",
    "interval",
    "mean_over_labels",
    "mean_precision",
    "mean_without_each",
    "precision_recall",
    "precision_without_each",
    "prevalence",
    "reliability",
    "resampled_precision",
    "resolve_targets",
    "seed_average_precision",
    "seed_nothing",
    "top_k",
]
