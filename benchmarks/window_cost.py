"""What the windows of images cost beside the images: milliseconds per image of 500 by 375 pixels.

    python benchmarks/window_cost.py --out benchmarks/results/FILE.csv
    python benchmarks/window_cost.py --device cuda --images 256 --out benchmarks/results/FILE.csv

`dense` is one pass over the larger image, `crops` the tower on each window alone, `classes` the class logits of conse
with the windows. Medians of interleaved rounds, on images that are prepared; preparing is extra. `times_…` is the cost
of both, images and windows, relative to that of the images. CLIP has random weights, which take the same time as real
ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
import torch
from clip.model import CLIP
from common import VIT_B32, arguments, save, seconds
from PIL import Image

import zsprompt as zs
from zsprompt.encoders import ClassEncoder
from zsprompt.encoders.clip.openai_clip import OpenAIClip

warnings.simplefilter("ignore")
TEXT = VIT_B32[5:]
RANDOM: dict[str, tuple[Any, ...]] = {
    "ViT-B/32": VIT_B32,
    "ViT-L/14": (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12),
    "RN50": (1024, 224, (3, 4, 6, 3), 64, None, *TEXT),
}
ON_CPU = ("conse", "conse,classifier=lite2", "tiny", "RN50", "ViT-B/32")
ON_GPU = ("RN50", "ViT-B/32", "ViT-L/14")


def main() -> None:
    options = arguments(__doc__, device="cpu", images=16, rounds=3)
    random = np.random.default_rng(0)
    images = [
        Image.fromarray(random.integers(0, 256, (375, 500, 3), dtype=np.uint8)).convert("RGB")
        for _ in range(options.images)
    ]
    rows = []
    for name, encoder in encoders(options.device):
        rows.append({"model": name, "device": machine(options.device)} | costs(encoder, images, options.rounds))
        print(rows[-1])
    save(rows, options.out)


def encoders(device: str) -> Iterator[tuple[str, Any]]:
    """The models, one after the other."""
    for name in ON_CPU if device == "cpu" else ON_GPU:
        if name not in RANDOM:
            yield name, zs.load_encoder(name, device=device)
            continue
        torch.manual_seed(0)
        state = CLIP(*RANDOM[name]).eval().state_dict()
        yield f"{name}, random weights", OpenAIClip.from_state(state, name=name, sha256="", device=device)


def machine(device: str) -> str:
    return "2 cores" if device == "cpu" else torch.cuda.get_device_name()


def costs(encoder: Any, images: list[Image.Image], rounds: int) -> dict[str, float]:
    """Milliseconds per image of each encoding, and relative costs."""
    grids = [encoder.grid(*image.size) for image in images]
    whole = [encoder.prepare(image) for image in images]
    larger = [encoder.prepare_windows(image, grid) for image, grid in zip(images, grids, strict=True)]
    crops = [encoder.prepare(image) for image in images for _ in range(len(grids[0]))]
    ways: dict[str, Callable[[], object]] = {
        "images": lambda: encoder.encode_images(whole),
        "dense": lambda: encoder.encode_windows(larger, grids),
        "crops": lambda: encoder.encode_images(crops),
    }
    if isinstance(encoder, ClassEncoder):
        ways["classes"] = lambda: encoder.encode_classes(larger, grids)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 + rounds):  # the first round warms up
        for way, work in ways.items():
            times[way].append(seconds(work))
    each = {way: 1000 * median(values[1:]) / len(images) for way, values in times.items()}
    relative = {f"times_{way}": round(1 + value / each["images"], 1) for way, value in each.items() if way != "images"}
    return {"windows": len(grids[0])} | {f"{way}_ms": round(value, 2) for way, value in each.items()} | relative


if __name__ == "__main__":
    main()
