"""How close suggest_logit_scale comes to scales that are known, and what a wrong scale costs softmax:per-label.

    python benchmarks/logit_scale.py --vectors FOLDER --root VOCdevkit --out benchmarks/results

FOLDER is that of real_clip.py, with pets.npz (vectors, breed, breeds, cat); the bank has 45 of the 60 neutral words.
ViT-B/32 and tiny were trained with the scale that they state; conse's was chosen. --root is for the photographs of
conse. Writes logit-scale-suggested.csv and logit-scale-wrong.csv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import arguments, save
from real_clip import StoredNames, mean_ap, photographs, sampling

import zsprompt as zs
from zsprompt import Images, metrics
from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt.prompts import neutral_words
from zsprompt.prompts.labels import TextSpace

FACTORS = (0.5, 0.75, 1.0, 1.33, 2.0)
DRAWN = 50  # images of a draw
DRAWS = 500
FEWER = 30  # words of a draw
WORDS = tuple(f"zsprompt.strategies.{module}.neutral_words" for module in ("z_scores", "softmax", "logit_scale"))


class StoredTexts(StoredNames):
    """A TextSpace of the bank: "a NAME", "an NAME" and "NAME" are its "a NAME"."""

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        return super().texts([text.removeprefix("an ").removeprefix("a ") for text in texts])


@dataclass(frozen=True)
class World:
    """Images, texts and labels of a model whose scale is known."""

    model: str
    data: str
    images: Images
    space: TextSpace
    labels: tuple[str, ...]
    targets: np.ndarray
    words: tuple[str, ...]
    prompts: str

    def predicted(self, scale: float) -> zs.Prediction:
        """That of the default strategy at a scale."""
        strategy = zs.Softmax(zs.PerLabel(zs.load_prompts(self.prompts)), scale=scale)
        with patch(WORDS[0], lambda: self.words), patch(WORDS[1], lambda: self.words):
            return strategy.predict(self.images, self.labels, self.space)

    def suggested(self, rows: Sequence[int] | np.ndarray, words: Sequence[str] | None = None) -> float:
        """The scale suggested from the images at `rows`, by other words if they are given."""
        with patch(WORDS[2], lambda: self.words if words is None else words):
            return zs.suggest_logit_scale(self.images.read(rows), self.space)

    @cached_property
    def every(self) -> np.ndarray:
        """The position of each image."""
        return np.arange(len(self.images))


def main() -> None:
    options = arguments(__doc__, vectors=Path, root=Path)
    worlds = [*stored(options.vectors), scenes(), photographs_of_conse(options.root)]
    save([suggestion(world) for world in worlds], options.out / "logit-scale-suggested.csv")
    rows = [row for world in worlds for row in costs(world)]
    save(rows, options.out / "logit-scale-wrong.csv")


def stored(folder: Path) -> list[World]:
    """The two sets of photographs with ViT-B/32's vectors."""
    labels, images, targets = photographs(folder)
    space = StoredTexts(folder / "texts_a_name.npz")
    words = tuple(word for word in neutral_words() if word in space.vectors)
    pets = np.load(folder / "pets.npz")
    is_cat = pets["cat"][pets["breed"]]
    kinds = np.stack([is_cat, ~is_cat], axis=1).astype(np.int8)
    vectors = Images(unit_rows(pets["vectors"].astype(np.float32)))
    return [
        World("ViT-B/32", "213 photographs", images, space, tuple(labels), targets, words, "bare"),
        World("ViT-B/32", "3,669 pets", vectors, space, ("cat", "dog"), kinds, words, "bare"),
    ]


def scenes() -> World:
    """The drawn scenes that tiny was made for."""
    data = zs.load_dataset("scenes")
    return of_model("tiny", f"{len(data.images):,} scenes", data)


def photographs_of_conse(root: Path) -> World:
    """The VOC photographs, of which half chose conse's scale."""
    data = zs.load_dataset("voc", root=root)
    return of_model("conse", f"{len(data.images):,} VOC photographs", data)


def of_model(model: str, name: str, data: zs.Dataset) -> World:
    """A model that comes with zsprompt, with all neutral words."""
    store = zs.EmbeddingStore(model)
    embedded = store.images(data.images)
    images, targets = Images(embedded.vectors), data.targets[embedded.kept]
    return World(model, name, images, store, data.labels, targets, neutral_words(), "photo")


def suggestion(world: World) -> dict[str, Any]:
    """One line of the first table: the suggestion from all images, and the range of 95 % of draws of a few."""
    random = np.random.default_rng(0)
    draws = [world.suggested(random.choice(world.every, DRAWN, replace=False)) for _ in range(DRAWS)]
    suggested, known = world.suggested(world.every), world.space.logit_scale
    assert known is not None
    fewer = [world.suggested(world.every, random.choice(world.words, FEWER, replace=False)) for _ in range(100)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "model": world.model,
        "data": world.data,
        "words": len(world.words),
        "known": known,
        "suggested": suggested,
        "low": low,
        "high": high,
        "suggested_over_known": suggested / known,
        f"suggested_by_{FEWER}_words": np.mean(fewer),
    }


def costs(world: World) -> list[dict[str, Any]]:
    """Lines of the second table: factors on the known scale, and the suggested one."""
    known = world.space.logit_scale
    assert known is not None
    base = sampling(world.predicted(known), world.targets)
    scales = {f"{factor:g}": factor * known for factor in FACTORS} | {"suggested": world.suggested(world.every)}
    return [cost(world, factor, scale, base) for factor, scale in scales.items()]


def cost(world: World, factor: str, scale: float, base: metrics.Sampling) -> dict[str, Any]:
    answer = world.predicted(scale)
    change = metrics.difference(base, sampling(answer, world.targets))
    return {
        "model": world.model,
        "data": world.data,
        "factor": factor,
        "scale": scale,
        "mAP": mean_ap(answer, world.targets),
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
        **decided(answer.decisions, world.targets),
    }


def decided(decisions: Bools, targets: np.ndarray) -> dict[str, float]:
    """Precision, recall and micro F1 of the decisions, and the number of labels per image."""
    scored = metrics.f1_scores(decisions, targets)
    return {
        "precision": scored.overall.OP,
        "recall": scored.overall.OR,
        "micro_f1": scored.micro,
        "labels_per_image": float(decisions.sum(axis=1).mean()),
    }


if __name__ == "__main__":
    main()
