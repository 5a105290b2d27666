"""Label-free strategies: what each wrapper adds, alone and stacked, and what it costs.

    python benchmarks/label_free.py --root VOCdevkit --model conse --out benchmarks/results/FILE.csv
    python benchmarks/label_free.py --dataset scenes --limit 1000 --out benchmarks/results/FILE.csv

The constants were chosen on the images at even positions; `reported` is over those at odd positions, with a paired
interval of its change against the first row. A transductive strategy sees all images, and is judged on the same halves.
`lowest` is the label with the lowest AP over all images. `seconds` are processor seconds of a strategy whose images,
windows and texts are stored.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import save

import zsprompt as zs
from zsprompt import Dataset, Prediction, Result, load_dataset, load_encoder, load_strategy, metrics
from zsprompt.errors import ModelError, UsageError
from zsprompt.evaluation.run import run
from zsprompt.store import EmbeddingStore

STEPS = (
    "per-label",
    "normalised:per-label",
    "softmax:per-label",
    "softmax:per-label,reference=labels",
    "matched:per-label",
    "regions:per-label",
    "normalised:regions:per-label",
    "softmax:regions:per-label",
    "softmax:regions:per-label,reference=labels",
    "matched:regions:per-label",
    "self-training:per-label",
    "self-training:normalised:per-label",
    "self-training:softmax:per-label",
    "self-training:normalised:regions:per-label",
    "self-training:softmax:regions:per-label",
    "self-training:matched:regions:per-label",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--root", type=Path, help="the VOCdevkit folder, for voc")
    parser.add_argument("--model", help="default: the model of the data set")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = load_dataset(options.dataset, root=options.root)
    data = data.first(options.limit) if options.limit else data
    encoder = load_encoder(options.model or data.model or "conse")
    rows: list[dict[str, Any]] = []
    first: Result | None = None
    with EmbeddingStore(encoder) as store:
        for spec in STEPS:
            result = measure(spec, data, store)
            if result is None:
                continue
            first = first or result
            seconds = timed(lambda spec=spec: run(strategy_of(spec, data), data, store, resamples=10))
            rows.append(row(spec, result, first) | {"seconds": seconds})
            print({key: value for key, value in rows[-1].items() if key in ("strategy", "mAP", "reported", "micro_f1")})
    save(rows, options.out)


def strategy_of(spec: str, data: Dataset) -> zs.Strategy:
    """The strategy; self-training may learn from as few images as there are."""
    fewest = f",fewest={len(data.images)}" if spec.startswith("self-training:") and len(data.images) < 1000 else ""
    return load_strategy(spec + fewest)


def measure(spec: str, data: Dataset, store: EmbeddingStore) -> Result | None:
    """The result over all images; None if the model does not suit the strategy."""
    try:
        return run(strategy_of(spec, data), data, store)
    except (UsageError, ModelError) as error:
        print(f"{spec}: {error}")
        return None


def timed(work: Any) -> float:
    """Processor seconds of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


def row(spec: str, result: Result, first: Result) -> dict[str, Any]:
    """One line of the table."""
    chosen, reported = half(result, 0), half(result, 1)
    change = zs.compare(half(first, 1), reported).mAP
    ap = metrics.average_precision(result.prediction.scores, result.targets)
    lowest = int(np.nanargmin(ap))
    return {
        "strategy": spec,
        "supervision": result.recipe["supervision"],
        "mAP": metrics.average_precision(result.prediction.scores, result.targets)[~np.isnan(ap)].mean(),
        "chosen": mean_ap(chosen),
        "reported": mean_ap(reported),
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
        "micro_f1": micro_f1(reported),
        "lowest": result.labels[lowest],
        "lowest_ap": ap[lowest],
    }


def half(result: Result, start: int) -> Result:
    """The result on every second image, from position `start` on."""
    rows = np.arange(start, len(result.images), 2)
    answer = result.prediction
    part = Prediction(answer.scores[rows], answer.decisions[rows])
    images = tuple(result.images[i] for i in rows)
    return replace(result, images=images, prediction=part, targets=result.targets[rows])


def mean_ap(result: Result) -> float:
    return float(np.nanmean(metrics.average_precision(result.prediction.scores, result.targets)))


def micro_f1(result: Result) -> float:
    yes, targets = result.prediction.decisions, result.targets
    right, wrong = int((yes & (targets == 1)).sum()), int((yes & (targets == 0)).sum())
    return 2 * right / (right + wrong + int((targets == 1).sum()))


if __name__ == "__main__":
    main()
