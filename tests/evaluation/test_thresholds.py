"""Thresholds and calibration: chosen rightly, measured on other images, and refused where they do not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import LABELS, PlantedEncoder, draw_files
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from planted import RECIPE, planted_result
from sklearn.model_selection import KFold

from zsprompt import metrics
from zsprompt.data import Dataset
from zsprompt.errors import ThresholdError, UsageError
from zsprompt.evaluation import run as evaluate
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.threshold_rules import Rule, choose, expecting, out_of_fold, sharing, split
from zsprompt.evaluation.thresholds import (
    calibrated_out_of_fold,
    choose_thresholds,
    expected_thresholds,
    with_thresholds,
)
from zsprompt.prompts import load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import PerLabel, Thresholded, TopAll, supervision
from zsprompt.strategies.calibration import fit
from zsprompt.strategies.thresholds import Thresholds, decide, load_thresholds, save_thresholds

# choosing

ONE_CURVE = "one calibration curve per label"


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 3)))
    number = st.sampled_from([-2.0, 0.0, 0.25, 1.0, 1e-20, 3e30]) | st.floats(-9, 9, width=32)
    scores = draw(arrays.arrays(np.float32, shape, elements=number))
    return scores, draw(arrays.arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1])))


def f1_of(present: np.ndarray, yes: np.ndarray) -> float:
    return 2 * (present & yes).sum() / max(1, present.sum() + yes.sum())


def every_cut(scores: np.ndarray) -> list[np.ndarray]:
    """The decisions of every possible threshold."""
    return [scores >= value for value in np.unique(scores)]


@settings(deadline=None)
@given(cases())
def test_no_threshold_has_a_better_f1(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = case
    chosen = decide(scores, choose(scores, targets, Rule()))
    for c in range(scores.shape[1]):
        known = targets[:, c] != -1
        present = targets[known, c] == 1
        best = max(f1_of(present, yes[known]) for yes in every_cut(scores[:, c]))
        assert f1_of(present, chosen[known, c]) == pytest.approx(best)


@settings(deadline=None)
@given(cases(), st.sampled_from([0.2, 0.5, 0.9, 1.0]))
def test_a_wanted_precision_is_reached_with_the_most_recall_or_never_predicted(
    case: tuple[np.ndarray, np.ndarray], wanted: float
) -> None:
    scores, targets = case
    thresholds = choose(scores, targets, Rule(precision=wanted))
    chosen = decide(scores, thresholds) & (targets != -1)
    for c in range(scores.shape[1]):
        present = targets[:, c] == 1
        reaching = [
            (yes & present).sum()
            for yes in (cut & (targets[:, c] != -1) for cut in every_cut(scores[:, c]))
            if (yes & present).sum() >= wanted * yes.sum() > 0 and (yes & present).any()
        ]
        if not reaching:
            assert np.isnan(thresholds[c])
            assert not chosen[:, c].any()
        else:
            assert (chosen[:, c] & present).sum() == max(reaching)
            assert (chosen[:, c] & present).sum() >= wanted * chosen[:, c].sum()


@settings(deadline=None)
@given(cases())
def test_one_threshold_for_all_labels_has_the_best_f1(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = case
    found = choose(scores, targets, Rule("global"))
    assert len(set(found)) == 1 or np.isnan(found).all()
    known = targets != -1
    best = max(f1_of(targets[known] == 1, cut[known]) for cut in every_cut(scores))
    assert f1_of(targets[known] == 1, decide(scores, found)[known]) == pytest.approx(best)


def test_a_threshold_lies_between_scores() -> None:
    scores = np.array([[3.0], [1.0], [0.0]], dtype=np.float32)
    assert choose(scores, np.array([[1], [0], [0]], dtype=np.int8), Rule()) == [2.0]
    everything = choose(scores, np.ones((3, 1), dtype=np.int8), Rule())
    assert decide(scores, everything).all()
    assert everything[0] < 0


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(2, 6), st.integers(0, 3))
def test_folds_are_disjoint_and_cover_everything(images: int, folds: int, seed: int) -> None:
    if folds > images:
        with pytest.raises(UsageError, match="at least as many images"):
            list(split(images, folds, seed))
        return
    parts = list(split(images, folds, seed))
    assert sorted(np.concatenate([own for _, own in parts])) == list(range(images))
    for others, own in parts:
        assert sorted([*others, *own]) == list(range(images))


def test_folds_are_those_of_scikit_learn() -> None:
    parts = list(split(23, 4, seed=5))
    for (others, own), (train, test) in zip(
        parts, KFold(4, shuffle=True, random_state=5).split(range(23)), strict=True
    ):
        np.testing.assert_array_equal(others, train)
        np.testing.assert_array_equal(own, test)
    for seed in (-1, 2**32):
        with pytest.raises(UsageError, match="expected a seed for the folds from 0 to 4294967295, got"):
            list(split(23, 4, seed))


def test_out_of_fold_decisions_do_not_know_their_own_targets() -> None:
    """Inverting the targets of one image does not change the decisions on that image."""
    result = planted_result(40, seed=2)
    scores, targets = result.prediction.scores, result.targets
    before = out_of_fold(scores, targets, Rule())
    for n in (0, 17, 39):
        other = targets.copy()
        other[n] = 1 - np.abs(other[n])
        np.testing.assert_array_equal(out_of_fold(scores, other, Rule())[n], before[n])


def test_out_of_fold_measures_are_lower_on_noise() -> None:
    result = planted_result(200, strength=0, seed=5)
    found = choose_thresholds(result)
    in_sample = metrics.f1_scores(decide(result.prediction.scores, np.array(found.values)), result.targets)
    assert found.measured["out_of_fold"]["macro_f1"] < in_sample.macro
    assert found.measured["own"]["macro_f1"] == result.f1.macro


def test_labels_that_never_occur_are_never_predicted() -> None:
    targets = planted_result().targets.copy()
    targets[:, 1] = 0
    found = choose_thresholds(planted_result(targets=targets))
    assert np.isnan(found.values[1])
    assert not found.decide(np.full((1, 3), 1e9, dtype=np.float32), ("cat", "dog", "owl"))[0, 1]


@pytest.mark.parametrize(("count", "value"), [(1, 1), (4, 1), (60, 0), (60, -1)])
def test_too_few_targets_are_refused(count: int, value: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        choose_thresholds(planted_result(count, targets=np.full((count, 3), value, dtype=np.int8)))


@pytest.mark.parametrize("precision", [0, -1, 1.01, float("nan")])
def test_a_precision_out_of_range_is_refused(precision: float) -> None:
    with pytest.raises(UsageError, match="expected a precision above 0 and at most 1"):
        Rule(precision=precision)


# without labels


@settings(deadline=None)
@given(arrays.arrays(np.float32, (20, 4), elements=st.floats(-5, 5, width=32)), st.floats(0.05, 3.9))
def test_as_many_predicted_labels_as_expected_except_for_ties(scores: np.ndarray, expected: float) -> None:
    yes = decide(scores, expecting(scores, labels_per_image=expected)).sum()
    wanted = round(expected * 20)
    tied = np.unique(scores, return_counts=True)[1].max()
    assert abs(yes - wanted) <= tied / 2 + 0.5
    if tied == 1:
        assert yes == wanted


def test_each_label_is_predicted_on_its_share_of_the_images() -> None:
    scores = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32) * np.float32([1, 10, 0.1])
    assert decide(scores, sharing(scores, share=0.1)).sum(axis=0).tolist() == [20, 20, 20]


@pytest.mark.parametrize("how", [{"labels_per_image": 0}, {"labels_per_image": 3}, {"share": 0}, {"share": 1}, {}])
def test_expectations_out_of_range_are_refused(how: dict[str, float]) -> None:
    result = planted_result()
    predictions = Predictions(result.images, result.labels, result.prediction.scores, result.prediction.decisions)
    with pytest.raises(UsageError, match="expected"):
        expected_thresholds(predictions, RECIPE, **how)


# calibration


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrated_probabilities_are_the_true_ones(method: Any) -> None:
    """Targets drawn by a logistic curve of the scores: the curve is found again."""
    random = np.random.default_rng(0)
    scores = random.standard_normal((6000, 2)).astype(np.float32)
    truth = 1 / (1 + np.exp(-(2 * scores - 1)))
    targets = (random.random(scores.shape) < truth).astype(np.int8)
    found = fit(scores, targets, method).probabilities(scores)
    assert np.abs(found - truth).mean() < (0.01 if method == "platt" else 0.03)
    if method == "platt":
        slope, intercept = (part[0] for part in fit(scores, targets, method).curves[0])
        assert (slope, intercept) == (pytest.approx(2, abs=0.2), pytest.approx(-1, abs=0.15))


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("value", [-1, 0, 1])
def test_calibration_of_degenerate_labels_is_a_probability(method: Any, value: int) -> None:
    scores = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    scores[:, 1] = 0.5
    found = fit(scores, np.full(scores.shape, value, dtype=np.int8), method).probabilities(scores)
    assert ((found >= 0) & (found <= 1)).all()
    huge = fit(scores, (scores > 0).astype(np.int8), method).probabilities(np.full((2, 2), 3e38, dtype=np.float32))
    assert np.isfinite(huge).all()


def test_calibration_out_of_fold_does_not_know_its_own_targets() -> None:
    result = planted_result(50)
    before = calibrated_out_of_fold(result, "platt")
    other = result.targets.copy()
    other[11] = 1 - np.abs(other[11])
    np.testing.assert_array_equal(calibrated_out_of_fold(replace(result, targets=other), "platt")[11], before[11])


# files


@pytest.fixture(params=[None, "platt", "isotonic"])
def made(request: pytest.FixtureRequest) -> Thresholds:
    targets = planted_result().targets.copy()
    targets[:, 2] = 0
    return choose_thresholds(planted_result(targets=targets), calibrate=request.param)


def test_a_file_is_read_back_to_the_bit(made: Thresholds, tmp_path: Path) -> None:
    save_thresholds(made, tmp_path / "t.json")
    found = load_thresholds(tmp_path / "t.json")
    assert repr(found) == repr(made)
    assert (found.made_for, found.made_on, found.measured) == (made.made_for, made.made_on, made.measured)
    scores = planted_result(seed=9).prediction.scores
    np.testing.assert_array_equal(found.decide(scores, made.labels), made.decide(scores, made.labels))
    for one, other in [(found.probabilities(scores, made.labels), made.probabilities(scores, made.labels))]:
        assert (one is None) == (other is None) == (made.calibration is None)
        assert one is None or np.array_equal(one, other)


def test_permuting_labels_permutes_decisions(made: Thresholds) -> None:
    scores = planted_result(seed=9).prediction.scores
    order = [2, 0, 1]
    labels = [made.labels[c] for c in order]
    np.testing.assert_array_equal(made.decide(scores[:, order], labels), made.decide(scores, made.labels)[:, order])
    likely = made.probabilities(scores, made.labels)
    if likely is not None:
        np.testing.assert_array_equal(made.probabilities(scores[:, order], labels), likely[:, order])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda facts: None, "cannot read thresholds file"),
        (lambda facts: [], "written by `zsprompt thresholds`"),
        (lambda facts: facts | {"format": "else"}, "written by `zsprompt thresholds`"),
        (lambda facts: facts | {"version": 1}, "expected version 2"),
        (lambda facts: facts | {"version": 1}, "found 1; create the file again with `zsprompt thresholds`"),
        (lambda facts: facts | {"version": 3}, "found 3; update zsprompt"),
        (
            lambda facts: {k: v for k, v in facts.items() if k != "rule"},
            "expected 'rule' to be a text, found no such key; create",
        ),
        (lambda facts: facts | {"made_for": 3}, "expected 'made_for' to be a section, found 3"),
        (lambda facts: facts | {"thresholds": [1, 2]}, "one threshold per label"),
        (
            lambda facts: facts | {"thresholds": [1, "2", 3]},
            "expected 'thresholds[1]' to be a number or none, found '2'",
        ),
        (lambda facts: facts | {"labels": ["a", "a", "b"]}, "expected 'labels' to be a list of different texts"),
        (lambda facts: facts | {"labels": [], "thresholds": []}, "expected 'labels' to be a list of different texts"),
        (
            lambda facts: facts | {"calibration": {"method": "magic", "curves": []}},
            "expected 'calibration.method' to be one of platt, isotonic, found 'magic'",
        ),
        (
            lambda facts: facts | {"calibration": {"method": "platt", "curves": [[[1], [2]]]}},
            ONE_CURVE,
        ),
        (
            lambda facts: facts | {"calibration": {"method": "platt", "curves": [[1, 2]] * 3}},
            "expected 'calibration.curves[0][0]' to be a list of numbers, found 1",
        ),
    ],
    ids=range(15),
)
def test_damaged_files_are_named(change: Callable, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    save_thresholds(choose_thresholds(planted_result()), path)
    changed = change(json.loads(path.read_text()))
    path.write_text(path.read_text()[:50] if changed is None else json.dumps(changed))
    with pytest.raises(ThresholdError, match=re.escape(reason)) as caught:
        load_thresholds(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_which_command_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ThresholdError, match="zsprompt thresholds --out FILE"):
        load_thresholds(tmp_path / "none.json")


# on a strategy


@pytest.fixture
def world(tmp_path: Path, store: EmbeddingStore) -> tuple[Dataset, EmbeddingStore]:
    sets = [tuple(LABELS[c] for c in np.flatnonzero(row)) for row in np.random.default_rng(0).random((24, 8)) < 0.25]
    targets = np.array([[label in present for label in LABELS] for present in sets], dtype=np.int8)
    return Dataset("drawn", LABELS, draw_files(tmp_path / "drawn", sets), targets, split="train"), store


def test_thresholded_decides_by_the_thresholds_and_ranks_as_before(world: tuple[Dataset, EmbeddingStore]) -> None:
    data, store = world
    result = evaluate.run(PerLabel(), data, store)
    thresholds = choose_thresholds(result, calibrate="platt")
    strategy = with_thresholds(PerLabel(), thresholds, store)
    vectors = Images(store.images(data.images).vectors)
    found = strategy.predict(vectors, data.labels, store)
    np.testing.assert_array_equal(found.scores, result.prediction.scores)
    np.testing.assert_array_equal(found.decisions, thresholds.decide(found.scores, data.labels))
    assert found.probabilities is not None
    assert metrics.f1_scores(found.decisions, result.targets).micro >= result.f1.micro
    assert (supervision(strategy), supervision(PerLabel())) == ("tuned", "label-free")
    assert thresholds.digest in repr(strategy)


def test_thresholds_for_something_else_are_refused(world: tuple[Dataset, EmbeddingStore]) -> None:
    data, store = world
    thresholds = choose_thresholds(evaluate.run(PerLabel(), data, store))
    with pytest.raises(
        ThresholdError, match=r"thresholds for strategy top-all with prompts bare.*found thresholds for per-label with"
    ):
        with_thresholds(TopAll(), thresholds, store)
    with pytest.raises(
        ThresholdError, match=r"thresholds for strategy per-label with prompts bare.*found .* with prompts photo"
    ):
        with_thresholds(PerLabel(load_prompts("bare")), thresholds, store)
    other = EmbeddingStore(PlantedEncoder(fingerprint="planted/2"), cache=None)
    with pytest.raises(ThresholdError, match="thresholds for fingerprint planted/2, found thresholds for planted/1"):
        with_thresholds(PerLabel(), thresholds, other)
    fine = with_thresholds(PerLabel(), thresholds, store)
    with pytest.raises(ThresholdError, match=r"expected the 8 labels .* found also wolf and no "):
        fine.predict(Images(store.images(data.images).vectors), ["cat", "wolf"], store)


def test_the_digest_decides_and_no_text_for_readers(world: tuple[Dataset, EmbeddingStore]) -> None:
    data, store = world
    result = evaluate.run(PerLabel(), data, store)
    thresholds = choose_thresholds(result)
    renamed = replace(thresholds, made_for=dict(thresholds.made_for) | {"strategy": "else", "prompts": []})
    assert isinstance(with_thresholds(PerLabel(), renamed, store), Thresholded)
    other = replace(thresholds, made_for=dict(thresholds.made_for) | {"strategy_digest": "0"})
    with pytest.raises(ThresholdError, match=r"strategy per-label.* found thresholds for per-label.* \(0\)"):
        with_thresholds(PerLabel(), other, store)


def test_unsuitable_results_are_refused(world: tuple[Dataset, EmbeddingStore]) -> None:
    data, store = world
    result = evaluate.run(PerLabel(), data, store)
    older = {key: value for key, value in result.recipe.items() if key != "strategy_digest"}
    with pytest.raises(ThresholdError, match=r"expected strategy_digest .* of an older zsprompt; run it again"):
        choose_thresholds(replace(result, recipe=older))
    decided = evaluate.run(with_thresholds(PerLabel(), choose_thresholds(result), store), data, store)
    with pytest.raises(ThresholdError, match="found decisions by thresholds"):
        choose_thresholds(decided)


def test_images_that_thresholds_were_chosen_on_are_not_reported_on(world: tuple[Dataset, EmbeddingStore]) -> None:
    data, store = world
    thresholds = choose_thresholds(evaluate.run(PerLabel(), data.select(range(16)), store))
    with pytest.raises(ThresholdError, match="found 16 of the 24 images of drawn train among"):
        with_thresholds(PerLabel(), thresholds, store, data)
    damaged = replace(thresholds, made_on=dict(thresholds.made_on) | {"ids": "é"})
    with pytest.raises(ThresholdError, match="found damaged ones"):
        with_thresholds(PerLabel(), damaged, store, data)
    rest = data.select(range(16, 24))
    assert isinstance(with_thresholds(PerLabel(), thresholds, store, rest), Thresholded)
    assert isinstance(with_thresholds(PerLabel(), thresholds, store, replace(data, name="other")), Thresholded)


def test_thresholds_without_targets_may_be_used_on_the_same_images(world: tuple[Dataset, EmbeddingStore]) -> None:
    data, store = world
    result = evaluate.run(PerLabel(), data, store)
    predictions = Predictions(result.images, result.labels, result.prediction.scores, result.prediction.decisions)
    thresholds = expected_thresholds(predictions, result.recipe, labels_per_image=2)
    strategy = with_thresholds(PerLabel(), thresholds, store, data)
    assert supervision(strategy) == "transductive"
    assert evaluate.run(strategy, data, store).prediction.decisions.sum() == pytest.approx(48, abs=8)
