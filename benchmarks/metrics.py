"""Time and peak memory of the metrics on COCO-sized input: 40,137 images × 80 labels, random scores.

    python benchmarks/metrics.py --out benchmarks/results/FILE.csv

Each row is the median of RUNS calls in one process, with its fastest and slowest; `rss_gain_mb` is what the process's
peak grew by.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from zsprompt import metrics

IMAGES, LABELS, RUNS = 40_137, 80, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    scores = random.normal(size=(options.images, LABELS)).astype(np.float32)
    targets = (random.random((options.images, LABELS)) < 0.036).astype(np.int8)
    targets[random.random(targets.shape) < 0.005] = -1
    decisions = scores > 1.5
    calls: dict[str, Callable[[], object]] = {
        "average_precision": lambda: metrics.average_precision(scores, targets),
        "eleven_point_average_precision": lambda: metrics.eleven_point_average_precision(scores, targets),
        "f1_scores": lambda: metrics.f1_scores(decisions, targets),
        "seed_average_precision": lambda: metrics.seed_average_precision(decisions, targets),
        "prevalence": lambda: metrics.prevalence(targets),
        "bootstrap_interval, 1000 resamples": lambda: metrics.bootstrap_interval(scores, targets),
    }
    rows = []
    for name, call in calls.items():
        before, seconds = peak(), []
        for _ in range(1 if name.startswith("bootstrap") else RUNS):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        row = {"metric": name, "median_s": median(seconds), "min_s": min(seconds), "max_s": max(seconds)}
        rows.append(row | {"rss_gain_mb": peak() - before})
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, float_format="%.3f", lineterminator="\n")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def peak() -> float:
    """Peak resident memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
