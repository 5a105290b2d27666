"""Decisions and the k best labels: equal to scikit-learn, torchmetrics, and every order of ties."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from planted_targets import (
    SHAPES,
    draw,
    draw_targets,
    label_table,
    over_labellings,
    over_shapes,
    scores_and_targets,
    torchmetric,
)
from sklearn.metrics import precision_recall_fscore_support

from zsprompt.errors import UsageError
from zsprompt.metrics import Overall, f1_scores, hit_at_one, resolve_targets, top_k
from zsprompt.metrics.decisions import among_best

FEW = [(1, 1), (1, 4), (3, 1), (2, 3), (3, 4)]  # small enough to try everything
over_few = pytest.mark.parametrize("shape", FEW, ids=str)
over_ties = pytest.mark.parametrize("kind", ["continuous", "tied", "constant"])
over_k = pytest.mark.parametrize("k", [1, 3, 7])


def sklearn_f1(decisions: np.ndarray, targets: np.ndarray, average: str | None) -> np.ndarray:
    """Precision, recall and F1 with 0/0 = 0. An extra column avoids scikit-learn's single-column case."""
    filled = [np.c_[array, np.zeros(len(array), bool)] for array in (targets == 1, decisions)]
    labels = range(targets.shape[1])
    result = precision_recall_fscore_support(*filled, labels=labels, average=average, zero_division=0)
    return np.array(result[:3], dtype=float)


def sklearn_overall(decisions: np.ndarray, targets: np.ndarray) -> list[float]:
    cp, cr, _ = sklearn_f1(decisions, targets, "macro")
    return [cp, cr, 2 * cp * cr / (cp + cr) if cp + cr else 0, *sklearn_f1(decisions, targets, "micro")]


def numbers(overall: Overall) -> list[float]:
    return [overall.CP, overall.CR, overall.CF1, overall.OP, overall.OR, overall.OF1]


class TestF1:
    @over_labellings
    @pytest.mark.parametrize("yes", [0.0, 0.1, 0.5, 1.0])
    @over_shapes
    def test_against_sklearn(self, shape: tuple[int, int], yes: float, labelling: str) -> None:
        """Without ignored targets; and with them, as decisions against an absent label."""
        random, (_, targets) = default_rng(sum(shape)), draw(shape, "constant", labelling)
        decisions = random.random(shape) < yes
        result, counted = f1_scores(decisions, targets), decisions & (targets != -1)
        expected = sklearn_f1(counted, targets, None)
        np.testing.assert_allclose([result.precision, result.recall, result.f1], expected, rtol=0, atol=1e-9)
        assert result.macro == pytest.approx(expected[2].mean(), abs=1e-9)
        assert result.micro == pytest.approx(sklearn_f1(counted, targets, "micro")[2], abs=1e-9)
        samples = [result.sample_precision, result.sample_recall, result.sample]
        np.testing.assert_allclose(samples, sklearn_f1(counted, targets, "samples"), rtol=0, atol=1e-9)
        assert numbers(result.overall) == pytest.approx(sklearn_overall(counted, targets), abs=1e-9)
        assert result.micro == result.overall.OF1

    @over_labellings
    @pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] > 1], ids=str)
    def test_against_torchmetrics(self, shape: tuple[int, int], labelling: str) -> None:
        random, (_, targets) = default_rng(sum(shape)), draw(shape, "constant", labelling)
        decisions = random.random(shape) < 0.4
        result = f1_scores(decisions, targets)

        def expected(measure: str, average: str) -> float:
            values = decisions.astype(np.int64), targets.astype(np.int64)
            return torchmetric(f"multilabel_{measure}", *values, num_labels=shape[1], average=average)

        np.testing.assert_allclose(result.f1, expected("f1_score", "none"), rtol=0, atol=1e-6)
        assert result.macro == pytest.approx(expected("f1_score", "macro"), abs=1e-6)
        overall = result.overall
        for value, measure, average in (
            (overall.CP, "precision", "macro"),
            (overall.CR, "recall", "macro"),
            (overall.OP, "precision", "micro"),
            (overall.OR, "recall", "micro"),
            (overall.OF1, "f1_score", "micro"),
        ):
            assert value == pytest.approx(expected(measure, average), abs=1e-6)

    def test_ignored_targets_count_nowhere(self) -> None:
        random = default_rng(4)
        targets, decisions = draw_targets(random, (80, 6), left_out=0.3), random.random((80, 6)) < 0.4
        counted, result = targets != -1, f1_scores(decisions, targets)

        def f1(cells: tuple | np.ndarray) -> float:
            kept = counted[cells]
            _, _, value, _ = precision_recall_fscore_support(
                targets[cells][kept], decisions[cells][kept], average="binary", zero_division=0
            )
            return value

        np.testing.assert_allclose(result.f1, [f1(np.s_[:, c]) for c in range(6)])
        assert result.macro == pytest.approx(result.f1.mean())
        assert result.micro == pytest.approx(f1(np.s_[:]))
        assert result.sample == pytest.approx(np.mean([f1(np.s_[i]) for i in range(80)]))

    def test_by_hand(self) -> None:
        decisions = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
        result = f1_scores(decisions, np.array([[1, 0], [0, 1], [1, -1]], dtype=np.int8))
        np.testing.assert_allclose(result.precision, [1 / 2, 0])
        np.testing.assert_allclose(result.recall, [1 / 2, 0])
        np.testing.assert_allclose(result.f1, [1 / 2, 0])
        assert (result.micro, result.macro) == pytest.approx((2 / 6, 1 / 4))
        assert result.sample == pytest.approx((2 / 3 + 0 + 0) / 3)

    def test_cf1_is_not_the_mean_of_the_f1(self) -> None:
        decisions = np.array([[1, 1], [1, 0]], dtype=bool)
        result = f1_scores(decisions, np.array([[1, 1], [0, 1]], dtype=np.int8))
        assert numbers(result.overall)[:3] == pytest.approx([3 / 4, 3 / 4, 3 / 4])
        assert result.macro == pytest.approx(2 / 3)


def orders(scores: np.ndarray, targets: np.ndarray, k: int) -> dict[tuple[bool, ...], Fraction]:
    """The sets of k best labels of one image, each with its chance, over every order of its counted labels."""
    counted, chances = np.flatnonzero(targets != -1), {}
    shuffles = list(permutations(counted))
    for shuffle in shuffles:
        best = sorted(shuffle, key=lambda c: -scores[c])[:k]  # a stable sort, so that the shuffle decides on ties
        chosen = tuple(c in best for c in range(len(scores)))
        chances[chosen] = chances.get(chosen, 0) + Fraction(1, len(shuffles))
    return chances


def all_orders(scores: np.ndarray, targets: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, Fraction]]:
    """[N, C] the k best of all images, with their chance."""
    each = [orders(s, t, k).items() for s, t in zip(scores, targets, strict=True)]
    for chosen in product(*each):
        yield np.array([image for image, _ in chosen]), math.prod(chance for _, chance in chosen)


def micro_f1(chosen: np.ndarray, targets: np.ndarray) -> float:
    """Micro F1 over the targets that are not ignored."""
    message, present = int(chosen.sum()), int((targets == 1).sum())
    return 2 * int((chosen & (targets == 1)).sum()) / (message + present) if message + present else 0.0


@over_labellings
@over_ties
@over_k
class TestBestLabels:
    @over_few
    def test_equal_labels_count_by_their_chance(
        self, shape: tuple[int, int], k: int, kind: str, labelling: str
    ) -> None:
        scores, targets = draw(shape, kind, labelling)
        each = [orders(s, t, k).items() for s, t in zip(scores, targets, strict=True)]
        expected = [sum(np.array(chosen) * float(chance) for chosen, chance in image) for image in each]
        np.testing.assert_allclose(among_best(scores, targets, k), expected, rtol=0, atol=1e-12)

    @over_few
    def test_f1_is_the_mean_over_all_orders(self, shape: tuple[int, int], k: int, kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling)
        decisions = scores > 0
        result, tries = top_k(scores, targets, decisions, k), list(all_orders(scores, targets, k))
        assert result.f1 == pytest.approx(sum(p * micro_f1(chosen, targets) for chosen, p in tries))
        assert result.passing == pytest.approx(sum(p * micro_f1(chosen & decisions, targets) for chosen, p in tries))
        assert result.f1 == result.overall.OF1

    @over_few
    def test_the_ceilings_are_reached_and_never_exceeded(
        self, shape: tuple[int, int], k: int, kind: str, labelling: str
    ) -> None:
        scores, targets = draw(shape, kind, labelling)
        result = top_k(scores, targets, scores > 0, k)
        exactly = [chosen for chosen, _ in all_orders(np.zeros(shape), targets, k)]
        assert result.ceiling == pytest.approx(max(micro_f1(chosen, targets) for chosen in exactly))
        at_most = product(*(subsets(t, k) for t in targets))
        assert result.passing_ceiling == pytest.approx(max(micro_f1(np.array(chosen), targets) for chosen in at_most))

    @over_shapes
    def test_permuting_labels_or_images_has_no_effect(
        self, shape: tuple[int, int], k: int, kind: str, labelling: str
    ) -> None:
        scores, targets = draw(shape, kind, labelling)
        decisions, random = scores > 0.1, default_rng(1)
        expected = everything(scores, targets, decisions, k)
        rows, columns = random.permutation(shape[0]), random.permutation(shape[1])
        for cells in (np.s_[rows], np.s_[:, columns], np.s_[::-1, ::-1]):
            permuted = everything(scores[cells], targets[cells], decisions[cells], k)
            np.testing.assert_allclose(permuted, expected, rtol=0, atol=1e-12)

    @over_shapes
    def test_ignored_targets_are_skipped(self, shape: tuple[int, int], k: int, kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling)
        targets[default_rng(3).random(shape) < 0.2] = -1
        others = np.where(targets == -1, 1e9 * default_rng(2).standard_normal(shape), scores)
        result, chosen = everything(others, targets, others > 0, k), among_best(others, targets, k)
        np.testing.assert_array_equal(result, everything(scores, targets, scores > 0, k))
        np.testing.assert_allclose(chosen.sum(axis=1), np.minimum((targets != -1).sum(axis=1), k))
        assert (chosen[targets == -1] == 0).all()


def subsets(targets: np.ndarray, k: int) -> list[tuple[bool, ...]]:
    """Every choice of at most k counted labels of an image."""
    counted = np.flatnonzero(targets != -1)
    choices = [set(choice) for size in range(min(k, len(counted)) + 1) for choice in combinations(counted, size)]
    return [tuple(c in choice for c in range(len(targets))) for choice in choices]


def everything(scores: np.ndarray, targets: np.ndarray, decisions: np.ndarray, k: int) -> list[float]:
    best = top_k(scores, targets, decisions, k)
    forms = [best.f1, best.ceiling, best.passing, best.passing_ceiling]
    return [*forms, *numbers(best.overall), hit_at_one(scores, targets)]


@over_labellings
@over_k
@over_shapes
def test_best_labels_without_ties_against_sklearn(shape: tuple[int, int], k: int, labelling: str) -> None:
    scores, targets = draw(shape, "continuous", labelling, np.float32)
    counted, decisions = targets != -1, default_rng(8).random(shape) < 0.5
    place = np.where(counted, -scores, np.inf).argsort(axis=1).argsort(axis=1)
    chosen, result = counted & (place < k), top_k(scores, targets, decisions, k)
    assert result.k == k
    assert numbers(result.overall) == pytest.approx(sklearn_overall(chosen, targets), abs=1e-9)
    assert result.f1 == pytest.approx(sklearn_f1(chosen, targets, "micro")[2], abs=1e-9)
    assert result.passing == pytest.approx(sklearn_f1(chosen & decisions, targets, "micro")[2], abs=1e-9)


@settings(deadline=None)
@given(scores_and_targets(), st.integers(1, 6))
def test_results_are_within_0_to_1_and_below_their_ceilings(case: tuple[np.ndarray, np.ndarray], k: int) -> None:
    scores, targets = case
    result, f1 = top_k(scores, targets, scores > 0, k), f1_scores(scores > 0, targets)
    values = np.r_[everything(scores, targets, scores > 0, k)[:-1], numbers(f1.overall), f1.micro, f1.macro, f1.sample]
    assert ((values >= 0) & (values <= 1)).all()
    assert result.f1 <= result.ceiling + 1e-12
    assert result.passing <= result.passing_ceiling + 1e-12


def test_two_equal_labels_share_one_place() -> None:
    scores, targets = np.array([[0.9, 0.5, 0.5, 0.1]]), np.array([[1, 1, 0, 0]], dtype=np.int8)
    assert among_best(scores, targets, 2).tolist() == [[1, 0.5, 0.5, 0]]
    assert top_k(scores, targets, scores > 0.6, 2).f1 == pytest.approx(2 * 1.5 / (2 + 2))
    assert top_k(scores, targets, scores > 0.6, 2).passing == pytest.approx(2 * 1 / (1 + 2))


@pytest.mark.parametrize("k", [0, -2])
def test_refuses_k_of_0(k: int) -> None:
    with pytest.raises(UsageError, match=f"at least 1 best label per image, got {k}"):
        top_k(np.zeros((2, 2)), np.zeros((2, 2), np.int8), np.zeros((2, 2), bool), k)


class TestHitAtOne:
    @over_labellings
    @over_ties
    @over_shapes
    def test_is_the_mean_chance_of_a_hit(self, shape: tuple[int, int], kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling)
        chances = []
        for s, t in zip(scores, targets, strict=True):
            counted = t != -1
            if counted.any():
                chances.append((t[counted][s[counted] == s[counted].max()] == 1).mean())
        assert hit_at_one(scores, targets) == pytest.approx(np.mean(chances) if chances else math.nan, nan_ok=True)

    def test_an_image_with_only_ignored_targets_does_not_count(self) -> None:
        targets = np.array([[1, 0], [0, 1], [-1, -1]], dtype=np.int8)
        assert hit_at_one(np.array([[2.0, 1.0]] * 3), targets) == 1 / 2

    def test_is_nan_without_images(self) -> None:
        assert math.isnan(hit_at_one(np.zeros((0, 3)), np.zeros((0, 3), np.int8)))


@pytest.mark.parametrize(
    ("file", "difficult", "ceiling"),
    [
        ("voc2007_test_ternary.csv.gz", "ignore", 63.8),
        ("voc2007_test_ternary.csv.gz", "negative", 63.8),
        ("coco_val2014.csv.gz", "ignore", 77.0),
    ],
)
def test_published_ceilings(test_data: Path, file: str, difficult: str, ceiling: float) -> None:
    targets = resolve_targets(label_table(test_data, file), difficult)
    best = top_k(targets.astype(float), targets, targets == 1, 3)
    assert 100 * best.ceiling == pytest.approx(ceiling, abs=0.05)
    assert best.f1 == pytest.approx(best.ceiling)  # perfect scores reach it
    assert best.passing == pytest.approx(best.passing_ceiling)
