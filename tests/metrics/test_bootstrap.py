"""Intervals and comparisons: equal to explicit resampling, and independent of every order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.random import default_rng
from planted_targets import draw, draw_targets, over_labellings, over_scores, over_shapes, sklearn_average_precision

from zsprompt.errors import UsageError
from zsprompt.metrics import (
    Difference,
    Sampling,
    average_precision,
    difference,
    false_discovery,
    interval,
    mean_over_labels,
    mean_precision,
    mean_without_each,
    precision_without_each,
    resampled_precision,
)

B = 60
LEVELS = [{"level": 0}, {"level": 1}, {"level": 95}, {"level": -0.5}, {"level": math.nan}]


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray]:
    """200 images, 5 labels, the first one rare; informative scores with ties, and ignored targets."""
    random = default_rng(7)
    targets = (random.random((200, 5)) < [0.01, 0.05, 0.1, 0.3, 0.6]).astype(np.int8)
    targets[0, 0] = 1
    scores = np.round(targets + random.standard_normal((200, 5)), 1)
    targets[random.random((200, 5)) < 0.05] = -1
    return scores, targets


@pytest.fixture
def other(case: tuple) -> np.ndarray:
    """Scores of a second scorer, correlated with the first and better."""
    return case[0] + (case[1] == 1) + default_rng(9).standard_normal(case[0].shape)


def explicitly_resampled(scores: np.ndarray, targets: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """[resamples, C] average precision by scikit-learn of explicitly resampled images."""
    random, images = default_rng(seed), len(scores)
    draws = [random.integers(images, size=images) for _ in range(resamples)]
    return np.array([sklearn_average_precision(scores[draw], targets[draw]) for draw in draws])


def quantile(values: np.ndarray, share: float) -> float:
    """Quantile with linear interpolation between the two nearest values."""
    ordered = sorted(float(value) for value in values if not math.isnan(value))
    place = share * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (place % 1) * (above - below)


def placed(value: float, drawn: np.ndarray, without: np.ndarray) -> list[float]:
    """The definition: reflected about the value minus the jackknife bias, at least as wide as the jackknife."""
    drawn = [float(each) for each in drawn if not math.isnan(each)]
    without = [float(each) for each in without if not math.isnan(each)]
    mean = math.fsum(drawn) / len(drawn)
    width = math.sqrt(math.fsum((each - mean) ** 2 for each in drawn) / len(drawn))
    n = len(without)
    if n < 2:
        return [2 * value - each for each in drawn]
    middle = math.fsum(without) / n
    error = math.sqrt((n - 1) / n * math.fsum((each - middle) ** 2 for each in without))
    wider = max(1.0, error / width) if width > 0 else 1.0
    return [value - (n - 1) * (middle - value) - wider * (each - mean) for each in drawn]


def by_definition(value: float, drawn: np.ndarray, without: np.ndarray, level: float) -> tuple[float, float]:
    """Their quantiles on the scale arcsin √AP, clipped to 0..1, and extended to contain the value."""
    angle, *angles = (np.arcsin(np.sqrt(part)) for part in (value, drawn, without))
    places = np.array(placed(float(angle), *angles))
    low, high = (
        math.sin(min(max(quantile(places, share), 0), math.pi / 2)) ** 2 for share in ((1 - level) / 2, (1 + level) / 2)
    )
    return min(low, value), max(high, value)


def sampled(scores: np.ndarray, targets: np.ndarray, resamples: int = B, seed: int = 0) -> Sampling:
    """The sampling variation of the mAP of scores."""
    drawn = mean_precision(resampled_precision(scores, targets, resamples=resamples, seed=seed))
    whole = mean_over_labels(average_precision(scores, targets))
    return Sampling(whole, drawn, mean_without_each(scores, targets))


def interval_of(scores: np.ndarray, targets: np.ndarray, *, level: float = 0.95, **how: int) -> tuple[float, float]:
    return interval(sampled(scores, targets, **how), level=level)


class TestWithoutEach:
    @over_labellings
    @over_scores
    @over_shapes
    def test_equals_the_value_without_the_image(self, shape: tuple, kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling, np.float32)
        scores, targets = scores[:12], targets[:12]
        left = [np.delete(np.arange(len(scores)), n) for n in range(len(scores))]
        each = np.array([average_precision(scores[rows], targets[rows]) for rows in left])
        for c in range(scores.shape[1]):
            np.testing.assert_allclose(precision_without_each(scores, targets, c), each[:, c], rtol=0, atol=1e-12)
        means = [mean_over_labels(row) for row in each]
        np.testing.assert_allclose(mean_without_each(scores, targets), means, rtol=0, atol=1e-12)


class TestResamples:
    @over_labellings
    @over_scores
    @over_shapes
    def test_equal_explicit_resampling(self, shape: tuple, kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling, np.float32)
        scores, targets = scores[:40], targets[:40]  # scikit-learn is slow
        result = resampled_precision(scores, targets, resamples=3, seed=5)
        np.testing.assert_allclose(result, explicitly_resampled(scores, targets, 3, seed=5), rtol=0, atol=1e-9)

    def test_equal_explicit_resampling_for_many_draws(self, case: tuple) -> None:
        result = resampled_precision(*case, resamples=B)
        assert np.isnan(result[:, 0]).any()  # some resamples lack the rare label
        np.testing.assert_allclose(result, explicitly_resampled(*case, B), rtol=0, atol=1e-9)
        np.testing.assert_allclose(mean_precision(result), np.nanmean(result, axis=1), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("cells", [1, 200, 200 * 7 + 1, 2**30])
    def test_do_not_depend_on_the_block_size(self, case: tuple, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = resampled_precision(*case, resamples=30)
        monkeypatch.setattr("zsprompt.metrics.bootstrap._CELLS", cells)
        np.testing.assert_array_equal(resampled_precision(*case, resamples=30), expected)

    def test_more_resamples_start_with_the_same_ones(self, case: tuple) -> None:
        few, many = (resampled_precision(*case, resamples=resamples) for resamples in (10, 25))
        np.testing.assert_array_equal(many[:10], few)

    def test_permuting_labels_permutes(self, case: tuple) -> None:
        scores, targets = case
        order = [3, 0, 4, 1, 2]
        result = resampled_precision(scores[:, order], targets[:, order], resamples=10)
        np.testing.assert_array_equal(result, resampled_precision(*case, resamples=10)[:, order])

    def test_scores_of_ignored_targets_have_no_effect(self, case: tuple) -> None:
        scores, targets = case
        others = np.where(targets == -1, 1e9 * default_rng(2).standard_normal(scores.shape), scores)
        result = resampled_precision(others, targets, resamples=20)
        np.testing.assert_array_equal(result, resampled_precision(*case, resamples=20))

    def test_a_resample_without_positives_has_no_mean(self) -> None:
        drawn = np.array([[0.5, np.nan], [np.nan, np.nan], [0.25, 0.75]])
        np.testing.assert_array_equal(mean_precision(drawn), [0.5, np.nan, 0.5])

    @pytest.mark.parametrize("resamples", [1, 0, -3])
    def test_refuses_fewer_than_two(self, case: tuple, resamples: int) -> None:
        with pytest.raises(UsageError, match=f"at least 2 resamples, got {resamples}"):
            resampled_precision(*case, resamples=resamples)


class TestInterval:
    @pytest.mark.slow
    @pytest.mark.parametrize(("seed", "level"), [(0, 0.95), (1, 0.95), (0, 0.5)])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_against_explicit_resampling(self, case: tuple, dtype: type, seed: int, level: float) -> None:
        scores, targets = case[0].astype(dtype), case[1]
        means = np.nanmean(explicitly_resampled(scores, targets, B, seed), axis=1)
        left = [np.delete(np.arange(len(scores)), n) for n in range(len(scores))]
        without = np.array([np.nanmean(sklearn_average_precision(scores[rows], targets[rows])) for rows in left])
        expected = by_definition(mean_over_labels(average_precision(scores, targets)), means, without, level)
        result = interval_of(scores, targets, seed=seed, level=level)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)

    @settings(deadline=None)
    @given(
        st.floats(0, 1),
        arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1) | st.just(math.nan)),
        arrays.arrays(np.float64, st.integers(0, 9), elements=st.floats(0, 1) | st.just(math.nan)),
        st.floats(0.01, 0.99),
    )
    def test_any_samples_against_the_definition(
        self, value: float, drawn: np.ndarray, without: np.ndarray, level: float
    ) -> None:
        result = interval(Sampling(value, drawn, without), level=level)
        if np.isnan(drawn).all():
            assert np.isnan(result).all()
            return
        assert 0 <= result[0] <= value <= result[1] <= 1
        if np.nanstd(np.arcsin(np.sqrt(drawn))) > 1e-6:  # a ratio to almost 0 has no digits to compare
            np.testing.assert_allclose(result, by_definition(value, drawn, without, level), rtol=0, atol=1e-6)

    @over_labellings
    @over_scores
    @over_shapes
    def test_contains_the_map_or_is_nan(self, shape: tuple, kind: str, labelling: str) -> None:
        scores, targets = draw(shape, kind, labelling)
        low, high = interval_of(scores, targets, resamples=20)
        value = mean_over_labels(average_precision(scores, targets))
        assert 0 <= low <= value <= high <= 1 or np.isnan([low, high]).all()
        assert np.isnan(low) >= np.isnan(value)

    def test_contains_the_map_of_many_labels_on_few_images(self) -> None:
        """Each of 200 labels has one or two of 20 images: every resample lies far above the sample."""
        random = default_rng(0)
        targets = (random.random((20, 200)) < 0.05).astype(np.int8)
        scores = targets + random.standard_normal((20, 200))
        result = sampled(scores, targets, resamples=200)
        assert result.resampled.min() > result.value
        low, high = interval(result)
        assert low < result.value <= high

    def test_nan_samples_are_excluded(self) -> None:
        drawn, without = default_rng(0).random(40), default_rng(1).random(9)
        expected = interval(Sampling(0.5, drawn, without))
        assert interval(Sampling(0.5, np.r_[drawn, np.nan, np.nan], np.r_[np.nan, without])) == expected

    @pytest.mark.parametrize(("value", "drawn"), [(math.nan, [0.1, 0.2]), (0.1, [math.nan, math.nan]), (0.1, [])])
    def test_is_nan_without_a_value_or_resamples(self, value: float, drawn: list[float]) -> None:
        assert np.isnan(interval(Sampling(value, np.array(drawn), np.array([0.1, 0.3])))).all()

    def test_same_seed_same_interval(self, case: tuple) -> None:
        assert interval_of(*case, resamples=50, seed=3) == interval_of(*case, resamples=50, seed=3)
        assert interval_of(*case, resamples=50, seed=3) != interval_of(*case, resamples=50, seed=4)

    def test_widens_with_the_level(self, case: tuple) -> None:
        mean = mean_over_labels(average_precision(*case))
        low, high = interval_of(*case, level=0.95)
        inner_low, inner_high = interval_of(*case, level=0.5)
        assert 0 < low < inner_low <= mean <= inner_high < high < 1

    def test_a_perfect_ranking_is_certain(self) -> None:
        targets = draw_targets(default_rng(0), (50, 5))
        assert interval_of(targets.astype(float), targets, resamples=20) == (1, 1)

    def test_a_label_without_positives_has_no_effect(self, case: tuple) -> None:
        scores, targets = (np.c_[array, np.zeros(200, array.dtype)] for array in case)
        assert interval_of(scores, targets, resamples=20) == interval_of(*case, resamples=20)

    @pytest.mark.parametrize("images", [0, 1, 5])
    def test_is_nan_without_positives(self, images: int) -> None:
        result = interval_of(np.zeros((images, 2)), np.zeros((images, 2), dtype=np.int8), resamples=5)
        assert np.isnan(result).all()

    def test_is_nan_without_positives_in_any_resample(self) -> None:
        scores, targets = np.arange(30.0)[:, None], np.eye(30, 1, dtype=np.int8)
        seed = next(s for s in range(100) if np.isnan(explicitly_resampled(scores, targets, resamples=2, seed=s)).all())
        assert np.isnan(interval_of(scores, targets, resamples=2, seed=seed)).all()

    @pytest.mark.parametrize("wrong", LEVELS, ids=str)
    def test_refuses_a_level_outside_0_to_1(self, case: tuple, wrong: dict) -> None:
        for of in (
            lambda: interval_of(*case, **wrong),
            lambda: interval(Sampling(0.5, np.array([0.5]), np.array([0.5])), **wrong),
        ):
            with pytest.raises(UsageError, match=r"a level within \(0, 1\), got"):
                of()


def compared(first: np.ndarray, second: np.ndarray, targets: np.ndarray, resamples: int = 200) -> Difference:
    return difference(*(sampled(scores, targets, resamples) for scores in (first, second)))


class TestDifference:
    def test_against_explicit_resampling(self, case: tuple, other: np.ndarray) -> None:
        """Both scorers on the same images, resample by resample."""
        scores, targets = case
        first, second = (np.nanmean(explicitly_resampled(s, targets, B), axis=1) for s in (scores, other))
        values = [np.nanmean(sklearn_average_precision(s, targets)) for s in (scores, other)]
        value = values[1] - values[0]
        without = mean_without_each(other, targets) - mean_without_each(scores, targets)
        deltas = placed(value, second - first, without)
        fewer = min(sum(delta <= 0 for delta in deltas), sum(delta >= 0 for delta in deltas))
        result = compared(scores, other, targets, B)
        assert (result.value, result.low, result.high, result.p) == pytest.approx(
            (value, quantile(deltas, 0.025), quantile(deltas, 0.975), (2 * fewer + 1) / (B + 1))
        )
        assert result.low < result.value < result.high

    def test_is_more_certain_than_the_two_intervals(self, case: tuple) -> None:
        """One scorer is slightly better everywhere: the intervals overlap, but the difference is significant."""
        scores, targets = (array[:, 1:] for array in case)
        better = scores + 0.3 * (targets == 1)
        first, second = (interval_of(each, targets) for each in (scores, better))
        result = compared(scores, better, targets)
        assert first[1] > second[0]
        assert result.low > 0
        assert result.p < 0.05

    def test_identical_scorers_have_no_difference(self, case: tuple) -> None:
        scores, targets = case
        for same in (scores, 3 * scores + 7, np.arctan(scores)):
            assert compared(scores, same, targets) == Difference(0, 0, 0, 1)

    def test_swapping_both_negates(self, case: tuple, other: np.ndarray) -> None:
        result, swapped = compared(case[0], other, case[1]), compared(other, case[0], case[1])
        assert (swapped.value, swapped.p) == (-result.value, result.p)
        assert (swapped.low, swapped.high) == pytest.approx((-result.high, -result.low), abs=1e-12)

    def test_permuting_labels_has_no_effect(self, case: tuple, other: np.ndarray) -> None:
        order = [3, 0, 4, 1, 2]
        result, permuted = (
            compared(case[0], other, case[1]),
            compared(*(a[:, order] for a in (case[0], other, case[1]))),
        )
        expected = (result.value, result.low, result.high, result.p)
        assert (permuted.value, permuted.low, permuted.high, permuted.p) == pytest.approx(expected, abs=1e-12)

    @settings(deadline=None)
    @given(arrays.arrays(np.float64, st.integers(200, 400), elements=st.floats(-0.2, 0.8)))
    def test_p_agrees_with_the_interval(self, deltas: np.ndarray) -> None:
        """If p is below 0.05, the interval excludes 0; if it excludes 0, p is at most one resample above 0.05."""
        none = np.zeros(1)  # one image: no jackknife, so the differences are reflected as they are
        result = difference(Sampling(0.0, np.zeros(len(deltas)), none), Sampling(0.3, 0.6 - deltas, none))
        leaves_out = result.low > 0 or result.high < 0
        assert result.p >= 0.05 or leaves_out
        assert not leaves_out or result.p <= 0.05 + 3 / (len(deltas) + 1)
        assert 1 / (len(deltas) + 1) <= result.p <= 1

    def test_resamples_that_either_lacks_are_excluded(self) -> None:
        first, second = default_rng(0).random((2, 50))
        left, right = default_rng(1).random((2, 9))
        expected = difference(Sampling(0.4, first, left), Sampling(0.5, second, right))
        lacking = difference(
            Sampling(0.4, np.r_[first, np.nan, 0.1], np.r_[left, np.nan]),
            Sampling(0.5, np.r_[second, 0.2, np.nan], np.r_[right, 0.5]),
        )
        assert lacking == expected

    @pytest.mark.parametrize(("first", "drawn"), [(math.nan, [0.1, 0.2]), (0.1, [math.nan, math.nan]), (0.1, [])])
    def test_is_nan_without_a_value_or_resamples(self, first: float, drawn: list[float]) -> None:
        none = np.full(3, 0.5)
        result = difference(Sampling(first, np.array(drawn), none), Sampling(0.5, np.full(len(drawn), 0.5), none))
        assert np.isnan([result.low, result.high, result.p]).all()

    @pytest.mark.parametrize("wrong", LEVELS, ids=str)
    def test_refuses_a_level_outside_0_to_1(self, wrong: dict) -> None:
        with pytest.raises(UsageError, match=r"a level within \(0, 1\), got"):
            difference(Sampling(0.1, np.zeros(3), np.zeros(3)), Sampling(0.2, np.zeros(3), np.zeros(3)), **wrong)

    def test_refuses_different_numbers_of_resamples(self) -> None:
        first = Sampling(0.1, np.zeros(3), np.zeros(5))
        with pytest.raises(
            UsageError, match="same number of resamples and images for both, got 3 and 4 resamples, 5 and 5"
        ):
            difference(first, Sampling(0.2, np.zeros(4), np.zeros(5)))
        with pytest.raises(UsageError, match="got 3 and 3 resamples, 5 and 6 images"):
            difference(first, Sampling(0.2, np.zeros(3), np.zeros(6)))


class TestFalseDiscovery:
    @settings(deadline=None)
    @given(arrays.arrays(np.float64, st.integers(0, 20), elements=st.floats(0, 1) | st.sampled_from([0.01, math.nan])))
    def test_from_the_definition(self, p: np.ndarray) -> None:
        """The smallest p · n / rank of all p-values that are at least as large; NaN is not among the n."""
        result, counted = false_discovery(p), p[~np.isnan(p)]
        np.testing.assert_array_equal(np.isnan(result), np.isnan(p))
        rates = {value: value * len(counted) / (counted <= value).sum() for value in counted}
        expected = [min(rate for other, rate in rates.items() if other >= value) for value in counted]
        np.testing.assert_allclose(result[~np.isnan(p)], np.minimum(1, expected), rtol=1e-12)

    def test_by_hand(self) -> None:
        result = false_discovery(np.array([0.01, np.nan, 0.04, 0.03, 0.9]))
        np.testing.assert_allclose(result, [0.04, np.nan, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.9])

    def test_one_p_value_is_unchanged(self) -> None:
        assert false_discovery(np.array([0.03])).tolist() == [0.03]
