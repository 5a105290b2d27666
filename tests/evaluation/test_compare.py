"""Comparisons: paired, refused for different data, and right about changed decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted import RECIPE, planted_result

from zsprompt import metrics
from zsprompt.errors import ResultError
from zsprompt.evaluation.compare import compare
from zsprompt.strategies import Prediction


def test_a_better_scorer_is_better_and_a_copy_is_no_different() -> None:
    first, second = planted_result(400, strength=0.5), planted_result(400, strength=2.5)
    found = compare(first, second)
    assert found.mAP.value == pytest.approx(second.mAP - first.mAP)
    assert 0 < found.mAP.low < found.mAP.value < found.mAP.high
    assert found.mAP.p == pytest.approx(1 / 201)
    assert all(change.low > 0 for change in found.ap)
    nothing = compare(first, first)
    assert (nothing.mAP.value, nothing.mAP.low, nothing.mAP.high, nothing.mAP.p) == (0, 0, 0, 1)
    assert not nothing.flips.any()


def test_paired_intervals_are_narrower_than_unpaired_ones() -> None:
    """The same scores with a little noise: the interval of the change is far narrower than that of either result."""
    first = planted_result(300)
    noise = np.random.default_rng(1).standard_normal(first.targets.shape).astype(np.float32) * 0.05
    second = replace(first, prediction=Prediction(first.prediction.scores + noise, first.prediction.decisions))
    found = compare(first, second).mAP
    low, high = first.mAP_interval
    assert found.high - found.low < 0.3 * (high - low)


def test_flips_are_decisions_that_became_right_or_wrong() -> None:
    targets = np.array([[1, 0, -1], [1, 0, 0]], dtype=np.int8)
    scores = np.zeros((2, 3), dtype=np.float32)
    before = np.array([[False, True, True], [True, False, True]])
    after = np.array([[True, False, False], [False, False, False]])
    first = planted_result(2, targets=targets, prediction=Prediction(scores, before))
    second = planted_result(2, targets=targets, prediction=Prediction(scores, after))
    assert compare(first, second).flips.tolist() == [[1, 1, 0], [-1, 0, 1]]
    assert compare(second, first).flips.tolist() == [[-1, -1, 0], [1, 0, -1]]


def test_a_label_without_positives_has_no_change_and_no_p_value() -> None:
    targets = planted_result(100).targets.copy()
    targets[:, 1] = 0
    found = compare(planted_result(100, targets=targets), planted_result(100, targets=targets, strength=3))
    assert np.isnan(found.ap[1].value)
    assert np.isnan(found.adjusted[1])
    assert not np.isnan(found.mAP.value)
    np.testing.assert_allclose(
        found.adjusted[[0, 2]], metrics.false_discovery(np.array([found.ap[0].p, found.ap[2].p]))
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipe": RECIPE | {"dataset": "voc2007"}}, "different data sets: planted and voc2007"),
        ({"recipe": RECIPE | {"split": "train"}}, "different splits: test and train"),
        (
            {"recipe": RECIPE | {"difficult": "negative"}},
            "different conventions for difficult objects",
        ),
        ({"labels": ("cat", "dog", "wolf")}, "different label lists: owl and wolf"),
        ({"images": tuple(f"{n}.jpg" for n in range(60))}, "different images"),
        ({"targets": np.zeros((60, 3), dtype=np.int8)}, "different targets"),
        ({"resamples": 7}, "different numbers of resamples"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_compared_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ResultError) as caught:
        compare(planted_result(), planted_result(**changes))
    assert reason in str(caught.value)


def test_another_number_of_labels_or_images_is_named() -> None:
    with pytest.raises(ResultError, match="different numbers of labels: 3 and 2"):
        compare(planted_result(), planted_result(labels=("cat", "dog")))
    with pytest.raises(ResultError, match="different images"):
        compare(planted_result(), planted_result(50))


def test_readable_and_raw_names_are_the_same_labels() -> None:
    raw = planted_result(labels=("Cat", "Dog", "Owl"), recipe=RECIPE | {"names": "raw"})
    assert compare(planted_result(), raw).mAP.value == 0
