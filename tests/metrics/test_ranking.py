"""Ranking and targets: equal to scikit-learn and torchmetrics, to the definitions, and to published numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.random import default_rng
from planted_targets import (
    SCORES,
    draw,
    draw_targets,
    label_table,
    over_labellings,
    over_scores,
    over_shapes,
    per_known_column,
    scores_and_targets,
    sklearn_average_precision,
    torchmetric,
)
from sklearn.metrics import auc, precision_recall_curve

from zsprompt.metrics import (
    all_point_average_precision,
    average_precision,
    eleven_point_average_precision,
    f1_scores,
    mean_over_labels,
    precision_recall,
    prevalence,
    resampled_precision,
    resolve_targets,
    seed_average_precision,
    seed_nothing,
)

BY_SCORES = [average_precision, eleven_point_average_precision, all_point_average_precision]
BY_DECISIONS = [seed_average_precision, lambda decisions, targets: f1_scores(decisions, targets).f1]


def sklearn_seed(decisions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    def area(present: np.ndarray, yes: np.ndarray) -> float:
        precision, recall, _ = precision_recall_curve(present, yes.astype(float))
        return auc(recall, precision)

    return per_known_column(area, decisions, targets)


def recall_and_precision(present: np.ndarray, column: np.ndarray) -> list[tuple[Fraction, Fraction]]:
    """Threshold by threshold, as exact fractions."""
    chosen = [present[column >= threshold] for threshold in set(column)]
    positives = int(present.sum())
    return [(Fraction(int(c.sum()), positives), Fraction(int(c.sum()), len(c))) for c in chosen]


def plain_eleven_point(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    def mean_of_best(present: np.ndarray, column: np.ndarray) -> float:
        points = recall_and_precision(present, column)
        return float(sum(max(p for recall, p in points if recall >= Fraction(t, 10)) for t in range(11)) / 11)

    return per_known_column(mean_of_best, scores, targets)


def plain_all_point(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    def area(present: np.ndarray, column: np.ndarray) -> float:
        points = recall_and_precision(present, column)
        recalls = sorted({Fraction(0)} | {recall for recall, _ in points})
        return float(sum((high - low) * max(p for r, p in points if r >= high) for low, high in pairwise(recalls)))

    return per_known_column(area, scores, targets)


@over_labellings
@over_scores
@over_shapes
class TestAgainstReferences:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_average_precision(self, shape: tuple[int, int], kind: str, dtype: type, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling, dtype)
        expected = sklearn_average_precision(scores, targets)
        np.testing.assert_allclose(average_precision(scores, targets), expected, rtol=0, atol=1e-9)

    def test_interpolated(self, shape: tuple[int, int], kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling)
        scores, targets = scores[:60], targets[:60]  # the definitions are slow
        eleven, every = eleven_point_average_precision(scores, targets), all_point_average_precision(scores, targets)
        np.testing.assert_allclose(eleven, plain_eleven_point(scores, targets), rtol=0, atol=1e-9)
        np.testing.assert_allclose(every, plain_all_point(scores, targets), rtol=0, atol=1e-9)

    def test_precision_recall(self, shape: tuple[int, int], kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling, np.float32)
        for label in range(shape[1]):
            counted, (recall, precision) = targets[:, label] != -1, precision_recall(scores, targets, label)
            if not (targets[:, label] == 1).any():
                assert (len(recall), len(precision)) == (0, 0)
                continue
            expected = precision_recall_curve(targets[counted, label], scores[counted, label])[:2]
            np.testing.assert_allclose(precision, expected[0][-2::-1], rtol=0, atol=1e-9)
            np.testing.assert_allclose(recall, expected[1][-2::-1], rtol=0, atol=1e-9)


@over_labellings
@pytest.mark.parametrize("kind", ["continuous", "tied", "constant"])
@over_shapes
def test_average_precision_against_torchmetrics(shape: tuple[int, int], kind: str, labelling: str) -> None:
    """On scores within 0..1, because it applies a sigmoid to all others."""
    scores, targets = draw(shape, kind, labelling)
    scores = np.arctan(scores) / np.pi + 0.5
    for label in np.flatnonzero((targets == 1).any(axis=0)):
        result = average_precision(scores, targets)[label]
        expected = torchmetric("binary_average_precision", scores[:, label], targets[:, label])
        assert result == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(scores_and_targets())
def test_any_scores_against_sklearn(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = case
    decisions = scores > 0
    np.testing.assert_allclose(
        average_precision(scores, targets), sklearn_average_precision(scores, targets), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        seed_average_precision(decisions, targets), sklearn_seed(decisions, targets), rtol=0, atol=1e-9
    )


@settings(deadline=None)
@given(scores_and_targets())
def test_results_are_within_0_to_1(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = case
    for values in (
        *(metric(scores, targets) for metric in BY_SCORES),
        *(metric(scores > 0, targets) for metric in BY_DECISIONS),
        *precision_recall(scores, targets, 0),
        prevalence(targets),
    ):
        counted = values[~np.isnan(values)]
        assert ((counted >= 0) & (counted <= 1)).all()


@settings(deadline=None)
@given(scores_and_targets())
def test_interpolating_never_lowers(case: tuple[np.ndarray, np.ndarray]) -> None:
    plain, interpolated = average_precision(*case), all_point_average_precision(*case)
    counted = ~np.isnan(plain)
    assert (interpolated[counted] >= plain[counted] - 1e-12).all()


class TestInvariances:
    @pytest.fixture(params=["continuous", "tied"])
    def case(self, request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
        random = default_rng(5)
        scores = np.round(SCORES[request.param](random, (120, 6)), 6)
        return scores, draw_targets(random, (120, 6), left_out=0.1)

    @pytest.mark.parametrize("metric", BY_SCORES)
    def test_the_order_of_images_has_no_effect(self, metric: Callable, case: tuple) -> None:
        scores, targets = case
        expected = metric(scores, targets)
        for rows in (slice(None, None, -1), default_rng(1).permutation(120), np.lexsort(targets.T)):
            np.testing.assert_array_equal(metric(scores[rows], targets[rows]), expected)

    @pytest.mark.parametrize("metric", BY_SCORES)
    def test_permuting_labels_permutes(self, metric: Callable, case: tuple) -> None:
        scores, targets = case
        order = [3, 0, 5, 1, 4, 2]
        np.testing.assert_array_equal(metric(scores[:, order], targets[:, order]), metric(scores, targets)[order])

    @pytest.mark.parametrize("increasing", [lambda s: 3 * s - 7, np.exp, lambda s: s**3, np.arctan])
    @pytest.mark.parametrize("metric", BY_SCORES)
    def test_an_increasing_map_of_scores_has_no_effect(
        self, metric: Callable, increasing: Callable, case: tuple
    ) -> None:
        scores, targets = case
        np.testing.assert_array_equal(metric(increasing(scores), targets), metric(scores, targets))

    @pytest.mark.parametrize("metric", BY_SCORES)
    def test_scores_of_ignored_targets_have_no_effect(self, metric: Callable, case: tuple) -> None:
        scores, targets = case
        others = np.where(targets == -1, 1e9 * default_rng(2).standard_normal(scores.shape), scores)
        np.testing.assert_array_equal(metric(others, targets), metric(scores, targets))

    @pytest.mark.parametrize("metric", BY_DECISIONS, ids=["seed", "f1"])
    def test_decisions_on_ignored_targets_have_no_effect(self, metric: Callable, case: tuple) -> None:
        scores, targets = case
        decisions = scores > 0
        np.testing.assert_array_equal(metric(decisions ^ (targets == -1), targets), metric(decisions, targets))

    def test_inputs_are_not_modified(self, case: tuple) -> None:
        before = [array.copy() for array in case]
        for metric in BY_SCORES:
            metric(*case)
        resampled_precision(*case, resamples=2)
        f1_scores(case[0] > 0, case[1])
        resolve_targets(case[1], "negative")
        for array, copy in zip(case, before, strict=True):
            np.testing.assert_array_equal(array, copy)


class TestByHand:
    SCORES = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]])
    TARGETS = np.array([[1], [0], [1], [0], [0]], dtype=np.int8)

    def test_average_precision(self) -> None:
        assert average_precision(self.SCORES, self.TARGETS) == pytest.approx((1 + 2 / 3) / 2)

    def test_eleven_point(self) -> None:
        # precision 1 up to recall 0.5 (six of the eleven recalls), then 2/3
        assert eleven_point_average_precision(self.SCORES, self.TARGETS) == pytest.approx((6 + 5 * 2 / 3) / 11)

    def test_eleven_point_counts_a_recall_that_is_just_reached(self) -> None:
        """3 of 10 positives come first: recall 0.3 itself has precision 1, though 3 * 0.1 > 0.3 in floats."""
        targets = np.array([[1] * 3 + [0] * 7 + [1] * 7], dtype=np.int8).T
        scores = -np.arange(17.0)[:, None]
        assert eleven_point_average_precision(scores, targets) == pytest.approx((4 + 7 * 10 / 17) / 11)

    def test_all_point_fills_a_dent(self) -> None:
        """Precision at the three positives is 1/2, 2/3, 3/4: interpolated it is 3/4 all along."""
        targets = np.array([[0, 1, 1, 1]], dtype=np.int8).T
        assert all_point_average_precision(-np.arange(4.0)[:, None], targets) == pytest.approx(3 / 4)

    def test_precision_recall(self) -> None:
        recall, precision = precision_recall(self.SCORES, self.TARGETS, 0)
        np.testing.assert_allclose(recall, [1 / 2, 1 / 2, 1, 1, 1])
        np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 2 / 4, 2 / 5])

    def test_labels_count_from_the_end_too(self) -> None:
        scores, targets = np.c_[-self.SCORES, self.SCORES], np.c_[self.TARGETS, self.TARGETS]
        for result, expected in zip(
            precision_recall(scores, targets, -1), precision_recall(scores, targets, 1), strict=True
        ):
            np.testing.assert_array_equal(result, expected)

    def test_best_and_worst_ranking(self) -> None:
        scores, targets = np.arange(4.0)[:, None], np.array([[0, 0, 1, 1]], dtype=np.int8).T
        assert average_precision(scores, targets) == [1]
        assert average_precision(-scores, targets) == pytest.approx((1 / 3 + 2 / 4) / 2)

    def test_an_ignored_image_has_no_effect(self) -> None:
        targets = np.r_[self.TARGETS, [[-1]]].astype(np.int8)
        scores = np.r_[self.SCORES, [[0.85]]]
        assert average_precision(scores, targets) == average_precision(self.SCORES, self.TARGETS)


@pytest.mark.parametrize("metric", BY_SCORES)
@pytest.mark.parametrize("left_out", [0.0, 0.3])
def test_a_constant_predictor_gets_the_prevalence(metric: Callable, left_out: float) -> None:
    targets = np.sort(draw_targets(default_rng(0), (90, 8), left_out), axis=0)[::-1]  # a file sorted by label
    np.testing.assert_allclose(metric(np.ones(targets.shape), targets), prevalence(targets))


@pytest.mark.parametrize("metric", [*BY_SCORES, lambda scores, targets: seed_average_precision(scores > 0, targets)])
@pytest.mark.parametrize("column", [[0, 0, 0], [-1, -1, -1], [0, -1, 0]], ids=str)
def test_a_label_without_positives_has_no_value(metric: Callable, column: list[int]) -> None:
    targets = np.array([column, [1, 0, 0]], dtype=np.int8).T
    scores = np.array([[0.3, 0.1, 0.2], [3.0, 2.0, 1.0]]).T
    np.testing.assert_array_equal(np.isnan(metric(scores, targets)), [True, False])
    np.testing.assert_array_equal(np.isnan(prevalence(targets)), [True, False])
    np.testing.assert_array_equal(np.isnan(seed_nothing(targets)), [True, False])


def test_prevalence() -> None:
    targets = np.array([[1, 1, 0, 0, 0], [1, 0, -1, -1, -1], [1, 1, 1, -1, -1]], dtype=np.int8).T
    np.testing.assert_allclose(prevalence(targets), [2 / 5, 1 / 2, 1])


@over_labellings
@pytest.mark.parametrize("yes", [0.0, 0.1, 0.5, 1.0])
@over_shapes
def test_seed_average_precision_against_sklearn(shape: tuple[int, int], yes: float, labelling: str) -> None:
    random, (_, targets) = default_rng(sum(shape)), draw(shape, "constant", labelling)
    decisions = random.random(shape) < yes
    result = seed_average_precision(decisions, targets)
    np.testing.assert_allclose(result, sklearn_seed(decisions, targets), rtol=0, atol=1e-9)


@pytest.mark.parametrize("always", [False, True])
def test_one_sided_decisions_score_like_predicting_nothing(always: bool) -> None:
    targets = draw_targets(default_rng(3), (60, 7), left_out=0.2)
    result = seed_average_precision(np.full(targets.shape, always), targets)
    np.testing.assert_allclose(result, seed_nothing(targets))
    np.testing.assert_allclose(result, (1 + prevalence(targets)) / 2)


class TestPublishedNumbers:
    """Scores of predicting nothing, and of chance, on the official label files, in percent as published."""

    @pytest.mark.parametrize(
        ("file", "difficult", "shape", "nothing", "chance"),
        [
            ("voc2007_test_ternary.csv.gz", "negative", (4952, 20), 53.5, 7.1),
            ("voc2007_test_ternary.csv.gz", "ignore", (4952, 20), 53.6, 7.15),
            ("coco_val2014.csv.gz", "ignore", (40137, 80), 51.8, 3.6),
            ("kaggle10_all.csv.gz", "ignore", (7843, 10), 55.9, 11.9),
        ],
    )
    def test_nothing_and_chance(
        self, test_data: Path, file: str, difficult: str, shape: tuple[int, int], nothing: float, chance: float
    ) -> None:
        targets = resolve_targets(label_table(test_data, file), difficult)
        assert targets.shape == shape
        assert 100 * mean_over_labels(seed_nothing(targets)) == pytest.approx(nothing, abs=0.05)
        assert 100 * mean_over_labels(prevalence(targets)) == pytest.approx(chance, abs=0.05)

    def test_voc_difficult(self, test_data: Path) -> None:
        left_out = label_table(test_data, "voc2007_test_ternary.csv.gz") == -1
        assert (left_out.sum(), left_out.any(axis=1).sum()) == (619, 551)


@pytest.mark.parametrize(
    ("difficult", "expected"), [("ignore", [1, 0, -1]), ("negative", [1, 0, 0]), ("positive", [1, 0, 1])]
)
def test_resolve_targets(difficult: str, expected: list[int]) -> None:
    result = resolve_targets(np.array([[1, 0, -1]], dtype=np.int8), difficult)
    assert result.tolist() == [expected]
    assert result.dtype == np.int8


@pytest.mark.parametrize(("values", "mean"), [([0.25, math.nan, 0.75], 0.5), ([0.0], 0.0), ([1.0, 0.0, 0.5], 0.5)])
def test_mean_over_labels(values: list[float], mean: float) -> None:
    assert mean_over_labels(np.array(values)) == mean


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan, math.nan]])
def test_mean_over_no_labels(values: list[float]) -> None:
    assert math.isnan(mean_over_labels(np.array(values)))
