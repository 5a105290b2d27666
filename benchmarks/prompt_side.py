"""What texts can add: pairs of labels, re-weighted descriptions, sentence banks; each with its control of random words.

    python benchmarks/prompt_side.py --root VOCdevkit --wordnet /usr/share/wordnet --out benchmarks/results/FILE.csv
    python benchmarks/prompt_side.py --dataset scenes --out benchmarks/results/FILE.csv

`reported` is over the images at odd positions, with a paired interval of its change against the same strategy with the
texts of `photo` (for compound: against normalised:per-label); choose a factor or a count by `chosen`, over those at
even positions. `at_once` is the number of images that a strategy sees together; all are ranked together. The bank
`described` holds the sentences of prompts/describe-*.toml, without those for this data set; the bank `wordnet` holds
WordNet's glosses of nouns and its example sentences (Debian's wordnet-base). No LLM was asked.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from label_free import row

from zsprompt import EmbeddingStore, Images, Prediction, Result, load_dataset, load_encoder, load_prompts, load_strategy
from zsprompt.data import Dataset
from zsprompt.evaluation.run import run
from zsprompt.llm.rewrites import random_words, save_prompts
from zsprompt.llm.sentences import about_labels
from zsprompt.prompts import PromptSet

BASES = ("per-label", "normalised:per-label")
FACTORS = (1, 5, 14, 100)
COUNTS = (6, 16, 50)
SEEDS = (0, 1, 2)
FEW = "compound,fuse=component,fewest=2"
DESCRIBED = ("scenes", "voc", "coco", "nus-wide", "kaggle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--root", type=Path, help="the VOCdevkit folder, for voc")
    parser.add_argument(
        "--wordnet", type=Path, help="folder of WordNet's data files; without it, that bank is left out"
    )
    parser.add_argument("--model", help="default: the model of the data set")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = load_dataset(options.dataset, root=options.root)
    data = data.first(options.limit) if options.limit else data
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddingStore(load_encoder(options.model or data.model or "conse"), cache=Path(folder) / "cache") as store,
    ):
        bench = Bench(data, store)
        bench.compounds()
        bench.texts("described", load_prompts(f"describe-{options.dataset}"), Path(folder))
        bench.reweighted("ensemble", load_prompts("ensemble"))
        banks = {"described": list(described(options.dataset))}
        if options.wordnet:
            banks["wordnet"] = list(dict.fromkeys(wordnet(options.wordnet)))
        for name, bank in banks.items():
            for count in COUNTS:
                chosen = written(about_labels(bank, data.labels, count), Path(folder))
                bench.texts(f"bank {name}, {count}", chosen, Path(folder))
    save(bench.rows, options.out)


class Bench:
    """The table, and the result of each base strategy."""

    def __init__(self, data: Dataset, store: EmbeddingStore) -> None:
        self.data, self.store = data, store
        self.rows: list[dict[str, Any]] = []
        self.firsts: dict[str, Result] = {}
        for base in BASES:
            self.firsts[base] = run(load_strategy(base), data, store)
            self.add(base, "photo", self.firsts[base], base)

    def add(self, spec: str, texts: str, result: Result, base: str, at_once: int | None = None) -> None:
        line = row(spec, result, self.firsts[base])
        self.rows.append({"strategy": spec, "texts": texts, "at_once": at_once or len(result.images)} | line)
        print({key: self.rows[-1][key] for key in ("strategy", "texts", "at_once", "chosen", "reported")}, flush=True)

    def measure(self, spec: str, texts: str, prompts: PromptSet, base: str) -> Result:
        result = run(load_strategy(spec, prompts=prompts), self.data, self.store)
        self.add(spec, texts, result, base)
        return result

    def compounds(self) -> None:
        """Pairs of labels, worded as sentences and as bare names; the first component of fewer images."""
        count = len(self.data.images)
        few = f",fewest={count}" if count < 250 else ""
        self.measure(BASES[1], "bare", load_prompts("bare"), BASES[1])
        for prompts in ("photo", "bare"):
            for fuse in ("", f",fuse=component{few}"):
                result = self.measure(f"compound{fuse}", prompts, load_prompts(prompts), BASES[1])
        images, strategy = Images(self.store.images(self.data.images).vectors), load_strategy(FEW)
        for size in (25, 50, 100, 250):
            places = [np.arange(n, min(n + size, count)) for n in range(0, count, size)]
            parts = [strategy.predict(images.read(rows), self.data.labels, self.store) for rows in places]
            whole = Prediction(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("scores", "decisions")))
            self.add("compound,fuse=component", "photo", replace(result, prediction=whole), BASES[1], size)

    def reweighted(self, name: str, prompts: PromptSet) -> None:
        """The mean of the texts, and their weighted means."""
        for base in BASES:
            self.measure(base, name, prompts, base)
            for factor in FACTORS:
                self.measure(f"{base},reweight={factor}", name, prompts, base)

    def texts(self, name: str, prompts: PromptSet, folder: Path) -> None:
        """As `reweighted`, and the controls."""
        self.reweighted(name, prompts)
        for seed in SEEDS:
            control = written(random_words(prompts, self.data.labels, seed), folder)
            for base in BASES:
                for spec in (base, f"{base},reweight=1"):
                    self.measure(spec, f"{name}, random words {seed}", control, base)


def written(texts: dict[str, list[str]], folder: Path) -> PromptSet:
    """A prompt set of these texts, as `zsprompt write-prompts` writes it."""
    save_prompts(folder / "texts.toml", about="", source="", described=texts)
    return load_prompts(folder / "texts.toml")


def described(dataset: str) -> Iterator[str]:
    """The sentences of the shipped descriptions of other data sets."""
    for name in DESCRIBED:
        if name != dataset:
            for _, texts in load_prompts(f"describe-{name}").described:
                yield from texts


def wordnet(folder: Path) -> Iterator[str]:
    """Example sentences of at least three words, and "noun: its gloss"."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin-1").split("\n"):
            if line.startswith("  ") or "|" not in line:
                continue
            entry, _, gloss = line.partition("|")
            examples = [text.strip(" ;,.") for text in re.findall(r'"([^"]+)"', gloss)]
            yield from (text for text in examples if len(text.split()) > 2)
            if part == "noun" and (meaning := re.sub(r'"[^"]*"', "", gloss).strip(" ;,.:")):
                yield f"{entry.split()[4].replace('_', ' ')}: {meaning}"


if __name__ == "__main__":
    main()
