"""How decisions depend on the number of labels asked, and which labels conse misses.

    python benchmarks/labels_asked.py --root VOCdevkit --out benchmarks/results

Writes labels-asked-voc2007-conse.csv: decisions about the same five labels when others are asked with them. Each row is
the mean over DRAWS random orders of VOC's labels; the first five are judged, all photographs together.

Writes long-lists-voc2007-conse.csv: labels per photograph when random ImageNet names are asked, the mean and range of
LISTS lists.

Writes missed-labels-voc2007-conse.csv: per label, the share of the photographs that are found by the default strategy,
if 20 labels are asked and if the label is one of three.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from class_vectors import class_names

from zsprompt import Dataset, Images, Strategy, load_dataset, load_encoder, load_strategy, metrics
from zsprompt._utils.registry import DEFAULT_STRATEGY
from zsprompt.store import EmbeddingStore

STRATEGIES = {name: load_strategy(name) for name in ("softmax:per-label", "normalised:per-label")}
JUDGED = 5
DRAWS = 60
LISTS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="the VOCdevkit folder")
    parser.add_argument("--limit", type=int, help="only the first N photographs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    data = load_dataset("voc", root=options.root)
    data = data.first(options.limit) if options.limit else data
    options.out.mkdir(parents=True, exist_ok=True)
    with EmbeddingStore(load_encoder("conse")) as store:
        images = Images(store.images(data.images).vectors)
        save(options.out / "labels-asked-voc2007-conse.csv", same_labels(data, images, store))
        save(options.out / "long-lists-voc2007-conse.csv", long_lists(images, store))
        save(options.out / "missed-labels-voc2007-conse.csv", missed(data, images, store))


def same_labels(data: Dataset, images: Images, store: EmbeddingStore) -> list[dict[str, object]]:
    """True and false positives for the first JUDGED labels of each draw, by the number of labels asked."""
    random = np.random.default_rng(0)
    orders = [random.permutation(len(data.labels)) for _ in range(DRAWS)]
    rows: list[dict[str, object]] = []
    for name, strategy in STRATEGIES.items():
        for count in (5, 10, 15, 16, 17, 20):
            hits = np.mean([_hits(strategy, data, images, store, order[:count]) for order in orders], axis=0)
            right, wrong, present = map(float, hits)
            rows.append(
                {
                    "strategy": name,
                    "labels": count,
                    "true_positives": round(right, 1),
                    "false_positives": round(wrong, 1),
                    "precision": round(right / (right + wrong), 4),
                    "recall": round(right / present, 4),
                }
            )
    return rows


def _hits(
    strategy: Strategy, data: Dataset, images: Images, store: EmbeddingStore, columns: np.ndarray
) -> tuple[int, int, int]:
    """True positives, false positives and positives of the first JUDGED columns."""
    decisions = strategy.predict(images, [data.labels[c] for c in columns], store).decisions[:, :JUDGED]
    targets = data.targets[:, columns[:JUDGED]]
    return int((decisions & (targets == 1)).sum()), int((decisions & (targets == 0)).sum()), int((targets == 1).sum())


def long_lists(images: Images, store: EmbeddingStore) -> list[dict[str, object]]:
    """Labels per image by the number of random ImageNet names asked."""
    names = list({name.casefold(): name for name in class_names()}.values())
    random = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for name, strategy in STRATEGIES.items():
        for count in (20, 50, 100, 200, 400):
            lists = [[names[i] for i in random.permutation(len(names))[:count]] for _ in range(LISTS)]
            found = [float(strategy.predict(images, words, store).decisions.sum(axis=1).mean()) for words in lists]
            spread = {"mean": np.mean(found), "lowest": min(found), "highest": max(found)}
            rows.append({"strategy": name, "labels": count} | spread)
    return rows


def missed(data: Dataset, images: Images, store: EmbeddingStore) -> list[dict[str, object]]:
    """AP, recall and precision of each label among all labels, and with its two neighbours in the list alone."""
    strategy = STRATEGIES[DEFAULT_STRATEGY]
    every = strategy.predict(images, data.labels, store)
    ap, alone = metrics.average_precision(every.scores, data.targets), metrics.f1_scores(every.decisions, data.targets)
    rows: list[dict[str, object]] = []
    for c, label in enumerate(data.labels):
        three = [(c + step) % len(data.labels) for step in range(3)]
        few = strategy.predict(images, [data.labels[i] for i in three], store).decisions
        of_three = metrics.f1_scores(few, data.targets[:, three])
        rows.append(
            {
                "label": label,
                "photographs": int((data.targets[:, c] == 1).sum()),
                "ap": ap[c],
                "recall_of_20": alone.recall[c],
                "precision_of_20": alone.precision[c],
                "recall_of_3": of_three.recall[0],
                "precision_of_3": of_three.precision[0],
            }
        )
    return sorted(rows, key=lambda row: float(str(row["recall_of_20"])))


def save(path: Path, rows: list[dict[str, object]]) -> None:
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")
    print(path, table.to_string(index=False, float_format=lambda value: f"{value:.3f}"), sep="\n")


if __name__ == "__main__":
    main()
