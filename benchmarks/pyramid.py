"""Pyramid-Forwarding against the tower at full size: operations by formula, seconds, and memory.

    python benchmarks/pyramid.py --out benchmarks/results/FILE.csv

An image of S · d pixels per side with all its tokens is encoded in two ways. `pyramid` cuts it into patches of S;
`full size` gives the tower the whole image, with an interpolated positional embedding. Operations (multiplications and
additions) are those of the products with fixed weights (`linear`), which grow with the number of tokens, and of the
attention, which grow with its square. `towers` is their sum as a multiple of the tower at S.

ViT-B/32 with random weights is also run, about 1,600 tokens at a time in both ways: seconds per image, medians of
interleaved rounds. `linear_s` and `attention_s` are the durations of these parts of the layers alone. `extra_mb` is the
peak memory of a separate process beyond the loaded model, including the one-time buffers of torch. ViT-L/14@336px, the
model of the publication, has only the formula.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import arguments, median_seconds, random_vit_b32, save, seconds
from PIL import Image

from zsprompt.encoders.clip.openai_clip import OpenAIClip
from zsprompt.encoders.clip.products import products
from zsprompt.encoders.clip.transformer import Layer
from zsprompt.encoders.pyramid import Pyramid

FACTORS = (1, 2, 4)
WAYS = ("pyramid", "full size")
BATCH = 32  # patches that OpenAIClip runs at a time on a CPU


@dataclass(frozen=True)
class Tower:
    """Sizes of a vision transformer: pixels per side, pixels per side of a patch, width, layers, embedding width."""

    side: int
    patch: int
    width: int
    layers: int
    dim: int

    def tokens(self, d: int) -> int:
        return 1 + (d * self.side // self.patch) ** 2

    def operations(self, tokens: int) -> tuple[float, float]:
        """(linear, attention) operations for one image with this number of tokens."""
        a_layer = 12 * self.width**2  # queries, keys, values: 3; output: 1; feed-forward: 8
        ends = 3 * self.patch**2 * self.width + self.width * self.dim
        return 2.0 * tokens * (self.layers * a_layer + ends), 4.0 * tokens**2 * self.width * self.layers


B32 = Tower(224, 32, 768, 12, 512)
L14 = Tower(336, 14, 1024, 24, 768)


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(extra_mb(*sys.argv[2:])))
        return
    options = arguments(__doc__, images=16, rounds=5)
    rows = [formula(name, t, way, d) for name, t in (("ViT-B/32", B32), ("ViT-L/14@336px", L14)) for d, way in cells()]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_vit_b32(Path(folder))
        measure(rows[: len(cells())], checkpoint, options.images, options.rounds)
    save(rows, options.out)


def cells() -> list[tuple[int, str]]:
    return [(d, way) for d in FACTORS for way in WAYS if d > 1 or way == "pyramid"]


def formula(name: str, tower: Tower, way: str, d: int) -> dict[str, Any]:
    runs = sum(4**level for level in range((d - 1).bit_length() + 1)) if way == "pyramid" else 1
    linear, attention = tower.operations(tower.tokens(1 if way == "pyramid" else d))
    base = sum(tower.operations(tower.tokens(1)))
    return {
        "tower": name,
        "pixels": tower.side * d,
        "way": way if d > 1 else "tower",
        "tokens": runs * tower.tokens(1 if way == "pyramid" else d),
        "linear_gflop": runs * linear / 1e9,
        "attention_gflop": runs * attention / 1e9,
        "towers": runs * (linear + attention) / base,
    }


def measure(rows: list[dict[str, Any]], checkpoint: Path, images: int, rounds: int) -> None:
    """Add the measured columns to `rows`, one row per cell."""
    encoders = [encoder_for(checkpoint, way, d) for d, way in cells()]
    block = OpenAIClip.from_file(checkpoint, device="cpu").towers.model.visual.transformer.resblocks[0]
    layer = Layer(block, products("cpu", "auto"))
    ready = [[encoder.prepare(image) for image in random_images(images)] for encoder in encoders]
    timings: list[list[tuple[float, float, float]]] = [[] for _ in rows]  # per cell and round: whole, linear, attention
    for round_ in range(rounds + 1):
        for one, encoder, some, row, (d, way) in zip(timings, encoders, ready, rows, cells(), strict=True):
            whole = seconds(lambda encoder=encoder, some=some: encoder.encode_tokens(some)) / images  # type: ignore[misc]
            one += [(whole, *parts(layer, way, d, row["tokens"]))] if round_ else []
    for one, row, (d, way) in zip(timings, rows, cells(), strict=True):
        row |= dict(zip(("seconds", "linear_s", "attention_s"), map(median, zip(*one, strict=True)), strict=True))
        row["times"] = median(here[0] / base[0] for here, base in zip(one, timings[0], strict=True))
        command = [sys.executable, "-W", "ignore", __file__, "one", checkpoint, way, d, images]
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
        row["extra_mb"] = json.loads(done.stdout)


def encoder_for(checkpoint: Path, way: str, d: int) -> Any:
    encoder = OpenAIClip.from_file(checkpoint, device="cpu")
    return Pyramid(encoder, d=d) if way == "pyramid" else at_full_size(encoder, d)


def at_full_size(encoder: OpenAIClip, d: int) -> OpenAIClip:
    """`encoder` for images of d times its size, with an interpolated positional embedding."""
    visual = encoder.towers.model.visual
    grid = B32.side // B32.patch
    first, places = visual.positional_embedding[:1], visual.positional_embedding[1:]
    square = places.T.reshape(1, -1, grid, grid)
    more = torch.nn.functional.interpolate(square, scale_factor=d, mode="bicubic", align_corners=False)
    every = torch.cat([first, more.flatten(2)[0].T]).detach()
    visual.positional_embedding = torch.nn.Parameter(every, requires_grad=False)
    encoder.image_size, encoder.token_shape = B32.side * d, (len(every), encoder.dim)
    encoder._images_at_once = BATCH // d**2  # the same number of tokens at a time as for the patches
    return encoder


def random_images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (900, 1000, 3), dtype=np.uint8)) for _ in range(count)]


def parts(layer: Layer, way: str, d: int, tokens: int) -> tuple[float, float]:
    """Seconds per image of the linear part of the layers and of the attention, each run alone."""
    at_a_time, length = (BATCH, B32.tokens(1)) if way == "pyramid" else (BATCH // d**2, tokens)
    share = B32.layers * tokens / (at_a_time * length)
    states = torch.randn(at_a_time, length, B32.width)
    heads = torch.randn(3, at_a_time, layer.heads, length, B32.width // layer.heads)

    def linear() -> torch.Tensor:
        layer.attention_input(states)
        return layer.feed_forward(layer._mixed(states))

    with torch.inference_mode():
        alone = median_seconds(linear)
        attention = median_seconds(lambda: torch.nn.functional.scaled_dot_product_attention(*heads))
    return share * alone, share * attention


def extra_mb(checkpoint: str, way: str, d: str, images: str) -> float:
    """Peak memory of encoding minus that of the loaded model, in this process."""
    encoder = encoder_for(Path(checkpoint), way, int(d))
    ready = [encoder.prepare(image) for image in random_images(int(images))]
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = memory_mb("VmRSS")
    encoder.encode_tokens(ready)
    return memory_mb("VmHWM") - before


def memory_mb(kind: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
