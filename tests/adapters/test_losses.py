"""Losses: equal to their formulas, and independent of ignored targets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from zsprompt.adapters.losses import asl, bce, contrastive, mse, selected_labels

CLASSIFICATION = {
    "mse": mse,
    "bce": bce,
    "asl": asl,
    "asl of three": lambda x, y: asl(x, y, gamma_positive=1.0, gamma_negative=2.0, margin=0.2),
    "asl of roots": lambda x, y: asl(x, y, gamma_positive=0.5, gamma_negative=0.5, margin=0.05),
    "asl without margin": lambda x, y: asl(x, y, gamma_negative=4.0, margin=0.0),
    "asl of nothing": lambda x, y: asl(x, y, gamma_positive=0.0, gamma_negative=0.0, margin=0.0),
}
over_losses = pytest.mark.parametrize("loss", CLASSIFICATION.values(), ids=CLASSIFICATION.keys())


pytestmark = pytest.mark.usefixtures("one_thread")


quick = settings(deadline=None, max_examples=50)


@st.composite
def logits_and_targets(draw: st.DrawFn, largest: float = 20.0) -> tuple[Tensor, Tensor]:
    """Float64 logits [B, C] and int8 targets of all three states."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    logits = draw(arrays.arrays(np.float64, shape, elements=st.floats(-largest, largest)))
    targets = draw(arrays.arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1])))
    return torch.from_numpy(logits), torch.from_numpy(targets)


def known_cells(logits: Tensor, targets: Tensor) -> list[tuple[float, int]]:
    cells = zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True)
    return [(logit, target) for logit, target in cells if target != -1]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@quick
@given(logits_and_targets())
def test_mse_is_the_mean_squared_error_of_probabilities(case: tuple[Tensor, Tensor]) -> None:
    costs = [(sigmoid(x) - y) ** 2 for x, y in known_cells(*case)]
    assert mse(*case).item() == pytest.approx(np.mean(costs) if costs else 0, abs=1e-12)


@quick
@given(logits_and_targets())
def test_bce_is_the_mean_cross_entropy(case: tuple[Tensor, Tensor]) -> None:
    costs = [math.log1p(math.exp(-x if y else x)) for x, y in known_cells(*case)]
    assert bce(*case).item() == pytest.approx(np.mean(costs) if costs else 0, abs=1e-12)


GAMMAS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0])


@quick
@given(logits_and_targets(), GAMMAS, GAMMAS, st.sampled_from([0.0, 0.05, 0.3, 0.9]))
def test_asl_is_the_formula_of_its_paper(
    case: tuple[Tensor, Tensor], gamma_positive: float, gamma_negative: float, margin: float
) -> None:
    total = 0.0
    for x, y in known_cells(*case):
        p, rest = sigmoid(x), sigmoid(-x)
        shifted = max(p - margin, 0)
        if y == 1:
            total += -(rest**gamma_positive) * math.log(p)
        elif shifted:  # p_m = 0 costs nothing for any exponent
            total += -(shifted**gamma_negative) * math.log(rest + margin)
    result = asl(*case, gamma_positive=gamma_positive, gamma_negative=gamma_negative, margin=margin)
    assert result.item() == pytest.approx(total / len(case[0]), rel=1e-9, abs=1e-12)


@quick
@given(logits_and_targets(largest=100.0))
def test_asl_without_exponents_and_margin_is_cross_entropy_summed_over_labels(case: tuple[Tensor, Tensor]) -> None:
    logits, targets = case
    summed = bce(logits, targets) * (targets != -1).sum() / len(logits)
    result = asl(logits, targets, gamma_positive=0.0, gamma_negative=0.0, margin=0.0)
    assert result.item() == pytest.approx(summed.item(), rel=1e-9, abs=1e-12)


def test_asl_has_no_cost_and_no_gradient_for_absent_labels_below_the_margin() -> None:
    logits = torch.tensor([[-3.0, -5.0, -30.0]], requires_grad=True)  # 0.047 and less
    loss = asl(logits, torch.zeros(1, 3))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().max() == 0
    above = torch.tensor([[-2.9]], requires_grad=True)  # 0.052
    asl(above, torch.zeros(1, 1)).backward()
    assert above.grad.item() > 0


def test_asl_at_the_margin_itself_has_no_infinite_slope() -> None:
    """Where p_m is exactly 0, the slope of its root is infinite."""
    logits = torch.zeros(1, 1, requires_grad=True)
    asl(logits, torch.zeros(1, 1), gamma_negative=0.5, margin=0.5).backward()
    assert logits.grad.item() == pytest.approx(0, abs=1e-12)


def test_the_negative_exponent_of_asl_reduces_the_cost_of_easy_negatives() -> None:
    easy, hard = torch.tensor([[-1.0]]), torch.tensor([[3.0]])
    absent = torch.zeros(1, 1)
    light = asl(easy, absent, gamma_negative=4.0) / asl(easy, absent, gamma_negative=0.0)
    heavy = asl(hard, absent, gamma_negative=4.0) / asl(hard, absent, gamma_negative=0.0)
    assert light.item() == pytest.approx((sigmoid(-1) - 0.05) ** 4, rel=1e-5)
    assert heavy.item() == pytest.approx((sigmoid(3) - 0.05) ** 4, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", [0, 1, -1])
@over_losses
def test_no_logit_makes_a_loss_or_its_gradient_infinite(loss: Callable, target: int, dtype: torch.dtype) -> None:
    logits = torch.linspace(-100, 100, 4001, dtype=dtype)[None].requires_grad_()
    targets = torch.full((1, 4001), target, dtype=torch.int8)
    result = loss(logits, targets)
    result.backward()
    assert result.isfinite()
    assert logits.grad.isfinite().all()
    assert (result.item() == 0) == (target == -1)


@pytest.mark.parametrize("name", ["bce", "asl", "asl without margin", "asl of nothing"])
def test_float32_agrees_with_float64_for_extreme_logits(name: str) -> None:
    loss = CLASSIFICATION[name]
    for logit in (-100.0, -40.0, -20.0, -3.0, 0.0, 3.0, 20.0, 40.0, 100.0):
        for target in (0, 1):
            cell = torch.tensor([[logit]], dtype=torch.float64), torch.tensor([[target]])
            assert loss(cell[0].float(), cell[1]).item() == pytest.approx(loss(*cell).item(), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", [n for n in CLASSIFICATION if n != "mse"])
def test_a_present_label_with_a_tiny_probability_has_the_full_gradient(name: str) -> None:
    """For any exponents: with p near 0, −log p is −logit. A square of probabilities has no slope there."""
    logits = torch.tensor([[-100.0]], requires_grad=True)
    CLASSIFICATION[name](logits, torch.tensor([[1]])).backward()
    assert logits.grad.item() == pytest.approx(-1, rel=1e-5)


@over_losses
@settings(deadline=None, max_examples=15)
@given(logits_and_targets())
def test_gradients_equal_finite_differences(loss: Callable, case: tuple[Tensor, Tensor]) -> None:
    logits, targets = case[0].clamp(-8, 8), case[1]
    for margin in (0.05, 0.2):  # asl has a kink there
        corner = math.log(margin / (1 - margin))
        logits = logits.where((logits - corner).abs() > 1e-3, corner + 1e-2)
    logits.requires_grad_()
    (result,) = torch.autograd.grad(loss(logits, targets), logits)
    step = 1e-6
    for at in np.ndindex(*logits.shape):
        shift = torch.zeros_like(logits)
        shift[at] = step
        slope = (loss(logits + shift, targets) - loss(logits - shift, targets)) / (2 * step)
        assert result[at].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-7)


@over_losses
@settings(deadline=None, max_examples=25)
@given(logits_and_targets())
def test_ignored_targets_have_no_effect_and_no_gradient(loss: Callable, case: tuple[Tensor, Tensor]) -> None:
    logits, targets = case
    logits.requires_grad_()
    result = loss(logits, targets)
    assert loss(logits.masked_fill(targets == -1, 77.0), targets).item() == result.item()
    (pull,) = torch.autograd.grad(result, logits)
    assert (pull[targets == -1] == 0).all()


@over_losses
def test_targets_can_have_any_number_type(loss: Callable) -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0], [4.0, 0.1, -0.2]])
    targets = torch.tensor([[1, 0, -1], [0, 1, 1]])
    expected = loss(logits, targets).item()
    assert expected > 0
    for dtype in (torch.int8, torch.int64, torch.float32, torch.float64):
        assert loss(logits, targets.to(dtype)).item() == expected


@over_losses
def test_a_loss_over_no_targets_is_0_and_has_a_gradient(loss: Callable) -> None:
    for shape in ((2, 3), (2, 0), (0, 3)):
        logits = torch.ones(shape, requires_grad=True)
        result = loss(logits, torch.full(shape, -1))
        result.backward()
        assert result.item() == 0
        assert logits.grad.shape == shape
        assert (logits.grad == 0).all()


# contrastive


def embeddings(count: int, seed: int, width: int = 4) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_direction(cosines: list[list[float]], targets: list[list[int]], scale: float) -> float:
    """Row by row: the mean of −log softmax over the positives of a row, then over rows with positives."""
    costs = []
    for cosine, target in zip(cosines, targets, strict=True):
        total = sum(math.exp(scale * c) for c, t in zip(cosine, target, strict=True) if t != -1)
        logs = [scale * c - math.log(total) for c, t in zip(cosine, target, strict=True) if t == 1]
        if logs:
            costs.append(-sum(logs) / len(logs))
    return sum(costs) / len(costs) if costs else 0.0


def plain_contrastive(images: Tensor, labels: Tensor, targets: Tensor, scale: float) -> float:
    cosines = [[float(i @ k) / math.sqrt(float(i @ i) * float(k @ k)) for k in labels.numpy()] for i in images.numpy()]
    table = targets.tolist()
    across = plain_direction([list(c) for c in zip(*cosines, strict=True)], list(zip(*table, strict=True)), scale)
    return (plain_direction(cosines, table, scale) + across) / 2


TABLES = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: arrays.arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1]))
)


@quick
@given(TABLES, st.sampled_from([0.0, 1.0, 14.3, 100.0]))
def test_contrastive_is_clips_cross_entropy_with_equal_shares(table: np.ndarray, scale: float) -> None:
    targets = torch.from_numpy(table)
    images, labels = embeddings(len(table), 0), embeddings(table.shape[1], 1)
    expected = plain_contrastive(images, labels, targets, scale)
    assert contrastive(images, labels, targets, scale).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_with_one_positive_per_row_and_column_contrastive_is_the_loss_of_clip() -> None:
    images, labels, pairs = embeddings(5, 0), embeddings(5, 1), torch.arange(5)
    logits = 14.3 * torch.nn.functional.cosine_similarity(images[:, None], labels[None], dim=-1)
    entropy = torch.nn.functional.cross_entropy
    expected = (entropy(logits, pairs) + entropy(logits.T, pairs)) / 2
    result = contrastive(images, labels, torch.eye(5, dtype=torch.int8), torch.tensor(14.3, dtype=torch.float64))
    assert result.item() == pytest.approx(expected.item(), rel=1e-9)


@quick
@given(TABLES)
def test_contrastive_has_no_gradient_for_ignored_pairs(table: np.ndarray) -> None:
    """A label or an image with only ignored targets has no effect."""
    targets = torch.from_numpy(table)
    images, labels = embeddings(len(table), 0).requires_grad_(), embeddings(table.shape[1], 1).requires_grad_()
    contrastive(images, labels, targets, 10.0).backward()
    assert images.grad.isfinite().all()
    assert labels.grad.isfinite().all()
    assert (images.grad[(targets == -1).all(dim=1)] == 0).all()
    assert (labels.grad[(targets == -1).all(dim=0)] == 0).all()
    wider = torch.cat([targets, torch.full((len(table), 1), -1, dtype=torch.int8)], dim=1)
    result = contrastive(images, torch.cat([labels, embeddings(1, 2)]), wider, 10.0)
    assert result.item() == pytest.approx(contrastive(images, labels, targets, 10.0).item(), rel=1e-9, abs=1e-12)


def test_contrastive_is_0_without_positives_and_has_a_gradient() -> None:
    images, labels = embeddings(3, 0).requires_grad_(), embeddings(4, 1).requires_grad_()
    scale = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
    for nothing in (0, -1):
        result = contrastive(images, labels, torch.full((3, 4), nothing), scale)
        result.backward()
        assert result.item() == 0
        assert images.grad.abs().max() == labels.grad.abs().max() == scale.grad == 0


def test_contrastive_learns_the_planted_pairs_and_its_scale() -> None:
    """Two labels per image: gradient descent makes the present labels the nearest."""
    targets = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, -1]])
    images, labels = embeddings(3, 0).requires_grad_(), embeddings(4, 1).requires_grad_()
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([images, labels, scale], lr=0.05)
    first = contrastive(images, labels, targets, scale).item()
    for _ in range(200):
        optimiser.zero_grad()
        loss = contrastive(images, labels, targets, scale)
        loss.backward()
        optimiser.step()
    assert loss.item() < first
    assert scale.item() > 1
    near = torch.nn.functional.cosine_similarity(images[:2, None], labels[None], dim=-1).detach()
    assert near[0, :2].min() > near[0, 2:].max()
    assert near[1, 2:].min() > near[1, :2].max()


# selective language supervision


@quick
@given(TABLES, st.sampled_from([0.0, 0.5, 1.0, 1.7, 3.0, 100.0]), st.integers(0, 3))
def test_selected_are_the_labels_present_and_alpha_times_as_many_others(
    table: np.ndarray, alpha: float, seed: int
) -> None:
    targets = torch.from_numpy(table)
    result = selected_labels(targets, alpha, torch.Generator().manual_seed(seed)).tolist()
    present = {c for c in range(table.shape[1]) if any(row[c] == 1 for row in table)}
    assert present <= set(result) <= set(range(table.shape[1]))
    assert result == sorted(set(result))
    assert len(result) == len(present) + min(math.floor(alpha * len(present)), table.shape[1] - len(present))


def test_every_choice_of_others_is_equally_likely() -> None:
    targets = torch.tensor([[0, 1, 0, 0, -1, 0], [0, 0, 0, 0, 0, 0]])
    generator = torch.Generator().manual_seed(0)
    draws = 3000
    counted = Counter(tuple(selected_labels(targets, 2.0, generator).tolist()) for _ in range(draws))
    choices = [tuple(sorted((1, *two))) for two in combinations([0, 2, 3, 4, 5], 2)]
    assert set(counted) == set(choices)
    expected = draws / len(choices)
    chi_square = sum((n - expected) ** 2 / expected for n in counted.values())
    assert chi_square < 27.9  # 9 degrees of freedom: 1 in 1,000


def test_selection_depends_only_on_the_generator() -> None:
    targets = torch.zeros(2, 50, dtype=torch.int8)
    targets[0, :4] = 1
    torch.manual_seed(1)
    first = selected_labels(targets, 3.0, torch.Generator().manual_seed(7))
    torch.manual_seed(2)
    second = selected_labels(targets, 3.0, torch.Generator().manual_seed(7))
    other = selected_labels(targets, 3.0, torch.Generator().manual_seed(8))
    assert first.dtype == torch.int64
    assert len(first) == 16
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_without_present_labels_nothing_is_selected() -> None:
    for value in (0, -1):
        assert selected_labels(torch.full((2, 5), value), 3.0, torch.Generator()).tolist() == []
