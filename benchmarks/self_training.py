"""How many unlabelled images self-training needs, on drawn scenes and in a planted world.

    python benchmarks/self_training.py --out benchmarks/results/FILE.csv

Each row is one strategy on N images of one draw: its mAP before and after self-training on the same images, without
their targets. In the planted world, images of a label form a cluster that the label's text points at only roughly;
`closeness` is the text's share in the cluster's direction. Random vectors stand for the texts' and the clusters'
directions. Scenes are consecutive stretches of the training split, embedded by tiny.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import save

from zsprompt import EmbeddingStore, load_dataset, load_strategy, metrics
from zsprompt._utils.arrays import unit_rows
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.store import Images

COUNTS = (250, 500, 1000, 2000, 4000)
DRAWS = 5
SCENES = ("yes-or-no", "per-label", "list-all,max_labels=3", "softmax:per-label")
KIND = SelfTrainingSpec(fewest=1)
DIM, LABELS, PRESENT = 512, 20, 0.07
"""Of the planted world: as CLIP's vectors and VOC's labels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    save([*planted(), *scenes()], options.out)


def planted() -> Iterator[dict[str, Any]]:
    """Rows of the planted world."""
    for closeness in (0.2, 0.3, 0.5):
        for count in COUNTS:
            for draw in range(DRAWS):
                images, texts, present = world(count, closeness, draw)
                scores = images.vectors @ texts.T
                yield row("planted", f"closeness {closeness:g}", images, scores, scores > 0.1, present, draw)


def world(count: int, closeness: float, draw: int) -> tuple[Images, Any, Any]:
    """N images, [C, D] texts and [N, C] targets."""
    random = np.random.default_rng([draw, count])
    texts, own = unit_rows(random.normal(size=(2, LABELS, DIM)))
    present = random.random((count, LABELS)) < PRESENT
    noise = random.normal(size=(count, DIM)) / np.sqrt(DIM)
    return Images(unit_rows(present @ (closeness * texts + own) + 2 * noise)), texts, present.astype(np.int8)


def scenes() -> Iterator[dict[str, Any]]:
    """Rows of drawn scenes."""
    data = load_dataset("scenes", split=f"train:{DRAWS * max(COUNTS)}")
    with EmbeddingStore("tiny") as store:
        for count in COUNTS:
            for draw in range(DRAWS):
                rows = range(draw * count, (draw + 1) * count)
                part = data.select(rows)
                images = Images(store.images(part.images).vectors)
                for spec in SCENES:
                    answer = load_strategy(spec).predict(images, data.labels, store)
                    yield row("scenes", spec, images, answer.scores, answer.decisions, part.targets, draw)


def row(
    world: str, strategy: str, images: Images, scores: Any, decisions: Any, targets: Any, draw: int
) -> dict[str, Any]:
    """One line of the table."""
    learnt = KIND.learn_from(images, scores, decisions)
    before, after = (mean_ap(values, targets) for values in (scores, KIND.combined(learnt, images, scores)))
    return {
        "world": world,
        "strategy": strategy,
        "images": len(images),
        "draw": draw,
        "before": before,
        "after": after,
        "change": after - before,
    }


def mean_ap(scores: Any, targets: Any) -> float:
    return float(np.nanmean(metrics.average_precision(scores, targets)))


if __name__ == "__main__":
    main()
