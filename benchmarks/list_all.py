"""list-all over all 1,048,576 subsets of the 20 labels of VOC: time, memory, and share of the peak of the machine.

    python benchmarks/list_all.py --out benchmarks/results/FILE.csv

There are three text spaces. A table of random directions measures only the strategy (enumeration, wording, scoring,
running sums). `tiny` runs over all candidates. A tower of the size of ViT-B/32 with random weights runs over the
subsets of at most --largest labels, scaled by tokens to all subsets. Each runs in a separate process, for its peak
memory. `peak_share` is the arithmetic per second of the tower relative to a large float32 matrix product, measured
before and after.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, peak_flops, random_vit_b32, save

import zsprompt as zs
from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt._utils.progress import quiet
from zsprompt.data.datasets.voc import label_names
from zsprompt.encoders.clip.token_trie import Trie
from zsprompt.strategies import list_all

WIDTH = 512
BLOCK = list_all._BLOCK


class Table:
    """A text space whose embeddings cost nothing: the checksum of a text chooses one of 65,536 random directions."""

    logit_scale = 100.0
    progress = staticmethod(quiet)

    def __init__(self) -> None:
        self.directions = unit_rows(np.random.default_rng(0).normal(size=(2**16, WIDTH)).astype(np.float32))

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        return self.directions[[zlib.crc32(text.encode()) & 0xFFFF for text in texts]]

    def fits(self, texts: Sequence[str]) -> Bools:
        return np.ones(len(texts), dtype=np.bool_)


def main() -> None:
    if len(sys.argv) == 6 and sys.argv[1] == "one":
        print(json.dumps(one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))))
        return
    options = arguments(__doc__, images=100, labels=20, largest=5)
    whole = nodes(options.labels, options.labels)
    with tempfile.TemporaryDirectory() as folder:
        big = str(random_vit_b32(Path(folder)))
        jobs = [("table", options.labels), ("tiny", options.labels), (big, options.largest)]
        rows = [job(space, options.images, options.labels, largest) for space, largest in jobs]
    for row in rows:
        run = nodes(options.labels, row["largest_subset"])
        row |= {"trie_nodes": run, "hours_for_all": row["seconds"] / 3600 * whole / run}
        if row["flops_a_node"]:
            row["peak_share"] = run * row["flops_a_node"] / row["seconds"] / row["peak_flops"]
    save(rows, options.out)


def job(space: str, images: int, labels: int, largest: int) -> dict[str, Any]:
    print(f"{Path(space).stem}, subsets of at most {largest} of {labels} labels …", flush=True)
    command = [sys.executable, "-W", "ignore", __file__, "one", space, str(images), str(labels), str(largest)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def one(name: str, images: int, labels: int, largest: int) -> dict[str, Any]:
    """Measure one run of list-all in this process."""
    peak = peak_flops()
    space: Any = Table() if name == "table" else zs.EmbeddingStore(zs.load_encoder(name, device="cpu"), cache=None)
    width = WIDTH if name == "table" else space.encoder.dim
    vectors = zs.Images(unit_rows(np.random.default_rng(1).normal(size=(images, width)).astype(np.float32)))
    start = time.perf_counter()
    answer = zs.ListAll(max_labels=largest).predict(vectors, label_names("readable")[:labels], space)
    taken = time.perf_counter() - start
    if not np.isfinite(answer.scores).all():
        raise SystemExit("expected finite scores, found others")
    return {
        "texts_from": Path(name).stem,
        "images": images,
        "labels": labels,
        "largest_subset": largest,
        "candidates": sum(1 for _ in list_all._subsets(labels, largest)),
        "seconds": taken,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "flops_a_node": 0 if name == "table" else flops_a_node(space.encoder.towers.model),
        "peak_flops": (peak + peak_flops()) / 2,
    }


def flops_a_node(model: Any) -> float:
    """Operations of the matrix products: 12 width² multiplications per layer, and the same number of additions."""
    return len(model.transformer.resblocks) * 24.0 * model.transformer.width**2


def nodes(labels: int, largest: int) -> int:
    """Number of trie nodes of all candidates, in the blocks of the run."""
    from common import clip

    from zsprompt.encoders.clip.tokens import Tokeniser

    tokeniser, names = Tokeniser(clip.clip._tokenizer), label_names("readable")[:labels]
    subsets = list_all._subsets(labels, largest)
    prompts, total = zs.load_prompts("bare"), 0
    while block := list(islice(subsets, BLOCK)):
        texts = prompts.texts([tuple(names[i] for i in subset) for subset in block])
        total += len(Trie.of(tokeniser(texts)))
    return total


if __name__ == "__main__":
    main()
