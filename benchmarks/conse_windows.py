"""What the windows and class logits of conse cost beside its images: milliseconds per photograph, on prepared images.

    python benchmarks/conse_windows.py --root VOCdevkit --out benchmarks/results/FILE.csv

Medians of interleaved rounds. `square` is a photograph scaled to a square, whose windows cover most places.
`times_images` is the cost of both, the images and their windows (or class logits), relative to that of the images.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from common import arguments, save, seconds

import zsprompt as zs
from zsprompt.data.images import decode

MODELS = ("conse", "conse,classifier=lite2", "conse,classifier=lite0+lite2")


def main() -> None:
    options = arguments(__doc__, root=Path, limit=48, rounds=3)
    photos = [decode(ref.read()) for ref in zs.load_dataset("voc", root=options.root).first(options.limit).images]
    squares = [photo.resize((max(photo.size),) * 2) for photo in photos]
    rows = []
    for name in MODELS:
        encoder: Any = zs.load_encoder(name, device="cpu")
        for shape, images in (("as they are", photos), ("square", squares)):
            rows.append({"model": name, "shape": shape} | costs(encoder, images, options.rounds))
    save(rows, options.out)


def costs(encoder: Any, images: list[Any], rounds: int) -> dict[str, float]:
    """Milliseconds per image of each encoding, and relative costs."""
    grids = [encoder.grid(*image.size) for image in images]
    whole = [encoder.prepare(image) for image in images]
    larger = [encoder.prepare_windows(image, grid) for image, grid in zip(images, grids, strict=True)]
    ways = {
        "images": lambda: encoder.encode_images(whole),
        "windows": lambda: encoder.encode_windows(larger, grids),
        "classes": lambda: encoder.encode_classes(larger, grids),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 + rounds):  # the first round warms up
        for way, work in ways.items():
            times[way].append(seconds(work))
    each = {way: 1000 * median(values[1:]) / len(images) for way, values in times.items()}
    relative = {f"times_images_{way}": 1 + each[way] / each["images"] for way in ("windows", "classes")}
    windows = sum(len(grid.windows()) for grid in grids) / len(grids)
    rounded = {f"{way}_ms": round(value, 1) for way, value in each.items()}
    return {"windows": round(windows, 1)} | rounded | {key: round(value, 1) for key, value in relative.items()}


if __name__ == "__main__":
    main()
