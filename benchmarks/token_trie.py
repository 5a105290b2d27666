"""The token trie against padded and trimmed batches, on the texts of top-all for real photographs.

    python benchmarks/token_trie.py --root VOCdevkit --out benchmarks/results/FILE.csv

The texts are the distinct prefixes of the label rankings of the first images, ranked by conse: bare readable names in
rank order, in alphabetical order, and worded as a sentence. The tower has the size of ViT-B/32 and random weights, in
float32 on a CPU. Every way embeds the same texts: all but the last with the matrix products of torch, the last as
zsprompt does. `difference` is the largest difference from padded `encode_text`, as a share of its largest value. Rounds
are interleaved, and each number is a median over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import CLIP, VIT_B32, arguments, clip, encode_rows, save, seconds

import zsprompt as zs
from zsprompt.encoders.clip.products import plain, products
from zsprompt.encoders.clip.token_trie import Trie, TrieTower
from zsprompt.encoders.clip.tokens import Tokeniser

Embed = Callable[[list[str]], torch.Tensor]


def main() -> None:
    options = arguments(__doc__, root=Path, limit=64, rounds=3, share=1.0)
    torch.manual_seed(0)
    model = CLIP(*VIT_B32).eval()
    tokeniser = Tokeniser(clip.clip._tokenizer)
    ways: dict[str, Embed] = {
        f"padded {size}": lambda texts, size=size: padded(model, texts, size) for size in (8, 64, 256)
    }
    ways |= {
        f"sorted and trimmed {size}": lambda texts, size=size: trimmed(model, tokeniser, texts, size)
        for size in (64, 256)
    }
    for name, product in (("trie", plain), ("trie in zsprompt", products("cpu", "auto"))):
        tower = TrieTower(model, block=1024, product=product)
        ways[name] = lambda texts, tower=tower: tower(tokeniser(texts))
    rows = []
    for name, texts in wordings(options.root, options.limit).items():
        rows += measure(name, texts, ways, tokeniser, options.rounds, options.share)
    save(rows, options.out)


def wordings(root: Path, limit: int) -> dict[str, list[str]]:
    """The distinct texts of top-all, by prompts and order."""
    data = zs.load_dataset("voc", root=root).first(limit)
    with zs.EmbeddingStore(zs.load_encoder("conse"), cache=None) as store:
        images = zs.Images(store.images(data.images).vectors)
        texts = {}
        for name, order in (("bare", "rank"), ("bare", "alphabetical"), ("photo", "rank")):
            space = Listening(store)
            strategy = replace(zs.TopAll(prompts=zs.load_prompts(name)), order=order)
            strategy.predict(images, data.labels, space)
            texts[f"{name}, {order} order"] = list(dict.fromkeys(space.asked))
    return texts


class Listening:
    """A text space that records the texts it embeds."""

    def __init__(self, store: zs.EmbeddingStore) -> None:
        self.store, self.asked, self.logit_scale = store, [], store.logit_scale
        self.progress = store.progress

    def texts(self, texts: list[str], *, keep: bool = True) -> Any:
        self.asked += texts
        return self.store.texts(texts, keep=keep)

    def fits(self, texts: list[str]) -> Any:
        return self.store.fits(texts)


def measure(
    name: str, texts: list[str], ways: dict[str, Embed], tokeniser: Tokeniser, rounds: int, share: float
) -> list[dict[str, Any]]:
    """One row per way. Padded ways can run on a `share` of the texts: their cost per text is the same."""
    some = texts[: max(1, int(share * len(texts)))]
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, embed in ways.items():
            part = some if way.startswith("padded") else texts
            with torch.inference_mode():
                times[way].append(seconds(lambda part=part, embed=embed: embed(part)) * len(texts) / len(part))
    with torch.inference_mode():
        expected = ways["padded 64"](some)
        embedded = {way: embed(some) for way, embed in ways.items()}
    sequences = tokeniser(texts)
    nodes = {"padded": 77 * len(texts), "trie": len(Trie.of(sequences)), "sorted": sum(map(len, sequences))}
    fastest = min(median(taken) for way, taken in times.items() if way.startswith("padded"))
    return [
        {
            "wording": name,
            "texts": len(texts),
            "way": way,
            "tokens_run": nodes[way.split()[0]],
            "seconds": median(taken),
            "texts_per_s": len(texts) / median(taken),
            "times_fastest_padded": fastest / median(taken),
            "difference": float((embedded[way] - expected).abs().max() / expected.abs().max()),
        }
        for way, taken in times.items()
    ]


def padded(model: Any, texts: list[str], size: int) -> torch.Tensor:
    """As in the README of `clip`."""
    parts = [texts[i : i + size] for i in range(0, len(texts), size)]
    return torch.cat([model.encode_text(clip.tokenize(part)) for part in parts])


def trimmed(model: Any, tokeniser: Tokeniser, texts: list[str], size: int) -> torch.Tensor:
    """Sorted by length, each batch trimmed to its longest text."""
    sequences = tokeniser(texts)
    order = sorted(range(len(texts)), key=lambda i: len(sequences[i]))
    result = torch.empty(len(texts), model.text_projection.shape[1])
    for start in range(0, len(order), size):
        part = order[start : start + size]
        longest = max(len(sequences[i]) for i in part)
        tokens = torch.tensor([[*sequences[i], *[0] * (longest - len(sequences[i]))] for i in part])
        result[part] = encode_rows(model, tokens)
    return result


if __name__ == "__main__":
    main()
