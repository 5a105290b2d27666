"""The growth of time and memory of a run with the number of images and labels.

    python benchmarks/growth.py --out benchmarks/results/FILE.csv --plot benchmarks/growth.png

Drawn scenes with `tiny`, top-all in rank order (the strategy with the most texts) and normalised:per-label. Each cell
is a separate process, first with an empty cache and then with a filled one. Labels are the sixteen kinds and then
words of the neutral vocabulary, which are on no image. Cells with too large a cache are skipped (--largest-cell
images × labels).
Exponents are the slopes of log(seconds) and log(peak memory) between the last two sizes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import zsprompt as zs
from zsprompt.prompts import neutral_words

COLOURS = {10: "#1b6ca8", 20: "#d1495b", 80: "#3a7d44"}


def main() -> None:
    if len(sys.argv) == 6 and sys.argv[1] == "one":
        print(json.dumps(one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[500, 5_000, 50_000])
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 20, 80])
    parser.add_argument("--largest-cell", type=int, default=1_000_000, help="maximum images × labels of a top-all run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = []
    for strategy in ("normalised:per-label", "top-all"):
        for labels in options.labels:
            for images in options.images:
                if strategy == "top-all" and images * labels > options.largest_cell:
                    continue
                with tempfile.TemporaryDirectory() as cache:
                    for state in ("cold", "warm"):
                        rows.append({"state": state} | job(strategy, images, labels, cache))
                        print(rows[-1], flush=True)
    table = exponents(pd.DataFrame(rows))
    table.to_csv(options.out, index=False, float_format="%.4g", lineterminator="\n")
    print(table.to_string(index=False))
    if options.plot:
        plot(table, options.plot)


def job(strategy: str, images: int, labels: int, cache: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", __file__, "one", strategy, str(images), str(labels), cache]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def one(strategy: str, images: int, labels: int, cache: str) -> dict[str, Any]:
    """Measure one run in this process."""
    start = time.perf_counter()
    data = zs.load_dataset("scenes", split=f"test:{images}")
    words = [
        *data.labels,
        *(word for word in neutral_words() if word not in data.labels),
        *map("thing {}".format, range(99)),
    ]
    targets = np.zeros((images, max(labels, len(data.labels))), dtype=np.int8)
    targets[:, : len(data.labels)] = data.targets
    data = replace(data, labels=tuple(words[:labels]), targets=targets[:, :labels])
    with zs.EmbeddingStore(zs.load_encoder("tiny", device="cpu"), cache=cache) as store:
        result = zs.run(zs.load_strategy(strategy), data, store, resamples=100)
    size = sum(path.stat().st_size for path in Path(cache).iterdir())
    return {
        "strategy": strategy,
        "pictures": images,
        "labels": labels,
        "seconds": time.perf_counter() - start,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "texts": result.counts["texts_encoded"] + result.counts["texts_cached"],
        "cache_mb": size / 1e6,
    }


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the slopes from the previous size, where there is one."""
    keys = ["strategy", "state", "labels"]
    table = table.sort_values([*keys, "pictures"]).reset_index(drop=True)
    before = table.groupby(keys).shift(1)
    grown = np.log(table["pictures"] / before["pictures"])
    for column in ("seconds", "peak_mb"):
        table[f"{column}_exponent"] = (np.log(table[column] / before[column]) / grown).round(2)
    return table


def plot(table: pd.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for (strategy, state, labels), rows in table.groupby(["strategy", "state", "labels"]):
        style = {"color": COLOURS.get(labels, "grey"), "linestyle": "-" if state == "cold" else ":"}
        style |= {"marker": "o" if strategy == "top-all" else "s", "markersize": 5}
        name = f"{strategy}, {labels} labels, {state}"
        for axis, column in zip(axes, ("seconds", "peak_mb"), strict=True):
            axis.loglog(rows["pictures"], rows[column], label=name, **style)
    for axis, title in zip(axes, ("seconds of a run", "peak memory, MB"), strict=True):
        axis.set_title(title, loc="left")
        axis.set_xlabel("images")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
