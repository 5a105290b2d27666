"""Every strategy with every prompt set that suits it, through the command line.

    python benchmarks/strategies.py --root VOCdevkit --model conse --out benchmarks/results/FILE.csv
    python benchmarks/strategies.py --dataset scenes --out benchmarks/results/FILE.csv

Each row is one `zsprompt run`: first with an empty cache (cold), then WARM times with the filled cache. Seconds are of
complete processes, including start-up and imports. Rows that are already in the file are not run again, so the command
can be stopped and repeated. `mAP_reported_half` is over the odd positions of the list; no constant of conse was chosen
on these images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from zsprompt import load_dataset, load_prompts, metrics
from zsprompt.llm.rewrites import random_words, save_prompts

SINGLE = ("photo", "bare", "seed-paper", "ensemble", "adds", "adds-contains", "adds-is-a")
SETS = ("bare", "seed-paper", "seed-code", "photo")
ROWS = [
    *(("per-label", prompts) for prompts in SINGLE),
    *(("normalised:per-label", prompts) for prompts in SINGLE),
    *(("yes-or-no", prompts) for prompts in SETS),
    *(("top-all", prompts) for prompts in SETS),
    ("top-all,order=alphabetical", "bare"),
    *(("list-all,max_labels=2", prompts) for prompts in SETS),
    ("llm", "bare"),
]
DESCRIBED = [
    (strategy, prompts)
    for prompts in ("describe-{}", "random-words-{}")  # the second is the control of the first
    for strategy in ("per-label", "normalised:per-label")
]
WHOLE = [("list-all", prompts) for prompts in SETS]  # where all subsets can be stored
KEPT = 2**16
WARM = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--root", type=Path, help="the VOCdevkit folder, for voc")
    parser.add_argument("--model", help="default: the model of the data set")
    parser.add_argument("--limit", type=int, help="only the first N images, for a quick check")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = load_dataset(options.dataset, root=options.root)
    rows = [*ROWS, *((strategy, prompts.format(options.dataset)) for strategy, prompts in DESCRIBED)]
    rows += WHOLE if 2 ** len(data.labels) <= KEPT else []
    with tempfile.TemporaryDirectory() as folder:
        options.control = Path(folder) / "random-words.toml"
        described = load_prompts(f"describe-{options.dataset}")
        words = random_words(described, data.labels)
        save_prompts(options.control, about="The control.", source="random words", described=words)
        measure_all(rows, options, data.targets)


def measure_all(rows: list[tuple[str, str]], options: argparse.Namespace, targets: np.ndarray) -> None:
    done = pd.read_csv(options.out).to_dict("records") if options.out.exists() else []
    for strategy, prompts in rows:
        if any((row["strategy"], row["prompts"]) == (strategy, prompts) for row in done):
            continue
        done.append({"strategy": strategy, "prompts": prompts} | measure(strategy, prompts, options, targets))
        order = {row: i for i, row in enumerate(rows)}
        done.sort(key=lambda row: order[row["strategy"], row["prompts"]])
        pd.DataFrame(done).to_csv(options.out, index=False, float_format="%.4f", lineterminator="\n")
        print(f"{strategy} {prompts}: {len(done)} of {len(rows)} rows", flush=True)


def measure(strategy: str, prompts: str, options: argparse.Namespace, targets: np.ndarray) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        seconds, results = [], []
        for _ in range(1 + WARM):
            start = time.perf_counter()
            results.append(run(strategy, prompts, options, Path(folder)))
            seconds.append(time.perf_counter() - start)
        scores = pd.read_csv(Path(folder) / "out" / "scores.csv").iloc[:, 4:].to_numpy(np.float32)
    cold, warm = results[0], results[1]
    if warm["texts_encoded"] or warm["images_encoded"]:
        raise SystemExit(f"{strategy} {prompts}: the warm run encoded something")
    half = metrics.average_precision(scores[1::2], targets[: len(scores)][1::2])
    low, high = cold["mAP_interval"]
    return {
        "mAP": cold["mAP"],
        "mAP_low": low,
        "mAP_high": high,
        "mAP_reported_half": metrics.mean_over_labels(half),
        "seed_mAP": cold["seed_mAP"],
        "seed_mAP_nothing": cold["seed_mAP_nothing"],
        "sample_f1": cold["sample_f1"],
        "texts_encoded": cold["texts_encoded"],
        "seconds_cold": round(seconds[0], 1),
        "seconds_warm": round(median(seconds[1:]), 1),
    }


def run(strategy: str, prompts: str, options: argparse.Namespace, folder: Path) -> dict:
    command = [
        *(Path(sys.executable).parent / "zsprompt", "run", "--strategy", strategy),
        *("--prompts", options.control if prompts.startswith("random-words-") else prompts),
        *("--dataset", options.dataset + (f",limit={options.limit}" if options.limit else "")),
        *(("--root", options.root) if options.root else ()),
        *(("--model", options.model) if options.model else ()),
        *("--cache", folder / "cache", "--out", folder / "out", "--json"),
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{strategy} {prompts}: {done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
