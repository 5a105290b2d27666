"""Train `tiny`, the small CLIP that comes with zsprompt, on drawn scenes and their captions.

    python benchmarks/train_tiny.py --out zsprompt/encoders/clip/tiny.safetensors --curve benchmarks/results/FILE.csv

The model is `clip.model.CLIP` of OpenAI with a small residual tower. The loss is that of CLIP: each image against the
captions of its batch. Captions name some of the objects; neither labels nor test images are used. Ten times during
training, the model is evaluated on 500 validation images. The curve is written to --curve; nothing is chosen by it.
Training takes less than an hour on two processor cores.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from common import CLIP, clip, encode_rows
from safetensors.torch import save_file

from zsprompt import load_prompts, metrics
from zsprompt._utils.text import words_of
from zsprompt.data.scenes import captions, world
from zsprompt.data.scenes.chance import Chance
from zsprompt.prompts import available_prompts, neutral_words

RESOLUTION, DIM, CONTEXT = 96, 128, 77
VISION_LAYERS, VISION_WIDTH = (1, 2, 2, 2), 16
TEXT_WIDTH, TEXT_LAYERS = 128, 3
BATCH = 128
MICRO_BATCH = 64  # for the image tower: fits in the cache of the processor
UNKNOWN = 0  # row of the token table for every unseen token
FORGET = 0.02  # share of tokens replaced by UNKNOWN, so that its row is trained
LONG = 0.08  # share of batches with several captions in a row, which trains late positions too
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--curve", type=Path, required=True)
    parser.add_argument("--images", type=int, default=160_000)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    start = time.perf_counter()
    tokens = Tokens()
    pixels, scenes = draw([f"train {i}" for i in range(options.images)])
    print(f"{len(pixels)} images, {time.perf_counter() - start:.0f} s; {len(tokens.ids)} tokens", flush=True)
    text = (CONTEXT, len(tokens.ids) + 1, TEXT_WIDTH, TEXT_WIDTH // 64, TEXT_LAYERS)
    model = CLIP(DIM, RESOLUTION, VISION_LAYERS, VISION_WIDTH, None, *text).to(options.device)
    model.visual.to(memory_format=torch.channels_last)
    rows = train(model, tokens, pixels, scenes, options, start)
    save(model, tokens, options.out)
    pd.DataFrame(rows).to_csv(options.curve, index=False, lineterminator="\n")


class Tokens:
    """The token ids of CLIP in captions and shipped prompts, and their rows in a small table."""

    def __init__(self) -> None:
        encode = clip.clip._tokenizer.encode
        templates = [name for name in available_prompts() if not load_prompts(name).described]
        prompts = [text for name in templates for text in prompt_texts(name)]
        self.words = sorted(captions.vocabulary() | set(neutral_words()) | set(words_of(prompts)))
        pieces = {token for word in [*self.words, *", . : - ! ? 1 0 2021 's".split()] for token in encode(word)}
        self.ids = torch.tensor(sorted(pieces | {49406, 49407}))
        self._row = torch.full((49408,), UNKNOWN)
        self._row[self.ids] = torch.arange(1, len(self.ids) + 1)
        self.end = int(self._row[49407])

    def rows(self, texts: Sequence[str]) -> torch.Tensor:
        """[T, longest] rows of the table; the end token has the largest row, as in CLIP."""
        ids = clip.tokenize(list(texts), context_length=CONTEXT, truncate=True).long()
        ids = ids[:, : int((ids != 0).sum(dim=1).max())]
        rows = self._row[ids]
        # tokens after the end are ignored
        return torch.where(ids == 0, torch.ones_like(rows), rows)


def prompt_texts(name: str) -> list[str]:
    """The fixed words of a shipped prompt set."""
    prompts = load_prompts(name)
    texts = [text for texts in prompts.ensemble(["dog"]) for text in texts]
    for more in (lambda: prompts.absent(["dog"]), lambda: prompts.texts([(), ("dog",), ("dog", "cat", "car")])):
        try:
            texts += more()
        except Exception:  # a prompt set can lack sections
            continue
    return texts


def draw(seeds: Sequence[str]) -> tuple[np.ndarray, list[world.Scene]]:
    """[N, 96, 96, 3] uint8 images at the resolution of the model, and their scenes."""
    scenes = [world.compose(seed) for seed in seeds]
    pixels = np.empty((len(seeds), RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
    with multiprocessing.Pool() as pool:
        for i, painted_image in enumerate(pool.imap(painted, seeds, chunksize=64)):
            pixels[i] = painted_image
    return pixels, scenes


def painted(seed: str) -> np.ndarray:
    return np.asarray(world.paint(world.compose(seed)).resize((RESOLUTION, RESOLUTION), 3))


def train(
    model: Any,
    tokens: Tokens,
    pixels: np.ndarray,
    scenes: list[world.Scene],
    options: argparse.Namespace,
    start: float,
) -> list[dict[str, float]]:
    """One pass of `steps` batches with AdamW, warm-up and cosine decay; returns the curve."""
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=options.rate,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, options.steps))
    chance, order = Chance("train"), np.random.default_rng(0)
    validation = draw([f"validation {i}" for i in range(500)])
    rows, losses, queue = [], [], np.empty(0, dtype=np.int64)
    for step in range(1, options.steps + 1):
        if len(queue) < BATCH:
            queue = order.permutation(len(pixels))
        batch, queue = queue[:BATCH], queue[BATCH:]
        loss = batch_loss(model, tokens, pixels[batch], [scenes[i] for i in batch], chance, options.device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(float(loss.detach()))
        if step % max(1, options.steps // 20) == 0:
            rows.append(
                {"step": step, "seconds": round(time.perf_counter() - start), "loss": round(float(np.mean(losses)), 4)}
            )
            rows[-1] |= {"validation_mAP": round(measure(model, tokens, *validation, options.device), 4)}
            losses = []
            print(rows[-1], flush=True)
    return rows


def rate(step: int, steps: int) -> float:
    warm = max(1, min(300, steps // 10))
    return min(1.0, (step + 1) / warm) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps)))


def batch_loss(
    model: Any, tokens: Tokens, pixels: np.ndarray, scenes: list[world.Scene], chance: Chance, device: str
) -> torch.Tensor:
    """The loss of CLIP on one batch, with half of the images mirrored."""
    pixels = pixels.copy()
    for i, scene in enumerate(scenes):
        if chance.happens(0.5):
            pixels[i] = pixels[i, :, ::-1]
            scenes[i] = replace(scene, things=tuple(replace(thing, x=1 - thing.x) for thing in scene.things))
    count = 4 if chance.happens(LONG) else 1
    texts = [". ".join(captions.caption(scene, chance) for _ in range(count)) for scene in scenes]
    rows = tokens.rows(texts).to(device)
    forgotten = (torch.rand(rows.shape, device=device) < FORGET) & (rows != tokens.end)
    images = F.normalize(encode_images(model, pixels, device), dim=1)
    words = F.normalize(encode_rows(model, torch.where(forgotten, UNKNOWN, rows)), dim=1)
    logits = model.logit_scale.exp() * images @ words.T
    target = torch.arange(len(images), device=device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def encode_images(model: Any, pixels: np.ndarray, device: str) -> torch.Tensor:
    """[N, D] from [N, 96, 96, 3] uint8."""
    mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in (MEAN, STD))
    parts = []
    for i in range(0, len(pixels), MICRO_BATCH):
        part = torch.from_numpy(pixels[i : i + MICRO_BATCH]).to(device).permute(0, 3, 1, 2)
        parts.append(model.visual((part.float() / 255 - mean) / std))
    return torch.cat(parts)


@torch.no_grad()
def measure(model: Any, tokens: Tokens, pixels: np.ndarray, scenes: list[world.Scene], device: str) -> float:
    """mAP of normalised:per-label with "a photo of a …"."""
    model.eval()
    images = F.normalize(encode_images(model, pixels, device), dim=1).cpu().numpy()
    texts = [texts[0] for texts in load_prompts("photo").ensemble(list(world.KINDS))]
    words = F.normalize(encode_rows(model, tokens.rows(texts).to(device)), dim=1).cpu().numpy()
    model.train()
    scores = images @ words.T
    z = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    targets = np.array([[kind in scene.kinds for kind in world.KINDS] for scene in scenes], dtype=np.int8)
    return metrics.mean_over_labels(metrics.average_precision(z, targets))


def save(model: Any, tokens: Tokens, path: Path) -> None:
    """The state dict of OpenAI in float16, with only the rows of tokens that occur."""
    state = {key: value.half().contiguous() for key, value in model.state_dict().items() if value.is_floating_point()}
    state["token_ids"] = tokens.ids.int()
    save_file(state, path, metadata={"words": json.dumps(tokens.words)})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {len(tokens.words)} words")


if __name__ == "__main__":
    main()
