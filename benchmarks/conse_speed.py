"""The classifier of conse on decoded pixels: images per second by batch size, memory format and use of threads.

    python benchmarks/conse_speed.py --out benchmarks/results/FILE.csv

Each row is the median of RUNS passes over the same random pixels after a warm-up pass. `together`: all threads share a
batch, as in torch. `apart`: each thread has its own batches, as in zsprompt. `faults` are minor page faults per image:
memory that the system repeatedly allocates and frees. `peak_share` is the arithmetic (407 million multiplications and
additions per image, from the release table of EfficientNet-Lite) relative to a large float32 matrix product.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from itertools import product
from statistics import median
from typing import Any

import torch
from common import arguments, peak_flops, save

from zsprompt.encoders.conse.encoder import Conse

RUNS = 3
FLOPS = 2 * 407e6


def main() -> None:
    options = arguments(__doc__, images=96)
    classifier: Any = Conse(device="cpu")._classifier
    network, threads = classifier._networks[0].network, classifier._threads
    pixels = torch.randn(options.images, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    peak = peak_flops()
    rows = []
    ways: dict[str, Callable[..., Any]] = {"together": map, "apart": threads.map}
    for (name, memory_format), (way, over), batch in product(formats.items(), ways.items(), (1, 2, 4, 8, 16, 32)):
        laid_out = pixels.contiguous(memory_format=memory_format)
        passes = [once(network.to(memory_format=memory_format), laid_out, batch, over) for _ in range(1 + RUNS)][1:]
        rate = options.images / median(seconds for seconds, _ in passes)
        faults = median(count for _, count in passes) / options.images
        row = {"memory": name, "threads": way, "batch": batch, "pictures_per_s": round(rate, 1)}
        rows.append(row | {"faults": round(faults), "peak_share": round(rate * FLOPS / peak, 2)})
    save(rows, options.out)


def once(network: Any, pixels: torch.Tensor, batch: int, over: Callable[..., Any]) -> tuple[float, int]:
    """(seconds, minor page faults) of one pass."""

    def one(part: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = network(part)
            return logits

    faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
    list(over(one, pixels.split(batch)))
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


if __name__ == "__main__":
    main()
