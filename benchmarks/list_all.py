"""list-all over all 1,048,576 subsets of VOC's 20 labels: time and memory of the strategy itself.

    python benchmarks/list_all.py --out benchmarks/results/FILE.csv

Texts are looked up in a table of random directions instead of being embedded, so that what is measured is the
enumeration, the wording, the scoring and the running sums, not a model.
"""

from __future__ import annotations

import argparse
import resource
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zsprompt import Images, ListAll
from zsprompt.arrays import Bools, Floats, unit_rows
from zsprompt.datasets.voc import label_names

WIDTH = 512


class Table:
    """A text space whose embeddings cost nothing: a text's checksum chooses one of 65,536 random directions."""

    logit_scale = 100.0

    def __init__(self) -> None:
        self.directions = unit_rows(np.random.default_rng(0).normal(size=(2**16, WIDTH)).astype(np.float32))

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        return self.directions[[zlib.crc32(text.encode()) & 0xFFFF for text in texts]]

    def fits(self, texts: Sequence[str]) -> Bools:
        return np.ones(len(texts), dtype=np.bool_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    space, rows = Table(), []
    for count in options.images:
        images = Images(unit_rows(np.random.default_rng(1).normal(size=(count, WIDTH))))
        start = time.perf_counter()
        answer = ListAll().predict(images, label_names("readable")[: options.labels], space)
        if not np.isfinite(answer.scores).all():
            raise SystemExit("a score is not finite")
        row = {"images": count, "candidates": 2**options.labels, "seconds": time.perf_counter() - start}
        rows.append(row | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000})
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, float_format="%.1f", lineterminator="\n")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.1f}"))


if __name__ == "__main__":
    main()
