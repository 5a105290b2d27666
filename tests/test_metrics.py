"""Metrics: equal to scikit-learn, to references written here, and to published numbers of the label files."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.random import Generator, default_rng
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, precision_recall_fscore_support

from zsprompt.errors import UsageError
from zsprompt.metrics import (
    average_precision,
    bootstrap_interval,
    eleven_point_average_precision,
    f1_scores,
    mean_over_labels,
    prevalence,
    resolve_targets,
    seed_average_precision,
    seed_nothing,
)

SHAPES = [(1, 1), (2, 3), (7, 2), (50, 20), (300, 5)]
SCORES: dict[str, Callable[[Generator, tuple[int, int]], np.ndarray]] = {
    "continuous": lambda random, shape: random.standard_normal(shape),
    "tied": lambda random, shape: random.integers(-2, 3, shape) / 4,
    "constant": lambda random, shape: np.full(shape, 0.3),
    "0/1": lambda random, shape: (random.random(shape) < 0.3) * 1.0,
    "huge": lambda random, shape: random.standard_normal(shape) * 1e30,
    "tiny": lambda random, shape: random.standard_normal(shape) * 1e-30,
    "tiny differences": lambda random, shape: 1 + random.integers(0, 5, shape) * 2.0**-20,
    "all negative": lambda random, shape: -np.exp(random.standard_normal(shape)),
}
BY_SCORES = [average_precision, eleven_point_average_precision]
BY_DECISIONS = [seed_average_precision, lambda decisions, targets: f1_scores(decisions, targets).f1]


def draw_targets(random: Generator, shape: tuple[int, int], left_out: float = 0.0) -> np.ndarray:
    """Labels of very different prevalence; the first has no positives, the last no negatives."""
    targets = (random.random(shape) < np.linspace(0, 1, shape[1])).astype(np.int8)
    targets[random.random(shape) < left_out] = -1
    return targets


def sklearn_average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return per_known_column(average_precision_score, scores, targets)


def sklearn_seed(decisions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    def area(present: np.ndarray, yes: np.ndarray) -> float:
        precision, recall, _ = precision_recall_curve(present, yes.astype(float))
        return auc(recall, precision)

    return per_known_column(area, decisions, targets)


def plain_eleven_point(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """By the definition, one threshold after the other, recalls as exact fractions."""

    def mean_of_best(present: np.ndarray, column: np.ndarray) -> float:
        chosen = [column >= threshold for threshold in set(column)]
        points = [(Fraction(int(present[c].sum()), int(present.sum())), present[c].mean()) for c in chosen]
        return sum(max(p for recall, p in points if recall >= Fraction(t, 10)) for t in range(11)) / 11

    return per_known_column(mean_of_best, scores, targets)


def per_known_column(metric: Callable, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """`metric` of each label's cells that are not left out; NaN for a label without positives."""
    found = []
    for value, target in zip(values.T, targets.T, strict=True):
        known = target != -1
        found.append(metric(target[known], value[known]) if (target == 1).any() else math.nan)
    return np.array(found)


@pytest.mark.parametrize("left_out", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestAgainstReferences:
    def test_average_precision(self, shape: tuple[int, int], kind: str, dtype: type, left_out: float) -> None:
        scores, targets = self.draw(shape, kind, dtype, left_out)
        expected = sklearn_average_precision(scores, targets)
        np.testing.assert_allclose(average_precision(scores, targets), expected, rtol=0, atol=1e-9)

    def test_eleven_point(self, shape: tuple[int, int], kind: str, dtype: type, left_out: float) -> None:
        scores, targets = self.draw(shape, kind, dtype, left_out)
        expected = plain_eleven_point(scores, targets)
        np.testing.assert_allclose(eleven_point_average_precision(scores, targets), expected, rtol=0, atol=1e-9)

    @staticmethod
    def draw(shape: tuple[int, int], kind: str, dtype: type, left_out: float) -> tuple[np.ndarray, np.ndarray]:
        random = default_rng(sum(shape))
        return SCORES[kind](random, shape).astype(dtype), draw_targets(random, shape, left_out)


@st.composite
def scores_and_targets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 4)))
    width, largest = draw(st.sampled_from([(32, 2.0**100), (64, 1e300)]))
    number = st.floats(-largest, largest, width=width) | st.sampled_from([0.0, -0.0, 0.5, 1.0])
    scores = draw(arrays.arrays(f"float{width}", shape, elements=number))
    return scores, draw(arrays.arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1])))


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
def test_results_are_shares(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = case
    f1 = f1_scores(scores > 0, targets)
    for values in (
        average_precision(scores, targets),
        eleven_point_average_precision(scores, targets),
        seed_average_precision(scores > 0, targets),
        prevalence(targets),
        np.r_[f1.precision, f1.recall, f1.f1, f1.micro, f1.macro, f1.sample],
    ):
        known = values[~np.isnan(values)]
        assert ((known >= 0) & (known <= 1)).all()


class TestInvariances:
    @pytest.fixture(params=["continuous", "tied"])
    def case(self, request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
        random = default_rng(5)
        scores = np.round(SCORES[request.param](random, (120, 6)), 6)
        return scores, draw_targets(random, (120, 6), left_out=0.1)

    @pytest.mark.parametrize("metric", BY_SCORES)
    def test_the_order_of_images_changes_nothing(self, metric: Callable, case: tuple) -> None:
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
    def test_an_increasing_map_of_scores_changes_nothing(
        self, metric: Callable, increasing: Callable, case: tuple
    ) -> None:
        scores, targets = case
        np.testing.assert_array_equal(metric(increasing(scores), targets), metric(scores, targets))

    @pytest.mark.parametrize("metric", BY_SCORES)
    def test_scores_of_left_out_cells_change_nothing(self, metric: Callable, case: tuple) -> None:
        scores, targets = case
        others = np.where(targets == -1, 1e9 * default_rng(2).standard_normal(scores.shape), scores)
        np.testing.assert_array_equal(metric(others, targets), metric(scores, targets))
        assert bootstrap_interval(others, targets, resamples=20) == bootstrap_interval(scores, targets, resamples=20)

    @pytest.mark.parametrize("metric", BY_DECISIONS, ids=["seed", "f1"])
    def test_decisions_of_left_out_cells_change_nothing(self, metric: Callable, case: tuple) -> None:
        scores, targets = case
        decisions = scores > 0
        np.testing.assert_array_equal(metric(decisions ^ (targets == -1), targets), metric(decisions, targets))

    def test_inputs_stay_as_they_are(self, case: tuple) -> None:
        before = [array.copy() for array in case]
        average_precision(*case)
        bootstrap_interval(*case, resamples=2)
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

    def test_best_and_worst_ranking(self) -> None:
        scores, targets = np.arange(4.0)[:, None], np.array([[0, 0, 1, 1]], dtype=np.int8).T
        assert average_precision(scores, targets) == [1]
        assert average_precision(-scores, targets) == pytest.approx((1 / 3 + 2 / 4) / 2)

    def test_left_out_image_is_as_if_it_were_not_there(self) -> None:
        targets = np.r_[self.TARGETS, [[-1]]].astype(np.int8)
        scores = np.r_[self.SCORES, [[0.85]]]
        assert average_precision(scores, targets) == average_precision(self.SCORES, self.TARGETS)

    def test_f1(self) -> None:
        decisions = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
        found = f1_scores(decisions, np.array([[1, 0], [0, 1], [1, -1]], dtype=np.int8))
        np.testing.assert_allclose(found.precision, [1 / 2, 0])
        np.testing.assert_allclose(found.recall, [1 / 2, 0])
        np.testing.assert_allclose(found.f1, [1 / 2, 0])
        assert (found.micro, found.macro) == pytest.approx((2 / 6, 1 / 4))
        assert found.sample == pytest.approx((2 / 3 + 0 + 0) / 3)


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


@pytest.mark.parametrize("left_out", [0.0, 0.2])
@pytest.mark.parametrize("yes", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_seed_average_precision_against_sklearn(shape: tuple[int, int], yes: float, left_out: float) -> None:
    random = default_rng(sum(shape))
    targets = draw_targets(random, shape, left_out)
    decisions = random.random(shape) < yes
    found = seed_average_precision(decisions, targets)
    np.testing.assert_allclose(found, sklearn_seed(decisions, targets), rtol=0, atol=1e-9)


@pytest.mark.parametrize("always", [False, True])
def test_one_sided_decisions_score_as_nothing(always: bool) -> None:
    targets = draw_targets(default_rng(3), (60, 7), left_out=0.2)
    found = seed_average_precision(np.full(targets.shape, always), targets)
    np.testing.assert_allclose(found, seed_nothing(targets))
    np.testing.assert_allclose(found, (1 + prevalence(targets)) / 2)


class TestPublishedNumbers:
    """What predicting nothing scores, and chance, on the official label files; in percent as published."""

    @pytest.mark.parametrize(
        ("file", "difficult", "images", "nothing", "chance"),
        [
            ("voc2007_test_ternary.csv.gz", "negative", 4952, 53.5, 7.1),
            ("voc2007_test_ternary.csv.gz", "ignore", 4952, 53.6, 7.15),
            ("coco_val2014.csv.gz", "ignore", 40137, 51.8, 3.6),
            ("kaggle10_all.csv.gz", "ignore", 7843, 55.9, 11.9),
        ],
    )
    def test_nothing_and_chance(
        self, test_data: Path, file: str, difficult: str, images: int, nothing: float, chance: float
    ) -> None:
        targets = resolve_targets(self.read(test_data / "labels" / file), difficult)
        assert len(targets) == images
        assert 100 * mean_over_labels(seed_nothing(targets)) == pytest.approx(nothing, abs=0.05)
        assert 100 * mean_over_labels(prevalence(targets)) == pytest.approx(chance, abs=0.05)

    def test_voc_difficult(self, test_data: Path) -> None:
        targets = self.read(test_data / "labels" / "voc2007_test_ternary.csv.gz")
        left_out = targets == -1
        assert (left_out.sum(), left_out.any(axis=1).sum()) == (619, 551)

    @staticmethod
    def read(path: Path) -> np.ndarray:
        table = pd.read_csv(path)
        if "split" in table:  # VOC: 1 present, 0 only as difficult objects, -1 absent
            table = table[table["split"] == "test"].replace({0: -1, -1: 0})
        return table.select_dtypes("number").to_numpy(np.int8)


class TestF1:
    @pytest.mark.parametrize("yes", [0.0, 0.1, 0.5, 1.0])
    @pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] > 1], ids=str)
    def test_against_sklearn(self, shape: tuple[int, int], yes: float) -> None:
        random = default_rng(sum(shape))
        targets, decisions = draw_targets(random, shape), random.random(shape) < yes
        found = f1_scores(decisions, targets)

        def expected(average: str | None) -> np.ndarray:
            return np.array(
                precision_recall_fscore_support(targets, decisions, average=average, zero_division=0)[:3], dtype=float
            )

        np.testing.assert_allclose([found.precision, found.recall, found.f1], expected(None), rtol=0, atol=1e-9)
        for value, average in ((found.micro, "micro"), (found.macro, "macro"), (found.sample, "samples")):
            assert value == pytest.approx(expected(average)[2], abs=1e-9)

    def test_left_out_cells_count_nowhere(self) -> None:
        random = default_rng(4)
        targets, decisions = draw_targets(random, (80, 6), left_out=0.3), random.random((80, 6)) < 0.4
        known, found = targets != -1, f1_scores(decisions, targets)

        def f1(cells: tuple | np.ndarray) -> float:
            kept = known[cells]
            _, _, value, _ = precision_recall_fscore_support(
                targets[cells][kept], decisions[cells][kept], average="binary", zero_division=0
            )
            return value

        np.testing.assert_allclose(found.f1, [f1(np.s_[:, c]) for c in range(6)])
        assert found.macro == pytest.approx(found.f1.mean())
        assert found.micro == pytest.approx(f1(np.s_[:]))
        assert found.sample == pytest.approx(np.mean([f1(np.s_[i]) for i in range(80)]))


class TestBootstrap:
    @pytest.fixture
    def case(self) -> tuple[np.ndarray, np.ndarray]:
        """200 images, 5 labels, the first one rare; scores that know something, with ties and left-out cells."""
        random = default_rng(7)
        targets = (random.random((200, 5)) < [0.01, 0.05, 0.1, 0.3, 0.6]).astype(np.int8)
        targets[0, 0] = 1
        scores = np.round(targets + random.standard_normal((200, 5)), 1)
        targets[random.random((200, 5)) < 0.05] = -1
        return scores, targets

    @staticmethod
    def resampled(scores: np.ndarray, targets: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
        """[resamples, C] scikit-learn's average precision of the images that were really drawn."""
        random, images = default_rng(seed), len(scores)
        draws = [random.integers(images, size=images) for _ in range(resamples)]
        return np.array([sklearn_average_precision(scores[draw], targets[draw]) for draw in draws])

    @pytest.mark.parametrize(("seed", "level"), [(0, 0.95), (1, 0.95), (0, 0.5)])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_against_images_really_drawn(self, case: tuple, dtype: type, seed: int, level: float) -> None:
        scores, targets = case[0].astype(dtype), case[1]
        aps = self.resampled(scores, targets, resamples=60, seed=seed)
        assert np.isnan(aps).any()  # some resamples lack the rare label
        expected = np.quantile(np.nanmean(aps, axis=1), [(1 - level) / 2, (1 + level) / 2])
        found = bootstrap_interval(scores, targets, resamples=60, seed=seed, level=level)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)

    def test_same_seed_same_interval(self, case: tuple) -> None:
        assert bootstrap_interval(*case, resamples=50, seed=3) == bootstrap_interval(*case, resamples=50, seed=3)
        assert bootstrap_interval(*case, resamples=50, seed=3) != bootstrap_interval(*case, resamples=50, seed=4)

    @pytest.mark.parametrize("cells", [1, 200, 200 * 7 + 1, 2**30])
    def test_block_size_changes_nothing(self, case: tuple, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = bootstrap_interval(*case, resamples=30)
        monkeypatch.setattr("zsprompt.metrics.bootstrap._CELLS", cells)
        assert bootstrap_interval(*case, resamples=30) == expected

    def test_interval_holds_the_map_and_widens_with_the_level(self, case: tuple) -> None:
        mean = mean_over_labels(average_precision(*case))
        low, high = bootstrap_interval(*case, level=0.95)
        inner_low, inner_high = bootstrap_interval(*case, level=0.5)
        assert 0 < low < inner_low < mean < inner_high < high < 1

    def test_a_perfect_ranking_is_certain(self) -> None:
        targets = draw_targets(default_rng(0), (50, 5))
        assert bootstrap_interval(targets.astype(float), targets, resamples=20) == (1, 1)

    def test_a_label_without_positives_changes_nothing(self, case: tuple) -> None:
        scores, targets = (np.c_[array, np.zeros(200, array.dtype)] for array in case)
        assert bootstrap_interval(scores, targets, resamples=20) == bootstrap_interval(*case, resamples=20)

    @pytest.mark.parametrize("images", [0, 1, 5])
    def test_no_positives_no_interval(self, images: int) -> None:
        found = bootstrap_interval(np.zeros((images, 2)), np.zeros((images, 2), dtype=np.int8), resamples=5)
        assert np.isnan(found).all()

    def test_no_positives_in_any_resample_no_interval(self) -> None:
        scores, targets = np.arange(30.0)[:, None], np.eye(30, 1, dtype=np.int8)
        seed = next(s for s in range(100) if np.isnan(self.resampled(scores, targets, resamples=2, seed=s)).all())
        assert np.isnan(bootstrap_interval(scores, targets, resamples=2, seed=seed)).all()

    @pytest.mark.parametrize(
        "wrong", [{"resamples": 1}, {"resamples": -3}, {"level": 0}, {"level": 1}, {"level": 95}, {"level": math.nan}]
    )
    def test_refuses(self, case: tuple, wrong: dict) -> None:
        with pytest.raises(UsageError, match=r"at least 2 resamples and a level within \(0, 1\)"):
            bootstrap_interval(*case, **wrong)


@pytest.mark.parametrize(
    ("difficult", "expected"), [("ignore", [1, 0, -1]), ("negative", [1, 0, 0]), ("positive", [1, 0, 1])]
)
def test_resolve_targets(difficult: str, expected: list[int]) -> None:
    found = resolve_targets(np.array([[1, 0, -1]], dtype=np.int8), difficult)
    assert found.tolist() == [expected]
    assert found.dtype == np.int8


@pytest.mark.parametrize(("values", "mean"), [([0.25, math.nan, 0.75], 0.5), ([0.0], 0.0), ([1.0, 0.0, 0.5], 0.5)])
def test_mean_over_labels(values: list[float], mean: float) -> None:
    assert mean_over_labels(np.array(values)) == mean


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan, math.nan]])
def test_mean_over_no_labels(values: list[float]) -> None:
    assert math.isnan(mean_over_labels(np.array(values)))
