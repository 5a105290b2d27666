"""Reliability: equal to torchmetrics and to counting each bin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from planted_targets import draw, over_labellings, over_shapes, scores_and_targets, torchmetric

from zsprompt.errors import UsageError
from zsprompt.metrics import reliability

KINDS = {
    "continuous": lambda random, shape: random.random(shape),
    "tied": lambda random, shape: random.integers(1, 8, shape) / 8,
    "constant": lambda random, shape: np.full(shape, 0.3),
    "near 0": lambda random, shape: random.random(shape) ** 8,
}


def plain_error(probabilities: np.ndarray, targets: np.ndarray, bins: int) -> float:
    """Cell by cell. A probability on an edge belongs to the bin above it, and 1 to the last bin."""
    cells: dict[int, list[tuple[float, bool]]] = {}
    for message, target in zip(probabilities.flat, targets.flat, strict=True):
        if target != -1:
            cells.setdefault(min(int(float(message) * bins), bins - 1), []).append((float(message), target == 1))
    gaps = [abs(sum(message for message, _ in cell) - sum(present for _, present in cell)) for cell in cells.values()]
    return sum(gaps) / sum(map(len, cells.values())) if cells else math.nan


@over_labellings
@pytest.mark.parametrize("bins", [15, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@over_shapes
def test_against_torchmetrics(shape: tuple, kind: str, dtype: type, bins: int, labelling: str) -> None:
    random, (_, targets) = default_rng(sum(shape)), draw(shape, "constant", labelling)
    probabilities = KINDS[kind](random, shape).astype(dtype)
    result = reliability(probabilities, targets, bins=bins)
    if (targets == -1).all():
        assert math.isnan(result.error)
        return
    doubles = probabilities.astype(np.float64)  # it sums in the type of its input
    expected = torchmetric("binary_calibration_error", doubles, targets, n_bins=bins, norm="l1")
    assert result.error == pytest.approx(float(expected), abs=1e-9)


@settings(deadline=None)
@given(scores_and_targets(), st.integers(1, 20))
def test_any_probabilities_against_counting(case: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    scores, targets = np.clip(case[0], 0, 1), case[1]
    result = reliability(scores, targets, bins=bins)
    assert result.error == pytest.approx(plain_error(scores, targets, bins), abs=1e-9, nan_ok=True)
    assert result.cells.sum() == (targets != -1).sum()
    assert (result.cells > 0).all()
    assert len(result.said) == len(result.found) == len(result.cells) <= bins
    assert ((result.said >= 0) & (result.said <= 1) & (result.found >= 0) & (result.found <= 1)).all()
    assert (np.diff(result.said) > 0).all()


def test_by_hand() -> None:
    probabilities = np.array([[0.1, 0.15, 0.9], [0.9, 1.0, 0.0]])
    targets = np.array([[0, 1, 1], [1, 0, -1]], dtype=np.int8)
    result = reliability(probabilities, targets, bins=2)
    np.testing.assert_allclose(result.said, [0.125, 2.8 / 3])
    np.testing.assert_allclose(result.found, [1 / 2, 2 / 3])
    assert result.cells.tolist() == [2, 3]
    assert result.error == pytest.approx((2 * 0.375 + 3 * (2.8 / 3 - 2 / 3)) / 5)


def test_calibrated_probabilities_have_almost_no_error() -> None:
    random = default_rng(0)
    probabilities = random.random((20_000, 3))
    targets = (random.random(probabilities.shape) < probabilities).astype(np.int8)
    assert reliability(probabilities, targets).error < 0.01
    assert reliability(1 - probabilities, targets).error > 0.45


def test_the_order_of_cells_and_ignored_targets_have_no_effect() -> None:
    random, targets = default_rng(1), draw((50, 20), "constant", "three states")[1]
    probabilities = random.random((50, 20))
    result = reliability(probabilities, targets)
    assert reliability(probabilities[::-1, ::-1], targets[::-1, ::-1]).error == pytest.approx(result.error, abs=1e-12)
    assert reliability(np.where(targets == -1, 7.0, probabilities), targets).error == result.error


@pytest.mark.parametrize("wrong", [-0.1, 1.5, math.nan, math.inf])
def test_refuses_values_outside_0_to_1(wrong: float) -> None:
    with pytest.raises(UsageError, match=f"within 0..1, got {wrong:g} "):
        reliability(np.array([[0.5, wrong]]), np.array([[1, 0]], dtype=np.int8))


def test_refuses_0_bins() -> None:
    with pytest.raises(UsageError, match="at least 1 bin, got 0"):
        reliability(np.array([[0.5]]), np.array([[1]], dtype=np.int8), bins=0)
