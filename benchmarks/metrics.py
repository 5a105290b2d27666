"""Time and memory of the metrics on input of the size of COCO: 40,137 images × 80 labels, random scores.

    python benchmarks/metrics.py --out benchmarks/results/FILE.csv

Each row is the median of RUNS calls in one process (one call for a bootstrap), with the fastest and the slowest.
`peak_mb` is the peak memory of a further call, without its input.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from zsprompt import metrics
from zsprompt._utils.arrays import Floats, Targets

IMAGES, LABELS, RUNS = 40_137, 80, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for name, call in calls(options.images).items():
        seconds = [timed(call) for _ in range(1 if "resamples" in name else RUNS)]
        row = {"metric": name, "median_s": median(seconds), "min_s": min(seconds), "max_s": max(seconds)}
        rows.append(row | {"peak_mb": peak(call)})
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, float_format="%.3f", lineterminator="\n")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def calls(images: int) -> dict[str, Callable[[], object]]:
    """The measured calls by name."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(images, LABELS)).astype(np.float32)
    targets = (random.random((images, LABELS)) < 0.036).astype(np.int8)
    targets[random.random(targets.shape) < 0.005] = -1
    other = scores + random.normal(size=scores.shape).astype(np.float32)
    tied, decisions = np.round(scores, 1), scores > 1.5
    probabilities = 1 / (1 + np.exp(-scores))
    return {
        "average_precision": lambda: metrics.average_precision(scores, targets),
        "eleven_point_average_precision": lambda: metrics.eleven_point_average_precision(scores, targets),
        "all_point_average_precision": lambda: metrics.all_point_average_precision(scores, targets),
        "precision_recall of every label": lambda: [
            metrics.precision_recall(scores, targets, c) for c in range(LABELS)
        ],
        "f1_scores": lambda: metrics.f1_scores(decisions, targets),
        "top_k, 3": lambda: metrics.top_k(scores, targets, decisions, 3),
        "top_k, 3, many ties": lambda: metrics.top_k(tied, targets, decisions, 3),
        "hit_at_one": lambda: metrics.hit_at_one(scores, targets),
        "reliability": lambda: metrics.reliability(probabilities, targets),
        "seed_average_precision": lambda: metrics.seed_average_precision(decisions, targets),
        "prevalence": lambda: metrics.prevalence(targets),
        "mean_without_each": lambda: metrics.mean_without_each(scores, targets),
        "interval, 1000 resamples": lambda: metrics.interval(sampled(scores, targets)),
        "paired difference, 1000 resamples": lambda: compare(scores, other, targets),
    }


def compare(first: Floats, second: Floats, targets: Targets) -> metrics.Difference:
    """A complete comparison of two scorers: both mAPs, their resamples, and the difference."""
    return metrics.difference(sampled(first, targets), sampled(second, targets))


def sampled(scores: Floats, targets: Targets) -> metrics.Sampling:
    """The sampling variation of the mAP."""
    value = metrics.mean_over_labels(metrics.average_precision(scores, targets))
    drawn = metrics.mean_precision(metrics.resampled_precision(scores, targets))
    return metrics.Sampling(value, drawn, metrics.mean_without_each(scores, targets))


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak(call: Callable[[], object]) -> float:
    """Peak memory of the arrays during a call, in MB."""
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


if __name__ == "__main__":
    main()
