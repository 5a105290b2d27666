"""Every built-in strategy in a planted world: scores and decisions worked out by hand, measures recorded.

A text is a bag of words, and an image is the bag of the labels drawn on it. Both share half a word, so the cosine of
two bags follows from three counts. All answers below follow from that cosine by the strategies' definitions alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import inf, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import PlantedEncoder, draw_files
from recorded import check

import zsprompt as zs
from zsprompt.llm import Bank, Caption, Captions
from zsprompt.prompts import neutral_words
from zsprompt.strategies import STRATEGIES, Llm
from zsprompt.strategies.z_scores import COMPANY

LABELS = tuple(
    "cat dog person motorcycle cycle car carrot sofa tree house boat bird chair cup ball fish".split()
)  # sixteen, from which on the strategies compare labels with each other alone
SETS: list[tuple[str, ...]] = [
    *((label,) for label in LABELS),
    *(LABELS[n : n + 2] for n in range(0, 16, 3)),
    *(LABELS[n : n + 3] for n in range(0, 14, 5)),
    (),
    ("car", "cat", "fish", "sofa"),
    ("carrot", "motorcycle"),
]
LIED = {(0, "cat"): 0, (4, "cycle"): 0, (22, "dog"): 0, (2, "person"): -1}
"""Targets that differ from the drawing, by image and label: without them every mAP is 1.

None of them adds a label that is not drawn: all images without it score equally, and rounding would decide the order.
"""

SCALE = PlantedEncoder.logit_scale
ROUNDING = 1e-4
"""Absolute, for logits: a cosine in float32 times the scale."""

BANK = Bank.of(
    "pairs",
    [Caption(labels, f"{' '.join(labels)} outdoors") for size in (0, 1, 2) for labels in combinations(LABELS, size)],
)

Bag = Sequence[str]
Scores = list[list[float]]


@dataclass(frozen=True)
class Answer:
    """Per image one score per label, and the predicted labels."""

    scores: Scores
    present: list[set[str]]


def cosine(first: Bag, second: Bag) -> float:
    """Cosine of two bags of words, each word at most once; an empty bag is the word "nothing"."""
    a, b = set(first) or {"nothing"}, set(second) or {"nothing"}
    return (0.25 + len(a & b)) / sqrt((0.25 + len(a)) * (0.25 + len(b)))


# -- the strategies by hand ---------------------------------------------------------------------------------------


def per_label() -> Answer:
    scores = [[cosine(drawn, (label,)) for label in LABELS] for drawn in SETS]
    return Answer(scores, [chosen(row, 2.0) for row in standardised(scores)])


def compound() -> Answer:
    words = [word for word in neutral_words() if word not in LABELS]
    encoder = PlantedEncoder(labels=LABELS)  # some of its words share a place with a label, as these counts do not know
    with_words = encoder.encode_texts([" ".join(drawn) or "nothing" for drawn in SETS]) @ encoder.encode_texts(words).T
    weights = [1.0] * len(LABELS) + [(COMPANY - len(LABELS)) / len(words)] * len(words)
    scores, present = [], []
    for drawn, others in zip(SETS, with_words, strict=True):
        company = [*(cosine(drawn, (label,)) for label in LABELS), *others]
        mean = np.average(company, weights=weights)
        deviation = sqrt(np.average((np.array(company) - mean) ** 2, weights=weights))
        deviation = deviation if deviation > ROUNDING else inf  # all alike: every z is 0
        own = [(score - mean) / deviation for score in company[: len(LABELS)]]
        pairs = [[cosine(drawn, (a, b)) for b in LABELS if b != a] for a in LABELS]
        fused = [(np.mean(cosines) - mean) / deviation for cosines in pairs]
        scores.append([float(a + b) / 2 for a, b in zip(own, fused, strict=True)])
        present.append(chosen(own, 2.0))
    return Answer(scores, present)


def yes_or_no() -> Answer:
    scores = [[SCALE * (cosine(drawn, (label,)) - cosine(drawn, ())) for label in LABELS] for drawn in SETS]
    return Answer(scores, [chosen(row, 0.0) for row in scores])


def list_all() -> Answer:
    candidates = [labels for size in range(5) for labels in combinations(LABELS, size)]
    return competing([{labels: labels for labels in candidates} for _ in SETS])


def top_all() -> Answer:
    rankings = [sorted(LABELS, key=lambda label, drawn=drawn: (-cosine(drawn, (label,)), label)) for drawn in SETS]
    prefixes = [[tuple(ranking[:size]) for size in range(len(LABELS) + 1)] for ranking in rankings]
    return competing([{labels: labels for labels in candidates} for candidates in prefixes])


def llm() -> Answer:
    candidates = [labels for size in range(3) for labels in combinations(LABELS, size)]
    return competing([{labels: (*labels, "outdoors") for labels in candidates} for _ in SETS])


def normalised(inner: Callable[[], Answer], threshold: float) -> Answer:
    scores = standardised(inner().scores)
    return Answer(scores, [chosen(row, threshold) for row in scores])


def thresholded() -> Answer:
    scores = per_label().scores
    return Answer(scores, [chosen(row, CUTS) for row in scores])


def competing(images: list[dict[tuple[str, ...], Bag]]) -> Answer:
    """Each image's label sets with their texts: log of the mass of those that hold a label, and the best set."""
    scores, present = [], []
    for drawn, candidates in zip(SETS, images, strict=True):
        masses = {labels: np.exp(SCALE * (cosine(drawn, text) - 1)) for labels, text in candidates.items()}
        total = sum(masses.values())
        held = [sum(mass for labels, mass in masses.items() if label in labels) for label in LABELS]
        scores.append([log(mass / total) for mass in held])
        present.append(set(max(masses, key=lambda labels: masses[labels])))
    return Answer(scores, present)


def standardised(scores: Scores) -> Scores:
    """Standard scores within each image; 0 where all labels score the same."""
    rows = np.array(scores)
    spread = rows.std(1, keepdims=True)
    flat = spread < 1e-9
    return np.where(flat, 0, (rows - rows.mean(1, keepdims=True)) / np.where(flat, 1, spread)).tolist()


def chosen(row: Sequence[float], threshold: float | Sequence[float]) -> set[str]:
    cuts = [threshold] * len(LABELS) if isinstance(threshold, float) else threshold
    return {label for label, score, cut in zip(LABELS, row, cuts, strict=True) if score > cut}


def targets_of() -> np.ndarray[Any, np.dtype[np.int8]]:
    drawn = [[int(label in present) for label in LABELS] for present in SETS]
    for (image, label), target in LIED.items():
        drawn[image][LABELS.index(label)] = target
    return np.array(drawn, dtype=np.int8)


TARGETS = targets_of()
CUTS = [0.5, *[0.72] * 7, *[0.9] * 7, inf]

BY_HAND: dict[str, tuple[zs.Strategy, Callable[[], Answer]]] = {
    "per-label": (zs.PerLabel(), per_label),
    "compound": (zs.Compound(), compound),
    "yes-or-no": (zs.YesOrNo(), yes_or_no),
    "list-all": (zs.ListAll(max_labels=4), list_all),
    "top-all": (zs.TopAll(), top_all),
    "llm": (Llm(base="list-all", max_labels=2, captions=Captions(BANK)), llm),
    "normalised-per-label": (zs.Normalised(zs.PerLabel(), threshold=1.5), partial(normalised, per_label, 1.5)),
    "normalised-top-all": (zs.Normalised(zs.TopAll()), partial(normalised, top_all, 2.0)),
    "thresholded": (
        zs.Thresholded(zs.PerLabel(), zs.Thresholds(LABELS, tuple(CUTS), "by hand", True, {}, {})),
        thresholded,
    ),
}


def test_no_built_in_strategy_is_forgotten() -> None:
    assert set(STRATEGIES) <= set(BY_HAND)


@pytest.fixture
def world(tmp_path: Path) -> tuple[zs.Dataset, zs.EmbeddingStore]:
    images = draw_files(tmp_path / "images", SETS, LABELS)
    return zs.Dataset("planted", LABELS, images, TARGETS), zs.EmbeddingStore(PlantedEncoder(labels=LABELS), cache=None)


@pytest.mark.parametrize("name", BY_HAND)
def test_scores_and_decisions_are_those_worked_out_by_hand(
    name: str, world: tuple[zs.Dataset, zs.EmbeddingStore]
) -> None:
    strategy, answer = BY_HAND[name]
    expected = answer()
    result = zs.run(strategy, *world)
    np.testing.assert_allclose(result.prediction.scores, expected.scores, rtol=0, atol=ROUNDING)
    assert decided(result) == expected.present
    assert result.mAP == pytest.approx(mean_average_precision(result), abs=1e-9)


@pytest.mark.parametrize("name", BY_HAND)
def test_measures_are_as_recorded(name: str, world: tuple[zs.Dataset, zs.EmbeddingStore]) -> None:
    result = zs.run(BY_HAND[name][0], *world)
    check(f"planted-{name}", facts_of(result), tolerance=ROUNDING)


def test_an_adapter_says_what_it_has_learnt(world: tuple[zs.Dataset, zs.EmbeddingStore]) -> None:
    """The nearest of the training images is the image itself, so its targets are the answer."""
    data, store = world
    known = dataclasses.replace(data, targets=np.abs(TARGETS))
    learnt = zs.Adapter(zs.train("knn,k=1", known, store, validation=0).trained)
    result = zs.run(learnt, known, store)
    assert decided(result) == [
        {label for label, target in zip(LABELS, row, strict=True) if target} for row in known.targets
    ]
    assert result.mAP == 1.0
    check("planted-adapter", facts_of(result))


def test_predict_says_the_same_of_files(world: tuple[zs.Dataset, zs.EmbeddingStore]) -> None:
    data, store = world
    found = zs.predict([image.path for image in data.images], LABELS, store, strategy=zs.TopAll())
    assert [{label for label, _ in found.present(n)} for n in range(len(SETS))] == top_all().present


def facts_of(result: zs.Result) -> dict[str, Any]:
    """Its measures, decisions and scores.

    Without measures of the best labels of an image: here all absent labels score alike, and rounding orders them.
    """
    facts = {key: value for key, value in result.to_dict().items() if "top3" not in key and "_at_" not in key}
    present = [sorted(labels) for labels in decided(result)]
    return facts | {"present": present, "scores": result.prediction.scores.tolist()}


def decided(result: zs.Result) -> list[set[str]]:
    return [set(np.array(LABELS)[row].tolist()) for row in result.prediction.decisions]


def mean_average_precision(result: zs.Result) -> float:
    """Mean over labels of the mean over positives of the precision among all that score as high."""
    precisions = []
    for scores, targets in zip(result.prediction.scores.T, TARGETS.T, strict=True):
        known = [(score, target) for score, target in zip(scores, targets, strict=True) if target != -1]
        positives = [score for score, target in known if target == 1]
        reached = [[target for score, target in known if score >= least] for least in positives]
        precisions.append(np.mean([sum(group) / len(group) for group in reached]))
    return float(np.mean(precisions))
