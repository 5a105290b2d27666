"""Models of open_clip at their true size against open_clip itself: the same embeddings, and how fast.

    python benchmarks/open_clip_families.py --out benchmarks/results/FILE.csv

Weights are random, which take the same time as real ones. The texts are the prefixes of random rankings of VOC2007's
labels, worded as a sentence, as top-all asks for; those that do not fit the model's context are left out. `difference`
is the largest difference between unit vectors, and `cosine` the smallest cosine, both from open_clip's own float32
embeddings. Rounds are interleaved, and each number is a median over them. SigLIP's tokeniser cannot be had without
its hub, so a small one is trained here; the tower sees as many tokens.
"""

from __future__ import annotations

import copy
import json
import logging
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from common import arguments, save, seconds
from PIL import Image
from safetensors.torch import save_file

import zsprompt as zs
from zsprompt.encoders.clip.products import _has_bfloat16
from zsprompt.encoders.open_clip.encoder import OpenClip

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

MODELS = {
    "ViT-B-32": "laion2b_s34b_b79k",
    "EVA02-B-16": "merged2b_s8b_b131k",
    "PE-Core-B-16": "meta",
    "MobileCLIP2-S0": "dfndr2b",
    "ViT-B-16-SigLIP": "webli",
}
LABELS = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow dining-table dog horse motorbike person potted-plant "
    "sheep sofa train tv-monitor"
).split()
BATCH = 64


def main() -> None:
    options = arguments(__doc__, rankings=12, images=32, rounds=3)
    rows = []
    for name, tag in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            rows += list(measured(name, write(name, tag, Path(folder)), options))
            save(rows, options.out)


def write(name: str, tag: str, folder: Path) -> Path:
    """A model with random weights, for local-dir:."""
    config, entry = open_clip.get_model_config(name), open_clip.get_pretrained_cfg(name, tag)
    if config["text_cfg"].get("hf_tokenizer_name"):
        tokenizer().save_pretrained(folder)
    kinds = open_clip.model.CustomTextCLIP, open_clip.model.CLIP
    torch.manual_seed(0)
    parts = copy.deepcopy(config)
    model = kinds[0 if parts.pop("custom_text", False) else 1](**parts)
    keys = ("mean", "std", "interpolation", "resize_mode")
    content = {"model_cfg": config, "preprocess_cfg": {key: entry[key] for key in keys}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=2000, special_tokens=["<unk>", "</s>"], unk_token="<unk>")
    made.train_from_iterator([f"a photo of a {one} and a {two}" for one in LABELS for two in LABELS], trainer)
    made.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="</s>", eos_token="</s>", unk_token="<unk>")


def texts_for(encoder: OpenClip, rankings: int) -> list[str]:
    """The prefixes of random rankings that fit."""
    draw, prompts = random.Random(0), zs.load_prompts("photo")
    orders = [draw.sample(LABELS, len(LABELS)) for _ in range(rankings)]
    sets = [tuple(order[:size]) for order in orders for size in range(1, len(order) + 1)]
    texts = list(dict.fromkeys(prompts.texts(sets)))
    return [text for text, fits in zip(texts, encoder.fits(texts), strict=True) if fits]


def measured(name: str, folder: Path, options: Any) -> Iterator[dict[str, Any]]:
    """One row for each way of either tower."""
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    theirs, tokens = theirs.eval(), open_clip.get_tokenizer(f"local-dir:{folder}")
    kinds = ("auto", "bfloat16", "int8") if _has_bfloat16() else ("auto", "int8")
    ours = {kind: zs.load_encoder(f"local-dir:{folder}", device="cpu", precision=kind) for kind in kinds}
    texts = texts_for(ours["auto"], options.rankings)
    draw = np.random.default_rng(0)
    images = [Image.fromarray(draw.integers(0, 256, (375, 500, 3), dtype=np.uint8)) for _ in range(options.images)]
    pixels = torch.stack([transform(image) for image in images])
    prepared = [ours["auto"].prepare(image) for image in images]

    def own_texts() -> Any:
        with torch.inference_mode():
            parts = [theirs.encode_text(tokens(texts[i : i + BATCH])) for i in range(0, len(texts), BATCH)]
            return F.normalize(torch.cat(parts), dim=-1).numpy()

    def own_images() -> Any:
        with torch.inference_mode():
            return F.normalize(theirs.encode_image(pixels), dim=-1).numpy()

    towers: dict[str, dict[str, Callable[[], Any]]] = {
        "text": {"open_clip": own_texts}
        | {kind: lambda one=one: one.encode_texts(texts) for kind, one in ours.items()},
        "image": {"open_clip": own_images}
        | {kind: lambda one=one: one.encode_images(prepared) for kind, one in ours.items()},
    }
    for tower, ways in towers.items():
        count = len(texts) if tower == "text" else len(images)
        vectors = {way: run() for way, run in ways.items()}  # also the warm-up
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, run in ways.items():
                times[way].append(seconds(run))
        expected, slowest = vectors["open_clip"], median(times["open_clip"])
        for way, found in vectors.items():
            yield {
                "model": name,
                "tower": tower,
                "way": {"open_clip": "open_clip", "auto": "zsprompt, float32"}.get(way, f"zsprompt, {way}"),
                "texts by": ours["auto"].towers.way if tower == "text" else "",
                "inputs": count,
                "per second": round(count / median(times[way]), 1),
                "times open_clip": round(slowest / median(times[way]), 2),
                "difference": f"{np.abs(found - expected).max():.1e}",
                "cosine": f"{(found * expected).sum(1).min():.5f}",
            }


if __name__ == "__main__":
    main()
