"""The complete image path (read, decode, resize, encode, store) against the tower alone on ready tensors.

    python benchmarks/image_path.py --root VOCdevkit --out benchmarks/results/FILE.csv

The models are the size of ViT-B/32 with random weights, and conse, on a CPU with the batches of the store. Rounds of
both are interleaved in one process. `share` is the median over rounds of (seconds alone / seconds of the whole path).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from common import arguments, random_vit_b32, save, seconds

import zsprompt as zs
from zsprompt.data.images import decode


def main() -> None:
    options = arguments(__doc__, root=Path, limit=192, rounds=3)
    data = zs.load_dataset("voc", root=options.root).first(options.limit)
    with tempfile.TemporaryDirectory() as folder:
        models = {"ViT-B/32 (random weights)": str(random_vit_b32(Path(folder))), "conse": "conse"}
        rows = [measure(name, model, data, options.rounds, Path(folder)) for name, model in models.items()]
    save(rows, options.out)


def measure(name: str, model: str, data: zs.Dataset, rounds: int, folder: Path) -> dict[str, Any]:
    encoder = zs.load_encoder(model, device="cpu")
    ready = [encoder.prepare(decode(ref.read())) for ref in data.images]
    batches = [ready[i : i + 64] for i in range(0, len(ready), 64)]
    encoder.encode_images(batches[0])
    alone, whole = [], []
    for number in range(rounds):
        alone.append(seconds(lambda: [encoder.encode_images(batch) for batch in batches]))
        with zs.EmbeddingStore(encoder, cache=folder / f"{encoder.dim}-{number}") as store:
            whole.append(seconds(lambda store=store: store.images(data.images)))
    return {
        "model": name,
        "pictures": len(ready),
        "alone_pictures_per_s": len(ready) / median(alone),
        "whole_path_pictures_per_s": len(ready) / median(whole),
        "share": median(a / w for a, w in zip(alone, whole, strict=True)),
    }


if __name__ == "__main__":
    main()
