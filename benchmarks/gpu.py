"""CLIP's towers on one CUDA GPU: images and texts per second, and memory, compared with the `clip` package.

    python benchmarks/gpu.py --out benchmarks/results/FILE.csv

Random weights of the architectures of ViT-B/32 and ViT-L/14, in float16. Images are already square, so reading and
scaling them is not counted. "copied" starts from images in the machine's memory, "on the GPU" from pixels that are
there. Texts are the candidates of top-all. All in interleaved rounds; a figure is the median.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import clip
import numpy as np
import torch
from clip.model import CLIP
from common import VIT_B32, arguments, save, seconds
from PIL import Image

from zsprompt.encoders.clip.openai_clip import OpenAIClip
from zsprompt.prompts import load_prompts

warnings.simplefilter("ignore")
VIT_L14 = (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12)
MODELS = {"ViT-B/32": VIT_B32, "ViT-L/14": VIT_L14}
NOUNS = "dog cat person car bus boat horse sheep cow bird chair sofa bottle bicycle train plant table plane motorbike"


def main() -> None:
    options = arguments(__doc__, images=2048, texts=10_000, rounds=5)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in MODELS.items():
            path = Path(folder) / "model.pt"
            torch.manual_seed(0)
            torch.save(CLIP(*shape).state_dict(), path)
            encoder = OpenAIClip.from_file(path, device="cuda")
            model = clip.load(str(path), device="cuda")[0]
            rows += images(name, encoder, model, options.images, options.rounds)
            rows += texts(name, encoder, model, options.texts, options.rounds)
            del encoder, model
            torch.cuda.empty_cache()
    gpu = torch.cuda.get_device_name()
    save([{"gpu": gpu, "torch": torch.__version__, **row} for row in rows], options.out)


def images(name: str, ours: OpenAIClip, theirs: Any, count: int, rounds: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    size = ours.image_size
    squares = [Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(count)]
    with torch.inference_mode():
        pixels = torch.cat(list(ours._pixels(squares))).half()
    ways: dict[str, Callable[[], object]] = {}
    for batch in (64, 512):
        ways[f"clip, on the GPU, batches of {batch}"] = lambda b=batch: parts(theirs.encode_image, pixels, b)
        ways[f"zsprompt, on the GPU, batches of {batch}"] = lambda b=batch: parts(ours.towers.image, pixels, b)
        ways[f"zsprompt, copied, batches of {batch}"] = lambda b=batch: [
            ours.encode_images(squares[start : start + b]) for start in range(0, count, b)
        ]
    return measured(name, "images", ways, count, rounds)


def parts(run: Callable[[torch.Tensor], torch.Tensor], pixels: torch.Tensor, batch: int) -> None:
    with torch.inference_mode():
        torch.cat([run(part) for part in pixels.split(batch)]).float().cpu()


def texts(name: str, ours: OpenAIClip, theirs: Any, count: int, rounds: int) -> list[dict[str, Any]]:
    """Candidates as top-all makes them: the labels of an image in the order of their scores, so prefixes are shared."""
    sets = [group for size in range(1, 6) for group in combinations(NOUNS.split(), size)][:count]
    words = load_prompts("photo").texts(sets)

    def padded() -> None:
        with torch.inference_mode():
            for start in range(0, len(words), 512):
                theirs.encode_text(clip.tokenize(words[start : start + 512]).cuda()).float().cpu()

    ways: dict[str, Callable[[], object]] = {
        "clip, batches of 512": padded,
        "zsprompt, token trie": lambda: ours.encode_texts(words),
    }
    return measured(name, "texts", ways, len(words), rounds)


def measured(
    name: str, of: str, ways: dict[str, Callable[[], object]], count: int, rounds: int
) -> list[dict[str, Any]]:
    """A row per way. The first call of each warms up; its peak memory is kept."""
    memory, times = {}, {way: [] for way in ways}  # type: ignore[var-annotated]
    for way, run in ways.items():
        torch.cuda.reset_peak_memory_stats()
        run()
        memory[way] = torch.cuda.max_memory_allocated() / 1e9
    for _ in range(rounds):
        for way, run in ways.items():
            times[way].append(seconds(run))
    return [
        {"model": name, "of": of, "way": way, "count": count, "per_second": count / median(times[way]), "peak_gb": gb}
        for way, gb in memory.items()
    ]


if __name__ == "__main__":
    main()
