"""The overhead of the embedding store: embeddings per second in and out, and their size on disk.

    python benchmarks/store.py --out benchmarks/results/FILE.csv

An encoder that costs nothing returns random vectors of the width of ViT-B/32. The benchmark therefore measures keys,
checksums, SQLite and bookkeeping. `tower_s` is the time of a text tower of the size of ViT-B/32 for the same number of
texts at --rate texts per second. `share` is the part of the store (in and out) in both together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, save, seconds

import zsprompt as zs
from zsprompt._utils.arrays import Floats
from zsprompt._utils.byte_cache import ByteCache


class Free(zs.Encoder):
    """Random vectors, drawn once."""

    name, fingerprint, dim, logit_scale, context_length, text_batch = "free", "free/1", 512, 100.0, None, 1024

    def __init__(self) -> None:
        self._rows = np.random.default_rng(0).normal(size=(1024, self.dim)).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return self._rows[: len(texts)]

    def encode_images(self, images: Sequence[Any]) -> Floats:
        return self._rows[: len(images)]


def main() -> None:
    options = arguments(__doc__, largest=1_000_000, rate=1000.0)
    rows = []
    for count in (10_000, 100_000, 1_000_000):
        if count <= options.largest:
            rows.append(measure(count, options.rate))
            print(rows[-1], flush=True)
    save(rows, options.out)


def measure(count: int, rate: float) -> dict[str, Any]:
    texts = [f"text number {n}" for n in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        with zs.EmbeddingStore(Free(), cache=folder) as store:
            into = seconds(lambda: store.texts(texts))
        with zs.EmbeddingStore(Free(), cache=folder) as store:
            out = seconds(lambda: store.texts(texts))
            if store.counts.texts_encoded:
                raise SystemExit("a stored text was encoded again")
        cache = ByteCache(Path(folder))
        size = cache.info().bytes
        cache.close()
    row = {"embeddings": count, "in_per_s": count / into, "out_per_s": count / out, "bytes_each": size / count}
    return row | {"tower_s": count / rate, "share": (into + out) / (into + out + count / rate)}


if __name__ == "__main__":
    main()
