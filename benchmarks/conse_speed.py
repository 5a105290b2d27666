"""conse's classifier on ready pixels: pictures a second by batch size and memory format, and the page faults it costs.

    python benchmarks/conse_speed.py --out benchmarks/results/FILE.csv

Each row is the median of RUNS passes over the same random pixels, after one that is not counted. `faults` are minor
page faults a picture: memory that the system hands out and takes back again.
"""

from __future__ import annotations

import argparse
import resource
import time
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from zsprompt.encoders.conse import Conse

RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network = Conse(device="cpu")._classifier._network
    pixels = torch.randn(options.images, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    rows = []
    for (name, memory_format), batch in product(formats.items(), (1, 2, 4, 8, 16, 32)):
        laid_out = pixels.contiguous(memory_format=memory_format)
        passes = [once(network.to(memory_format=memory_format), laid_out, batch) for _ in range(1 + RUNS)][1:]
        rate = options.images / median(seconds for seconds, _ in passes)
        faults = median(count for _, count in passes) / options.images
        rows.append({"memory": name, "batch": batch, "pictures_per_s": rate, "faults": faults})
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, float_format="%.1f", lineterminator="\n")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.1f}"))


def once(network: Any, pixels: torch.Tensor, batch: int) -> tuple[float, int]:
    """(seconds, minor page faults) of one pass."""
    faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    with torch.inference_mode():
        for part in pixels.split(batch):
            network(part)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


if __name__ == "__main__":
    main()
