"""Which words a label is compared with: rules for standardising few labels, reference words and cuts of a softmax.

    python benchmarks/reference_words.py --root VOCdevkit --out benchmarks/results

Images at even positions of the list choose, images at odd positions report. Cosines are those of `per-label`. Each row
of few labels is over DRAWS random subsets of VOC's labels, all their decisions together; changes are paired over the
photographs, with 95 % intervals. Writes, all for conse,

- few-labels-voc2007-conse.csv: z over few labels by the rule that says what reference words weigh;
- softmax-words-voc2007-conse.csv: log-posteriors and decisions by the reference words and the cut;
- softmax-or-z-voc2007-conse.csv: `softmax:per-label` against `normalised:per-label` by the number of labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from class_vectors import class_names

from zsprompt import Dataset, Images, PerLabel, load_dataset, load_encoder, metrics
from zsprompt.prompts import neutral_words
from zsprompt.prompts.labels import label_key, label_vectors
from zsprompt.store import EmbeddingStore
from zsprompt.strategies.base import words_besides
from zsprompt.strategies.softmax import CUT, log_posteriors
from zsprompt.strategies.z_scores import COMPANY, THRESHOLD

HALVES = {"chosen on": slice(0, None, 2), "reported": slice(1, None, 2)}
COUNTS = (1, 2, 3, 5, 8, 12, 15, 16, 20)
DRAWS = 30
RESAMPLES = 1000
CUTS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.2)
CLOSE = 0.75  # cosine of a word's text and a label's, from which they mean about the same
RULES: dict[str, Callable[[int], float]] = {
    "all words, a label's weight each": lambda labels: np.inf,
    "none": lambda labels: 0,
    "24 labels' weight": lambda labels: 24,
    **{f"up to {total} together": lambda labels, total=total: max(0, total - labels) for total in (16, 20, 24, 32)},
}


class Cosines:
    """Cosines of the photographs with words, each computed once."""

    def __init__(self, data: Dataset, store: EmbeddingStore, words: Sequence[str]) -> None:
        self.data, self.scale = data, store.logit_scale
        names = [*data.labels, *words]
        self.place = {label_key(name): i for i, name in reversed(list(enumerate(names)))}
        images = Images(store.images(data.images).vectors)
        self.all = PerLabel().cosines(images, names, store).astype(np.float64)
        self.texts = label_vectors(PerLabel().prompts, names, store)

    def of(self, words: Sequence[str]) -> np.ndarray:
        return self.all[:, [self.place[label_key(word)] for word in words]]

    def text(self, words: Sequence[str]) -> np.ndarray:
        return self.texts[[self.place[label_key(word)] for word in words]]


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
        cosines = Cosines(data, store, list(dict.fromkeys([*neutral_words(), *class_names()])))
    save(options.out / "few-labels-voc2007-conse.csv", rules(cosines))
    save(options.out / "softmax-words-voc2007-conse.csv", references(cosines))
    save(options.out / "softmax-or-z-voc2007-conse.csv", softmax_or_z(cosines))


Scored = list[tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Of each subset of the labels: scores, decisions and targets, [N, n] each."""


def rules(cosines: Cosines) -> list[dict[str, object]]:
    """Standardised scores of few labels, by what all words weigh together."""
    rows: list[dict[str, object]] = []
    for count in COUNTS:
        scored = {name: subsets(cosines, count, lambda c, n, r=rule: z(c, n, r(n))) for name, rule in RULES.items()}
        rows += compared(count, "rule", scored, first=next(iter(RULES)))
    return rows


def softmax_or_z(cosines: Cosines) -> list[dict[str, object]]:
    """Log-posteriors above the cut, against z above 2."""
    rows: list[dict[str, object]] = []
    for count in COUNTS:
        scored = {
            "normalised:per-label": subsets(cosines, count, lambda c, n: z(c, n, max(0, COMPANY - n))),
            "softmax:per-label": subsets(cosines, count, lambda c, n: posteriors(c, n, cosines.scale)),
        }
        rows += compared(count, "strategy", scored, first="normalised:per-label")
    return rows


def references(cosines: Cosines) -> list[dict[str, object]]:
    """mAP of log-posteriors of all labels, and micro F1 by the cut, for several sets of reference words."""
    labels, neutral = cosines.data.labels, words_besides(cosines.data.labels, neutral_words())
    closest = (cosines.text(neutral) @ cosines.text(labels).T).max(axis=1)
    random, names = np.random.default_rng(0), words_besides(labels, class_names())
    sets: dict[str, list[Sequence[str]]] = {
        "none (the labels alone)": [()],
        "neutral": [neutral],
        f"neutral, none closer than {CLOSE:g} to a label": [
            [w for w, c in zip(neutral, closest, strict=True) if c < CLOSE]
        ],
        **{f"{n} of neutral": [random.permutation(neutral)[:n] for _ in range(DRAWS)] for n in (10, 20, 30)},
        **{f"{n} ImageNet names": [random.permutation(names)[:n] for _ in range(DRAWS)] for n in (60, 200, 800)},
    }
    rows: list[dict[str, object]] = []
    for name, choices in sets.items():
        scores = [log_posteriors(cosines.of([*labels, *words]), cosines.scale)[:, : len(labels)] for words in choices]
        for half, part in HALVES.items():
            targets = cosines.data.targets[part]
            row: dict[str, object] = {"words": name, "number": len(choices[0]), "half": half}
            row["mAP"] = np.mean([mean_ap(one[part], targets) for one in scores])
            for cut in CUTS:
                yes = [one[part] > np.log(cut) for one in scores]
                row[f"micro F1 at {cut:g}"] = np.mean([metrics.f1_scores(one, targets).micro for one in yes])
            rows.append(row)
    return rows


def z(cosines: np.ndarray, labels: int, weigh: float) -> tuple[np.ndarray, np.ndarray]:
    """z of the labels and whether it is above 2, where all words together weigh as much as `weigh` labels."""
    words = cosines.shape[1] - labels
    weights = np.repeat([1.0, min(1.0, weigh / words)], [labels, words])
    weights /= weights.sum()
    centred = cosines - (cosines @ weights)[:, None]
    spread = np.sqrt(centred**2 @ weights)[:, None]
    scores = (centred / np.where(spread > 1e-12, spread, 1))[:, :labels]
    return scores, scores > THRESHOLD


def posteriors(cosines: np.ndarray, labels: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-posteriors of the labels, and whether they are above the cut."""
    scores = log_posteriors(cosines, scale)[:, :labels]
    return scores, scores > np.log(CUT)


def subsets(cosines: Cosines, count: int, score: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]) -> Scored:
    """Random subsets of `count` labels, each with the neutral words; all labels once."""
    names, random = cosines.data.labels, np.random.default_rng(count)
    draws = [random.permutation(len(names))[:count] for _ in range(DRAWS if count < len(names) else 1)]
    scored = []
    for chosen in draws:
        labels = [names[c] for c in chosen]
        scores, yes = score(cosines.of([*labels, *words_besides(labels, neutral_words())]), count)
        scored.append((scores, yes, cosines.data.targets[:, chosen]))
    return scored


def compared(count: int, kind: str, scored: dict[str, Scored], first: str) -> list[dict[str, object]]:
    """mAP and micro F1 of each, and the paired change of micro F1 against the first."""
    rows: list[dict[str, object]] = []
    for half, part in HALVES.items():
        counts = {name: sum(hits(yes[part], targets[part]) for _, yes, targets in one) for name, one in scored.items()}
        images = len(counts[first])
        resamples = np.random.default_rng(0).integers(0, images, (RESAMPLES, images))
        for name, one in scored.items():
            drawn = f1(counts[name][resamples].sum(axis=1)) - f1(counts[first][resamples].sum(axis=1))
            low, high = np.quantile(drawn, (0.025, 0.975))
            row = {"labels": count, kind: name, "half": half}
            row["mAP"] = np.nanmean([mean_ap(scores[part], targets[part]) for scores, _, targets in one])
            row["micro_f1"] = f1(counts[name].sum(axis=0))
            rows.append(row | {"change": row["micro_f1"] - f1(counts[first].sum(axis=0)), "low": low, "high": high})
    return rows


def hits(yes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[N, 3] true positives, false positives and false negatives of each photograph."""
    return np.stack([(yes & (targets == 1)), (yes & (targets == 0)), (~yes & (targets == 1))]).sum(axis=2).T


def f1(counts: np.ndarray) -> np.ndarray:
    right, wrong, missed = np.moveaxis(counts, -1, 0)
    return 2 * right / np.maximum(1, 2 * right + wrong + missed)


def mean_ap(scores: np.ndarray, targets: np.ndarray) -> float:
    return metrics.mean_over_labels(metrics.average_precision(scores, targets))


def save(path: Path, rows: list[dict[str, object]]) -> None:
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")
    print(path, table.to_string(index=False, float_format=lambda value: f"{value:.3f}"), sep="\n")


if __name__ == "__main__":
    main()
