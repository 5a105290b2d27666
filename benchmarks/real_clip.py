"""Label-free strategies on real CLIP vectors: those that public repositories store of photographs and of names.

    python benchmarks/real_clip.py --vectors FOLDER --out benchmarks/results/real-clip-vit-b32-213photos.csv

FOLDER holds photos/labels.csv (image, then a column per word: 1, 0, or -1 for left out), images.npz (names, vectors)
and texts_a_name.npz (names, vectors), all of ViT-B/32. The photographs are those of the repositories
ahmedembeddedx/Cross-Modality_Search_Engine and enricollen/ImageSearchEngine, labelled twice by eye; the texts "a NAME"
are those of facebookresearch/Detic. They are not part of this repository. No constant was chosen on them. Reference
words without a vector are left out: 37 of 60 remain.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import arguments, save

import zsprompt as zs
from zsprompt import Images, load_strategy, metrics
from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt._utils.progress import quiet
from zsprompt.prompts import neutral_words

STRATEGIES = (
    "per-label",
    "normalised:per-label",
    "softmax:per-label",
    "softmax:per-label,cut=0.1",
    "softmax:per-label,reference=labels",
)
_PATCHED = ("zsprompt.strategies.z_scores.neutral_words", "zsprompt.strategies.softmax.neutral_words")


class StoredNames:
    """A TextSpace of the stored texts "a NAME"."""

    logit_scale = 100.0
    fingerprint = "ViT-B/32, stored"
    progress = staticmethod(quiet)

    def __init__(self, file: Path) -> None:
        stored = np.load(file)
        vectors = unit_rows(stored["vectors"].astype(np.float32))
        self.vectors = {str(name): vector for name, vector in zip(stored["names"], vectors, strict=True)}

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        return np.stack([self.vectors[text] for text in texts])

    def fits(self, texts: Sequence[str]) -> Bools:
        return np.ones(len(texts), dtype=np.bool_)


def photographs(folder: Path) -> tuple[list[str], Images, np.ndarray]:
    """The words, the images, and the targets [N, C] int8."""
    with (folder / "photos" / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    words = [name for name in rows[0] if name != "image"]
    stored = np.load(folder / "images.npz")
    place = {Path(str(name)).name: i for i, name in enumerate(stored["names"])}
    vectors = stored["vectors"][[place[Path(row["image"]).name] for row in rows]]
    targets = np.array([[int(row[word]) for word in words] for row in rows], dtype=np.int8)
    return words, Images(unit_rows(vectors)), targets


def predicted(spec: str, words: Sequence[str], images: Images, texts: StoredNames) -> zs.Prediction:
    """The prediction, with the reference words that have a vector."""
    known = tuple(word for word in neutral_words() if word in texts.vectors)
    strategy = load_strategy(spec, prompts="bare")
    with patch(_PATCHED[0], lambda: known), patch(_PATCHED[1], lambda: known):
        return strategy.predict(images, words, texts)


def main() -> None:
    options = arguments(__doc__, vectors=Path)
    words, images, targets = photographs(options.vectors)
    texts = StoredNames(options.vectors / "texts_a_name.npz")
    answers = {spec: predicted(spec, words, images, texts) for spec in STRATEGIES}
    base = sampling(answers[STRATEGIES[1]], targets)
    save([row(spec, answer, targets, base) for spec, answer in answers.items()], options.out)


def sampling(answer: zs.Prediction, targets: np.ndarray) -> metrics.Sampling:
    resampled = metrics.mean_precision(metrics.resampled_precision(answer.scores, targets))
    return metrics.Sampling(mean_ap(answer, targets), resampled, metrics.mean_without_each(answer.scores, targets))


def mean_ap(answer: zs.Prediction, targets: np.ndarray) -> float:
    return float(np.nanmean(metrics.average_precision(answer.scores, targets)))


def row(spec: str, answer: zs.Prediction, targets: np.ndarray, base: metrics.Sampling) -> dict[str, Any]:
    """One line of the table. Changes are paired with standardised scores."""
    change = metrics.difference(base, sampling(answer, targets))
    yes = answer.decisions
    right, wrong = int((yes & (targets == 1)).sum()), int((yes & (targets == 0)).sum())
    present = int((targets == 1).sum())
    return {
        "strategy": spec,
        "mAP": mean_ap(answer, targets),
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
        "precision": right / (right + wrong),
        "recall": right / present,
        "micro_f1": 2 * right / (right + wrong + present),
    }


if __name__ == "__main__":
    main()
