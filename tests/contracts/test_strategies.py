"""Strategies in a planted world, against brute force, and under one contract. No test here needs torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from command_line import ROOT, environment
from fakes import LABELS, PlantedEncoder, draw
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt._utils.arrays import unit_rows
from zsprompt.errors import AdapterError, LabelError, PromptError, UnknownName, UsageError, ZspromptError
from zsprompt.llm import Bank, Caption, Captions
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import (
    STRATEGIES,
    Compound,
    ListAll,
    Llm,
    Normalised,
    PerLabel,
    Prediction,
    Strategy,
    TopAll,
    YesOrNo,
    available_strategies,
    load_strategy,
    rebuild,
    refuse_labels,
)
from zsprompt.strategies.list_all import _subsets
from zsprompt.strategies.z_scores import COMPANY, neutral_reference, require_threshold, standardise
from zsprompt.testing import RandomSpace, check_strategy, random_images

BANK = Bank.of("mine", [Caption((), "nothing"), *(Caption((label,), f"some {label}") for label in LABELS)])
ALL: dict[str, Strategy] = {
    **{name: kind() for name, kind in STRATEGIES.items()},
    "llm": Llm(captions=Captions(BANK)),
    "llm,base=list-all": Llm(base="list-all", captions=Captions(BANK)),
    "compound,fuse=component": Compound(fuse="component", fewest=2),
    "per-label,reweight=14": PerLabel(prompts=load_prompts("ensemble"), reweight=14),
    "normalised:per-label": Normalised(PerLabel()),
    "normalised:top-all": Normalised(TopAll()),
    "top-all,alphabetical": TopAll(order="alphabetical"),
    "list-all,max_labels=2": ListAll(max_labels=2),
    "top-all,sentences": TopAll(prompts=load_prompts("seed-code"), scale=20),
    "yes-or-no,without": YesOrNo(prompts=load_prompts("seed-code")),
}
contract = pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)

SETS = [("cat",), ("motorcycle",), ("carrot", "dog"), ("cycle", "car"), ("cat", "dog", "person"), ()]


def world(labels: tuple[str, ...] = LABELS, **options: object) -> EmbeddingStore:
    return EmbeddingStore(PlantedEncoder(labels=LABELS, **options), cache=None)


def images(sets: list[tuple[str, ...]] = SETS) -> Images:
    return Images(PlantedEncoder().encode_images([draw(present) for present in sets]))


# -- the contract ------------------------------------------------------------------------------------------------


@contract
def test_the_contract_of_strategies(strategy: Strategy) -> None:
    check_strategy(strategy, tolerance=1e-5)
    assert strategy.predict(random_images(2), LABELS, RandomSpace()).overflowed == 0


@contract
def test_the_block_size_has_no_effect(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = strategy.predict(random_images(9), LABELS, RandomSpace())
    monkeypatch.setattr("zsprompt.strategies.list_all._BLOCK", 7)
    monkeypatch.setattr("zsprompt.strategies.list_all._CELLS", 20)
    monkeypatch.setattr("zsprompt.strategies.top_all._CANDIDATES_AT_ONCE", 20)
    result = strategy.predict(random_images(9), LABELS, RandomSpace())
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5, atol=1e-5)
    assert np.array_equal(result.decisions, expected.decisions)


@contract
@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_any_number_of_labels_works(strategy: Strategy, count: int) -> None:
    if isinstance(strategy, Normalised) and isinstance(strategy.strategy, TopAll) and count < 6:
        with pytest.raises(UsageError, match="at least 4 labels" if count < 4 else "threshold below 2"):
            strategy.predict(images(), LABELS[:count], world())
        return
    answer = strategy.predict(images(), LABELS[:count], world())
    assert np.isfinite(answer.scores).all()
    assert answer.scores.shape == (len(SETS), count)


@contract
@pytest.mark.parametrize(
    "labels",
    [(), "dog", ("a\udcff",), ("dog", " "), ("dog", "cat", "dog"), ("dog", "Dog"), ("a\nb",), ("a|b",)],
    ids=repr,
)
def test_bad_labels_are_refused(strategy: Strategy, labels: tuple[str, ...]) -> None:
    with pytest.raises(LabelError):
        strategy.predict(random_images(2), labels, RandomSpace())


@contract
@pytest.mark.parametrize("count", [1, 3, 6, 8])
@pytest.mark.parametrize("prompts", ["bare", "adds", "seed-code", "described"])
def test_what_predict_refuses_whatever_the_model_is_refused_without_one(
    strategy: Strategy, prompts: str, count: int
) -> None:
    """`refuse_labels` and `predict` raise the same, or nothing."""
    described = PromptSet("described", "0", "", "", described=tuple((label, (label,)) for label in LABELS[:5]))
    chosen = described if prompts == "described" else load_prompts(prompts)
    strategy = rebuild(strategy, lambda part: part if isinstance(part, Normalised) else replace(part, prompts=chosen))
    said: list[tuple[type[Exception], str] | None] = []
    for call in (
        lambda: refuse_labels(strategy, LABELS[:count]),
        lambda: strategy.predict(random_images(2), LABELS[:count], RandomSpace()),
    ):
        try:
            call()
            said.append(None)
        except ZspromptError as error:
            said.append((type(error), str(error)))
    two_faults = isinstance(strategy, Normalised) and count < 4
    assert said[0] == said[1] or (two_faults and None not in said)


@contract
def test_a_label_too_long_for_the_context_is_refused(strategy: Strategy) -> None:
    with pytest.raises(LabelError, match="shorten"):
        strategy.predict(random_images(2), (*LABELS, "x" * 300), RandomSpace(fits_up_to=200))


@contract
def test_is_frozen_hashable_and_its_repr_shows_its_fields(strategy: Strategy) -> None:
    assert hash(strategy) == hash(strategy)
    assert "digest='" in repr(strategy)
    assert len(repr(strategy)) < 250


@contract
def test_the_answer_is_right_in_the_planted_world(strategy: Strategy) -> None:
    """Per label, images that have it score higher than the others, for every strategy."""
    sets = [present for size in (1, 2) for present in combinations(LABELS, size)]
    truth = np.array([[label in present for label in LABELS] for present in sets])
    scores = strategy.predict(images(sets), LABELS, world()).scores
    for c, label in enumerate(LABELS):
        # "without a X" of yes-or-no also names X: a bag of words cannot rank with it
        if strategy != ALL["yes-or-no,without"]:
            assert scores[truth[:, c], c].min() > scores[~truth[:, c], c].max(), label


# -- decisions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [ListAll(), TopAll(), TopAll(order="alphabetical")], ids=repr)
def test_decoded_by_set_never_by_substring(strategy: Strategy) -> None:
    """ "motorcycle" does not set "cycle", "carrot" does not set "car", and an empty image has nothing."""
    decisions = strategy.predict(images(), LABELS, world()).decisions
    assert [tuple(np.array(LABELS)[row]) for row in decisions] == [
        tuple(label for label in LABELS if label in present) for present in SETS
    ]


def test_list_all_with_max_labels_decides_among_small_subsets() -> None:
    decisions = ListAll(max_labels=2).predict(images([("cat", "dog", "person")]), LABELS, world()).decisions
    assert decisions.sum() == 2
    assert set(np.flatnonzero(decisions[0])) < {0, 1, 2}


def test_yes_or_no_decides_by_the_sign_for_any_scale() -> None:
    answers = [YesOrNo(scale=scale).predict(random_images(20), LABELS, RandomSpace()) for scale in (1, 100)]
    assert np.array_equal(answers[0].decisions, answers[0].scores > 0)
    assert np.array_equal(answers[0].decisions, answers[1].decisions)


@pytest.mark.parametrize("kind", [ListAll, TopAll])
def test_the_scale_changes_scores_but_no_decision(kind: type) -> None:
    sharp, gentle = (kind(scale=scale).predict(random_images(30), LABELS, RandomSpace()) for scale in (100, 5))
    assert np.array_equal(sharp.decisions, gentle.decisions)
    assert not np.allclose(sharp.scores, gentle.scores)


def test_none_is_the_scale_of_the_encoder() -> None:
    space = RandomSpace(logit_scale=37.0)
    plain, named = (s.predict(random_images(5), LABELS, space) for s in (TopAll(), TopAll(scale=37.0)))
    assert np.array_equal(plain.scores, named.scores)


# -- against brute force -----------------------------------------------------------------------------------------


def brute_force(images: Images, labels, candidates, texts, space, scale) -> Prediction:
    """Log-marginals and the best candidate by enumeration in float64."""
    logits = scale * images.vectors.astype(float) @ space.texts(texts).astype(float).T
    scores = np.empty((len(images.vectors), len(labels)))
    for n, row in enumerate(logits):
        total = np.logaddexp.reduce(row)
        for c, label in enumerate(labels):
            holding = [value for value, candidate in zip(row, candidates, strict=True) if label in candidate]
            scores[n, c] = np.logaddexp.reduce(holding) - total
    best = [candidates[i] for i in logits.argmax(axis=1)]
    return Prediction(scores, np.array([[label in chosen for label in labels] for chosen in best]))


@pytest.mark.parametrize("scale", [1.0, 100.0, 350.0])
@pytest.mark.parametrize("max_labels", [None, 1, 3])
def test_list_all_equals_brute_force(scale: float, max_labels: int | None) -> None:
    labels, space = LABELS[:6], RandomSpace()
    sizes = range((max_labels or 6) + 1)
    candidates = [subset for size in sizes for subset in combinations(sorted(labels), size)]
    texts = [", ".join(subset) or "nothing" for subset in candidates]
    expected = brute_force(random_images(40), labels, candidates, texts, space, scale)
    result = ListAll(max_labels=max_labels, scale=scale).predict(random_images(40), labels, space)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=2e-5, atol=2e-4)
    assert np.array_equal(result.decisions, expected.decisions)


@pytest.mark.parametrize("scale", [1.0, 100.0, 350.0])
@pytest.mark.parametrize("order", ["rank", "alphabetical"])
def test_top_all_equals_brute_force(scale: float, order: str) -> None:
    space, images = RandomSpace(), random_images(25)
    result = TopAll(order=order, scale=scale).predict(images, LABELS, space)
    single = space.texts(LABELS)
    for n, vector in enumerate(images.vectors):
        ranking = sorted(LABELS, key=lambda label: -float(single[LABELS.index(label)] @ vector))
        prefixes = [tuple(ranking[:k]) for k in range(len(LABELS) + 1)]
        worded = [tuple(sorted(p)) if order == "alphabetical" else p for p in prefixes]
        texts = [", ".join(p) or "nothing" for p in worded]
        expected = brute_force(Images(vector[None]), LABELS, prefixes, texts, space, scale)
        np.testing.assert_allclose(result.scores[n], expected.scores[0], rtol=2e-5, atol=2e-4)
        assert np.array_equal(result.decisions[n], expected.decisions[0])


@pytest.mark.parametrize("kind", [ListAll, TopAll])
def test_extreme_masses_have_no_ties(kind: type) -> None:
    """Masses too small for float32, and masses that float32 rounds to 1, still rank images."""
    scores = kind(scale=100).predict(random_images(200), LABELS[:6], RandomSpace()).scores
    assert ((scores < 0) & (scores > -1e-17)).any()
    assert (kind(scale=350).predict(random_images(200), LABELS[:6], RandomSpace()).scores < -104).any()
    assert all(len(np.unique(scores[:, c])) == 200 for c in range(6))


@given(st.integers(0, 7), st.integers(1, 8))
def test_subsets_are_complete_and_each_follows_its_prefix(labels: int, largest: int) -> None:
    result = list(_subsets(labels, largest))
    sizes = range(min(labels, largest) + 1)
    assert sorted(result) == sorted(s for size in sizes for s in combinations(range(labels), size))
    assert result == sorted(result)  # lexicographic: shared prefixes are adjacent


# -- overflow ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [TopAll(), TopAll(order="alphabetical"), ListAll()], ids=repr)
def test_candidates_that_do_not_fit_are_excluded_counted_and_still_ranked(strategy: Strategy) -> None:
    """Only sets of up to two labels fit: the others are neither truncated nor lost."""
    encoder = PlantedEncoder(context_length=2)
    store = EmbeddingStore(encoder, cache=None)
    answer = strategy.predict(images(), LABELS, store)
    assert all(len(text.split()) <= 2 for text in encoder.texts_seen)
    fitting = 1 + 8 + 28 if isinstance(strategy, ListAll) else 1 + 2
    every = 256 if isinstance(strategy, ListAll) else 9
    assert answer.overflowed == len(SETS) * (every - fitting)
    assert np.isfinite(answer.scores).all()
    assert (answer.decisions.sum(axis=1) <= 2).all()


def test_labels_in_no_candidate_score_below_the_others_by_their_own_text() -> None:
    space, images = RandomSpace(fits_up_to=12), random_images(30)
    scores = TopAll(scale=50).predict(images, LABELS, space).scores
    single = images.vectors @ space.texts(LABELS).T
    for n in range(30):
        ranking = np.argsort(-single[n])
        kept = [c for k, c in enumerate(ranking) if len(", ".join(LABELS[i] for i in ranking[: k + 1])) <= 12]
        dropped = ranking[len(kept) :]
        candidates = [", ".join(LABELS[i] for i in ranking[: k + 1]) for k in range(len(kept))]
        total = np.logaddexp.reduce(50 * space.texts([*candidates, "nothing"]).astype(float) @ images.vectors[n])
        lowest = scores[n, kept].min() if kept else np.inf
        for c in dropped:
            assert scores[n, c] == pytest.approx(min(lowest, 50 * single[n, c] - total), rel=1e-4)


# -- fields and limits -------------------------------------------------------------------------------------------


def test_list_all_refuses_more_than_a_million_candidates_with_a_remedy() -> None:
    labels = [f"thing {i}" for i in range(21)]
    with pytest.raises(UsageError, match=r"2,097,152 candidates.*max_labels"):
        ListAll().predict(random_images(1), labels, RandomSpace())
    assert ListAll(max_labels=2).predict(random_images(1), labels, RandomSpace()).scores.shape == (1, 21)


def test_list_all_stores_embeddings_only_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    store = world()
    ListAll().predict(images(), LABELS[:5], store)
    assert store.counts.texts_not_kept == 0
    monkeypatch.setattr("zsprompt.strategies.list_all.MAX_KEPT", 31)
    ListAll().predict(images(), LABELS[:5], store)
    assert store.counts.texts_not_kept == 32


@pytest.mark.parametrize("scale", [0.0, -1.0, 351.0, float("nan")])
def test_a_scale_that_would_underflow_is_refused(scale: float) -> None:
    for kind in (TopAll, ListAll, YesOrNo):
        with pytest.raises(UsageError, match="scale"):
            kind(scale=scale).predict(random_images(1), LABELS, RandomSpace())


def test_a_prompt_set_without_the_needed_section_is_refused_with_a_remedy() -> None:
    for strategy in (TopAll(prompts=load_prompts("adds")), ListAll(prompts=load_prompts("adds"))):
        with pytest.raises(PromptError, match="--prompts bare"):
            strategy.predict(random_images(1), LABELS, RandomSpace())
    with pytest.raises(PromptError, match="--prompts seed-paper"):
        YesOrNo(prompts=load_prompts("adds")).predict(random_images(1), LABELS, RandomSpace())


# -- standardising -----------------------------------------------------------------------------------------------


def test_standardised_rows_have_mean_0_and_deviation_1() -> None:
    scores = Normalised(TopAll()).predict(random_images(20), LABELS, RandomSpace()).scores
    np.testing.assert_allclose(scores.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scores.std(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("labels", "words"), [(1, 60), (3, 60), (12, 60), (15, 60), (5, 4), (5, 1), (5, 11)])
def test_words_fill_up_what_labels_lack_to_16(labels: int, words: int) -> None:
    """As if each label occurred `words` times and each word 16 − C times; a word never weighs more than a label."""
    scores = np.random.default_rng(labels).normal(size=(7, labels + words))
    times = (words, COMPANY - labels) if words > COMPANY - labels else (1, 1)
    company = np.repeat(scores, [times[0]] * labels + [times[1]] * words, axis=1)
    expected = (scores[:, :labels] - company.mean(axis=1, keepdims=True)) / company.std(axis=1, keepdims=True)
    np.testing.assert_allclose(standardise(scores, labels), expected, rtol=1e-9, atol=1e-12)


def test_16_labels_are_company_enough() -> None:
    names = tuple(f"thing {i}" for i in range(30))
    assert [len(neutral_reference(names[:n]).words) for n in (1, 15, 16, 30)] == [60, 60, 0, 0]
    assert neutral_reference(names[:16]).vocabulary is None


@pytest.mark.parametrize(("labels", "words"), [(1, 60), (5, 60), (20, 60), (8, 0), (5, 3), (30, 0)])
def test_the_largest_z_is_what_a_threshold_may_not_reach(labels: int, words: int) -> None:
    one = np.zeros((1, labels + words))
    one[0, 0] = 1  # one label apart from everything else has the largest z
    highest = float(standardise(one, labels)[0, 0])
    require_threshold(highest - 1e-6, labels, words)
    with pytest.raises(UsageError, match="expected a threshold below"):
        require_threshold(highest + 1e-6, labels, words)


def test_a_constant_row_standardises_to_zero() -> None:
    assert np.array_equal(standardise(np.full((2, 5), 0.1, dtype=np.float32)), np.zeros((2, 5)))


@settings(max_examples=50)
@given(st.floats(0.1, 100), st.floats(-100, 100))
def test_standardising_removes_shift_and_scale(factor: float, shift: float) -> None:
    scores = np.random.default_rng(0).normal(size=(4, 6))
    np.testing.assert_allclose(standardise(scores * factor + shift), standardise(scores), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("strategy", [PerLabel(), Normalised(PerLabel())], ids=repr)
@pytest.mark.parametrize("count", range(1, 9))
def test_few_labels_are_standardised_with_the_neutral_vocabulary(strategy: Strategy, count: int) -> None:
    """One label is enough, and two present labels out of eight are both detected."""
    labels = ("sofa", "motorcycle", "carrot", "cycle", "car", "cat", "dog", "person")[:count]
    answer = strategy.predict(images([("sofa",), ("dog",), (), labels[:2]]), labels, world())
    assert answer.decisions[:, 0].tolist() == [True, False, False, True]
    assert answer.decisions[3].sum() == min(count, 2)


@given(st.integers(1, 40), st.integers(0, 12))
def test_at_most_a_fifth_of_the_company_is_2_deviations_above_its_mean(count: int, present: int) -> None:
    """Cantelli's inequality; equal scores reach it. So up to 19 labels, at most three of an image are present."""
    words = 60 if count < COMPANY else 0
    scores = np.r_[np.ones(min(present, count)), np.zeros(count - min(present, count) + words)]
    passed = int((standardise(scores[None], count) > 2 + 1e-9).sum())
    assert passed == (min(present, count) if 5 * min(present, count) < max(COMPANY, count) else 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(-3, 3))
def test_one_label_more_moves_the_others_by_its_own_weight_alone(seed: int, count: int, value: float) -> None:
    """Also the 16th. The bound holds for the mean and variance, from the weights alone.

    A label takes at most 1/16 of the mean from the words, or from the other labels. So the mean moves by at most 1/16
    of the largest difference of two scores of the image, and the mean square by at most 1/16 of the largest square.
    """
    random = np.random.default_rng(seed)
    words = 60 if count + 1 < COMPANY else 0
    labels = random.normal(size=count)
    company = random.normal(size=60)
    before = np.r_[labels, company[: 60 if count < COMPANY else 0]]
    after = np.r_[labels, value, company[:words]]
    largest = max(np.abs(before).max(), np.abs(after).max())
    first, second = (_moments(row, n) for row, n in ((before, count), (after, count + 1)))
    assert abs(first[0] - second[0]) <= 2 * largest / min(COMPANY, count + 1) + 1e-12
    assert abs(first[1] - second[1]) <= largest**2 / min(COMPANY, count + 1) + 1e-12
    if count >= COMPANY - 1:
        assert words == 0


def _moments(row: np.ndarray, labels: int) -> tuple[float, float]:
    """Mean and mean square of a row, found from its z: a label of value v has z = (v − mean) / deviation."""
    z = standardise(row[None], labels)[0]
    if labels == 1:  # one label gives one equation
        weights = np.r_[1.0, np.full(len(row) - 1, (COMPANY - 1) / (len(row) - 1))] / COMPANY
        return float(row @ weights), float(row**2 @ weights)
    slope, offset = np.polyfit(row[:labels], z, 1)
    mean, deviation = -offset / slope, 1 / slope
    return float(mean), float(deviation**2 + mean**2)


def test_decisions_have_no_cliff() -> None:
    """One label more changes few decisions about five labels, although words score lower than labels."""
    random = np.random.default_rng(0)
    labels, words = random.normal(size=(2000, 40)), random.normal(-1.5, 0.7, size=(2000, 60))

    def decisions(count: int, joined: int) -> np.ndarray:
        return standardise(np.hstack([labels[:, :count], words[:, :joined]]), count)[:, :5] > 1.5

    yes = [decisions(n, 60 if n < COMPANY else 0) for n in range(5, 41)]
    changed = [float((before != after).mean()) for before, after in pairwise(yes)]
    assert max(changed) < 0.06
    assert all(after < before + 0.003 for before, after in pairwise(changed))  # fewer and fewer


def test_the_threshold_is_a_field() -> None:
    images = random_images(50)
    counts = [PerLabel(threshold=t).predict(images, LABELS, RandomSpace()).decisions.sum() for t in (-9, 0, 1, 3.8)]
    assert counts[0] == 400
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0


def test_an_ensemble_is_the_unit_mean_of_its_unit_vectors() -> None:
    space, images = RandomSpace(), random_images(6)
    scores = PerLabel(prompts=load_prompts("adds")).predict(images, ("dog", "cat"), space).scores
    for c, label in enumerate(("dog", "cat")):
        mean = space.texts([f"This photo contains {label}", f"This is a {label} photo"]).mean(axis=0)
        np.testing.assert_allclose(scores[:, c], images.vectors @ (mean / np.linalg.norm(mean)), atol=1e-6)


@pytest.mark.parametrize("factor", [1e-9, 14.0, 1e6])
def test_reweighted_texts_are_weighted_by_the_softmax_of_their_cosines(factor: float) -> None:
    space, images, prompts = RandomSpace(), random_images(6), load_prompts("adds")
    scores = PerLabel(prompts=prompts, reweight=factor).cosines(images, ("dog", "cat"), space)
    for c, label in enumerate(("dog", "cat")):
        vectors = space.texts(prompts.ensemble([label])[0]).astype(float)
        for n, image in enumerate(images.vectors.astype(float)):
            weights = np.exp(factor * (vectors @ image - (vectors @ image).max()))
            mean = weights @ vectors
            assert scores[n, c] == pytest.approx(image @ mean / np.linalg.norm(mean), abs=1e-6)
    if factor < 1:
        np.testing.assert_allclose(scores, PerLabel(prompts=prompts).cosines(images, ("dog", "cat"), space), atol=1e-6)
    one_text = PerLabel(reweight=factor).cosines(images, LABELS, space)
    np.testing.assert_allclose(one_text, PerLabel().cosines(images, LABELS, space), atol=1e-6)


def test_reweighting_gains_where_each_image_shows_one_of_the_described_things() -> None:
    """A label has four texts of different things, and an image shows one of them: the mean of all is far from each."""
    random = np.random.default_rng(0)
    labels = ("first", "second")
    described = tuple((label, tuple(f"{label} {n}" for n in range(4))) for label in labels)
    prompts = PromptSet("described", "0", "", "", described=described)
    space = RandomSpace(dim=16)
    shown = [space.texts([texts[n % 4]])[0] for n in range(200) for _, texts in [described[n // 100]]]
    vectors = np.stack(shown) + 0.3 * random.normal(size=(200, 16))
    images = Images(unit_rows(vectors).astype(np.float32))
    right = {}
    for factor in (0.0, 14.0):
        cosines = PerLabel(prompts=prompts, reweight=factor).cosines(images, labels, space)
        right[factor] = (cosines.argmax(axis=1) == np.repeat([0, 1], 100)).mean()
    assert right[14.0] > right[0.0] + 0.05


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_reweight_that_is_no_factor_is_refused(factor: float) -> None:
    with pytest.raises(UsageError, match="reweight"):
        PerLabel(reweight=factor)


@pytest.mark.parametrize("strategy", [PerLabel(threshold=7), Normalised(TopAll(), threshold=2)], ids=repr)
def test_a_threshold_that_no_label_can_exceed_is_refused(strategy: Strategy) -> None:
    """Among n labels, none is more than √(n − 1) deviations above the mean."""
    labels = LABELS[:5] if isinstance(strategy, Normalised) else tuple(f"thing {i}" for i in range(16))
    with pytest.raises(UsageError, match="expected a threshold below"):
        strategy.predict(random_images(3), labels, RandomSpace())


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), float("-inf")])
def test_a_threshold_of_nan_is_refused(threshold: float) -> None:
    for strategy in (PerLabel(threshold=threshold), Normalised(YesOrNo(), threshold=threshold)):
        with pytest.raises(UsageError, match="threshold"):
            strategy.predict(random_images(3), LABELS, RandomSpace())


def test_neutral_words_among_the_labels_are_not_added_twice() -> None:
    assert PerLabel().predict(images(), (" dog", "Bicycle"), world()).scores.shape == (len(SETS), 2)


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("per-label", PerLabel()),
        ("per-label,threshold=2", PerLabel(threshold=2)),
        ("top-all,order=alphabetical,scale=20", TopAll(order="alphabetical", scale=20.0)),
        ("top-all,scale=none", TopAll()),
        ("list-all,max_labels=3", ListAll(max_labels=3)),
        ("normalised:yes-or-no", Normalised(YesOrNo())),
        ("normalised:per-label,threshold=2.5", Normalised(PerLabel(), threshold=2.5)),
        ("normalised:top-all,scale=20,threshold=0", Normalised(TopAll(scale=20.0), threshold=0)),
    ],
)
def test_names_on_the_command_line(text: str, expected: Strategy) -> None:
    assert load_strategy(text) == expected


def test_a_prompt_set_goes_to_the_strategy_inside() -> None:
    strategy = load_strategy("normalised:top-all", prompts="seed-code")
    assert strategy == Normalised(TopAll(prompts=load_prompts("seed-code")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topall", "Did you mean 'top-all'"),
        ("top-all,oder=rank", "Did you mean 'order'"),
        ("top-all,order=ranked", "Did you mean 'rank'"),
        ("top-all,scale=big", "expected scale to be a number or none, found 'big'"),
        ("list-all,max_labels=2.5", "expected max_labels to be a whole number or none"),
        ("top-all,scale=20,scale=30", "found scale twice"),
        ("normalised:normalised:per-label", "expected normalised: once"),
        ("normalised", "Did you mean 'normalised:NAME'"),
        ("llm_tools.x:Strategy", "cannot import"),
        ("zsprompt:Normalised", "cannot make Normalised"),
        ("zsprompt:Prediction", "cannot make Prediction"),
        ("top-all,scale", "expected field=value"),
        ("normalised:", "unknown strategy ''"),
        ("no.such.module:Thing", "cannot import"),
        ("fakes:Nothing", "expected 'Nothing' in module 'fakes'"),
        ("fakes:LABELS", "expected fakes:LABELS to be a strategy"),
        ("fakes:PlantedEncoder", "expected fakes:PlantedEncoder to be a strategy"),
        ("fakes:draw,scale=3", "takes no fields"),
    ],
)
def test_wrong_names_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises((UsageError, UnknownName), match=message):
        load_strategy(text)


def test_a_missing_adapter_is_reported() -> None:
    with pytest.raises(AdapterError, match=r"expected an adapter at file\.safetensors, found nothing"):
        load_strategy("adapter:file.safetensors")


def test_your_own_strategies_by_module_and_object() -> None:
    assert isinstance(load_strategy("zsprompt.strategies:PerLabel,threshold=3"), PerLabel)


def test_every_strategy_is_listed_with_a_sentence() -> None:
    listed = available_strategies()
    assert set(STRATEGIES) < set(listed)
    assert all(about for about in listed.values())


def test_strategies_do_not_import_torch() -> None:
    code = "import sys, zsprompt.strategies; assert not {'torch', 'clip', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment())
