"""softmax: against brute force, and what added words do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import LABELS, PlantedEncoder, draw
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.errors import LabelError, UsageError
from zsprompt.prompts import neutral_words
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import PerLabel, load_strategy, reference_words, refuse_labels, supervision
from zsprompt.strategies.regions import Regions
from zsprompt.strategies.registry import digest_of, spec_of
from zsprompt.strategies.softmax import Softmax, log_posteriors
from zsprompt.strategies.z_scores import standardise
from zsprompt.testing import RandomSpace, check_strategy, random_images

SPECS = (
    "softmax:per-label",
    "softmax:per-label,reference=labels",
    "softmax:per-label,scale=20,cut=0.2",
    "softmax:regions:per-label",
)
WORDS = tuple(f"word {n}" for n in range(12))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(("dog", *WORDS)) + "\n", encoding="utf-8")
    return path


# -- scores ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 100.0, 350.0])
@pytest.mark.parametrize("reference", ["neutral", "labels", "file"])
def test_scores_equal_brute_force(scale: float, reference: str, words: Path) -> None:
    space, images, labels = RandomSpace(), random_images(20), LABELS[:4]
    company = {"neutral": neutral_words(), "labels": (), "file": ("dog", *WORDS)}[reference]
    every = [*labels, *(word for word in company if word not in labels)]
    strategy = Softmax(PerLabel(), reference=str(words) if reference == "file" else reference, scale=scale, cut=0.1)
    result = strategy.predict(images, labels, space)
    cosines = PerLabel().cosines(images, every, space).astype(float)
    for n, row in enumerate(scale * cosines):
        for c in range(len(labels)):
            posterior = row[c] - np.logaddexp.reduce(row)
            assert result.scores[n, c] == pytest.approx(posterior, rel=1e-6, abs=5e-5)
            assert result.decisions[n, c] == (math.exp(posterior) > 0.1)


@pytest.mark.parametrize("spec", SPECS)
def test_the_contract_of_strategies(spec: str) -> None:
    strategy = load_strategy(spec)
    check_strategy(strategy, tolerance=1e-5)
    assert supervision(strategy) == "label-free"
    assert spec_of(load_strategy(spec_of(strategy))) == spec_of(strategy)


def test_the_scale_is_the_encoders_unless_it_is_given() -> None:
    space = RandomSpace(logit_scale=37.0)
    own, given_one = (Softmax(PerLabel(), scale=s).predict(random_images(5), LABELS, space) for s in (None, 37.0))
    assert np.array_equal(own.scores, given_one.scores)


def test_windows_are_those_of_the_inner_strategy() -> None:
    images, space = random_images(6), RandomSpace()
    outer = Softmax(Regions(PerLabel())).predict(images, LABELS, space)
    inner = Regions(PerLabel()).predict(images, LABELS, space)
    assert outer.windows is not None
    assert inner.windows is not None
    assert np.array_equal(outer.windows.best, inner.windows.best)
    assert Softmax(PerLabel()).predict(images, LABELS, space).windows is None


def test_standardising_posteriors_is_standardising_cosines() -> None:
    """The normaliser is one number per image, so the wrappers around each other make no sense."""
    cosines = np.random.default_rng(0).normal(size=(30, 12)) / 10
    np.testing.assert_allclose(standardise(log_posteriors(cosines, 100)), standardise(cosines), rtol=1e-9, atol=1e-9)


def test_posteriors_near_1_have_no_ties() -> None:
    strategy = Softmax(PerLabel(), reference="labels", scale=100)
    scores = strategy.predict(random_images(200), LABELS, RandomSpace()).scores
    certain = scores[scores > -1e-6]
    assert len(certain) > 20
    assert (certain < 0).all()
    assert (certain > -1e-18).any()  # 1 minus it rounds to 1
    assert len(np.unique(certain)) == len(certain)


def test_no_labels_and_no_images_give_empty_posteriors() -> None:
    assert log_posteriors(np.empty((3, 0), dtype=np.float32), 100).shape == (3, 0)
    assert log_posteriors(np.empty((0, 4), dtype=np.float32), 100).shape == (0, 4)


# -- decisions ---------------------------------------------------------------------------------------------------


@given(st.floats(0.001, 0.999), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 20.0, 100.0]))
def test_a_cut_bounds_the_labels_of_an_image(cut: float, seed: int, scale: float) -> None:
    """Posteriors sum to at most 1, so at most ⌈1/cut⌉ − 1 exceed the cut."""
    labels = tuple(f"label {n}" for n in range(40))
    strategy = Softmax(PerLabel(), reference="labels", cut=cut, scale=scale)
    decisions = strategy.predict(random_images(4, seed % 1000), labels, RandomSpace()).decisions
    assert decisions.sum(axis=1).max() <= math.ceil(1 / cut) - 1


@pytest.mark.parametrize("count", range(2, 61))
def test_equal_posteriors_do_not_exceed_their_share(count: int) -> None:
    """Rounding lets none of n equal labels pass a cut of 1/n."""
    same = Images(np.zeros((2, 24), dtype=np.float32))  # its cosine with every text is 0
    labels = tuple(f"label {n}" for n in range(count))
    for cut, expected in ((1 / count, False), (0.999 / count, True)):
        answer = Softmax(PerLabel(), reference="labels", cut=cut).predict(same, labels, RandomSpace())
        assert (answer.decisions == expected).all()


def test_a_higher_cut_decides_for_fewer_labels() -> None:
    images, space = random_images(50), RandomSpace(logit_scale=20)
    answers = [Softmax(PerLabel(), cut=cut).predict(images, LABELS, space) for cut in (0.01, 0.05, 0.2)]
    assert all(np.array_equal(answer.scores, answers[0].scores) for answer in answers)
    counts = [int(answer.decisions.sum()) for answer in answers]
    assert counts[0] > counts[1] > counts[2] > 0


# -- added words -------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.data(), st.floats(1, 100), st.sampled_from(["neutral", "labels"]))
def test_added_labels_lower_the_others_by_a_known_amount(data: Any, scale: float, reference: str) -> None:
    """By log(1 + Σ_new exp(b·cos) / Σ_old exp(b·cos)); so a no never becomes a yes."""
    some = [*LABELS, *WORDS, "house", "tree"]
    labels = data.draw(st.lists(st.sampled_from(some), min_size=2, max_size=8, unique=True))
    added = data.draw(st.lists(st.sampled_from([s for s in some if s not in labels]), max_size=6, unique=True))
    images, space = random_images(10), RandomSpace()
    strategy = Softmax(PerLabel(), reference=reference, scale=scale)
    before, after = (strategy.predict(images, given, space) for given in (labels, (*labels, *added)))

    old = (*labels, *strategy.reference_words(labels).words)
    new = [word for word in (*labels, *added, *strategy.reference_words(added).words) if word not in old]
    every = np.exp(scale * PerLabel().cosines(images, (*old, *new), space).astype(float))
    drop = np.log1p(every[:, len(old) :].sum(axis=1) / every[:, : len(old)].sum(axis=1))[:, None]
    first = slice(0, len(labels))
    np.testing.assert_allclose(after.scores[:, first], before.scores - drop, rtol=1e-5, atol=5e-5)
    assert not (after.decisions[:, first] & ~before.decisions).any()


@pytest.mark.parametrize("spec", ["softmax:per-label", "softmax:regions:per-label"])
def test_a_label_that_is_a_reference_word_changes_nothing(spec: str) -> None:
    """However many labels there are: neutral words and those of a file stay in the sum, as words or as labels."""
    images, space = random_images(30), RandomSpace(logit_scale=20)
    strategy = load_strategy(spec)
    before = strategy.predict(images, WORDS, space)
    for given_words in (neutral_words()[:1], neutral_words()[:25], neutral_words()):
        after = strategy.predict(images, (*WORDS, *given_words), space)
        np.testing.assert_allclose(after.scores[:, : len(WORDS)], before.scores, rtol=1e-5, atol=1e-5)
        assert np.array_equal(after.decisions[:, : len(WORDS)], before.decisions)


# -- the words of a file -----------------------------------------------------------------------------------------


def test_the_words_of_a_file_are_part_of_the_strategy(words: Path, tmp_path: Path) -> None:
    strategy = load_strategy(f"softmax:per-label,reference={words}")
    assert spec_of(strategy) == f"softmax:per-label,reference={words}"
    assert len(repr(strategy)) < 250 + len(str(words))
    compared = reference_words(strategy, ("dog", "cat"))
    assert compared is not None
    assert compared.vocabulary == str(words)
    assert compared.words == WORDS  # without the label

    before = digest_of(strategy)
    assert digest_of(load_strategy(spec_of(strategy))) == before
    words.write_text("other\nwords\n", encoding="utf-8")
    assert digest_of(load_strategy(spec_of(strategy))) != before
    assert digest_of(strategy) == before  # it was made of the words that were there


def test_a_file_of_labels_alone_is_as_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "same.txt"
    path.write_text("\n".join(LABELS), encoding="utf-8")
    images, space = random_images(9), RandomSpace()
    answers = [Softmax(PerLabel(), reference=r).predict(images, LABELS, space) for r in (str(path), "labels")]
    assert np.array_equal(answers[0].scores, answers[1].scores)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "found none in"), ("a\n\nb\n", "blank"), ("a\nA\n", "each label once"), ("a|b\n", "|")],
)
def test_a_file_without_proper_words_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LabelError, match=message) as caught:
        Softmax(PerLabel(), reference=str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_with_the_other_choices() -> None:
    with pytest.raises(UsageError, match=r"expected reference to be neutral, labels or a text file .* found no file"):
        load_strategy("softmax:per-label,reference=neutrall")


# -- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0.0, 1.0, -0.1, 2.0, float("nan"), float("inf")])
def test_a_cut_that_is_no_posterior_is_refused(cut: float) -> None:
    with pytest.raises(UsageError, match="cut"):
        Softmax(PerLabel(), cut=cut)


@pytest.mark.parametrize("scale", [0.0, -1.0, 351.0, float("nan")])
def test_a_scale_that_would_underflow_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="scale"):
        Softmax(PerLabel(), scale=scale)


def test_a_single_label_needs_reference_words() -> None:
    alone = Softmax(PerLabel(), reference="labels")
    for call in (
        lambda: refuse_labels(alone, ("dog",)),
        lambda: alone.predict(random_images(2), ("dog",), RandomSpace()),
    ):
        with pytest.raises(UsageError, match=r"expected at least 2 labels and reference words for softmax:.*neutral"):
            call()
    assert Softmax(PerLabel()).predict(random_images(2), ("dog",), RandomSpace()).scores.shape == (2, 1)


# -- the planted world -------------------------------------------------------------------------------------------


def test_one_label_is_found_where_it_is_and_nowhere_else() -> None:
    """The posterior of every drawn label is high, of others low, whether one label is asked or eight."""
    store = EmbeddingStore(PlantedEncoder(), cache=None)
    images = Images(PlantedEncoder().encode_images([draw(("sofa",)), draw(("dog",)), draw(()), draw(("sofa", "cat"))]))
    for labels in (("sofa",), ("sofa", "dog"), LABELS):
        answer = Softmax(PerLabel(), scale=20).predict(images, labels, store)
        sofa = labels.index("sofa")
        assert answer.decisions[:, sofa].tolist() == [True, False, False, True]
        assert answer.scores[[0, 3], sofa].min() > answer.scores[[1, 2], sofa].max()
