"""Reference words: what a strategy declares is what takes part in its scores and decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from zsprompt.errors import UsageError
from zsprompt.llm import Bank, Caption, Captions
from zsprompt.prompts import neutral_words
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import (
    STRATEGIES,
    WRAPPERS,
    Llm,
    Normalised,
    PerLabel,
    Prediction,
    SelfTraining,
    Strategy,
    Thresholded,
    Thresholds,
    TopAll,
    YesOrNo,
    load_strategy,
    reference_words,
)
from zsprompt.strategies.softmax import Softmax
from zsprompt.strategies.z_scores import COMPANY
from zsprompt.testing.random_space import RandomSpace, random_images

MANY = tuple(f"label {n}" for n in range(30))
BANK = Bank.of("mine", [Caption((), "nothing"), *(Caption((label,), f"some {label}") for label in MANY)])
OTHER_WORDS = tuple(f"other {n}" for n in range(50))


def thresholded(strategy: Strategy, labels: tuple[str, ...]) -> Thresholded:
    value = -30.0 if isinstance(strategy, Softmax) else 0.5  # some scores of random vectors are above it, some below
    return Thresholded(strategy, Thresholds(labels, (value,) * len(labels), "", False, {}, {}))


FIELDS = {"self-training": ",fewest=1", "list-all": ",max_labels=2"}
"""Fields that suit the few images and many labels of these tests."""


def every_strategy(labels: tuple[str, ...]) -> dict[str, Strategy]:
    """Each of the table, alone and in each wrapper, with and without thresholds."""
    made: dict[str, Strategy] = {}
    for name in STRATEGIES:
        for spec in (name, *(f"{wrapper}:{name}" for wrapper in WRAPPERS)):
            try:
                made[spec] = with_bank(load_strategy(spec + FIELDS.get(name, "") + FIELDS.get(spec.split(":")[0], "")))
            except UsageError:  # a wrapper that takes only some strategies
                continue
            made[f"{spec} with thresholds"] = thresholded(made[spec], labels)
    return made


def with_bank(strategy: Strategy) -> Strategy:
    if isinstance(strategy, Normalised):
        return replace(strategy, strategy=with_bank(strategy.strategy), threshold=1.0)
    if isinstance(strategy, SelfTraining):
        return replace(strategy, strategy=with_bank(strategy.strategy))
    return replace(strategy, captions=Captions(BANK)) if isinstance(strategy, Llm) else strategy


@pytest.mark.parametrize("count", [4, 8, 15, 16, 24])
@pytest.mark.parametrize("spec", every_strategy(()))
def test_exactly_the_declared_words_take_part(spec: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another vocabulary changes scores and decisions where words are declared for them, and nowhere else."""
    labels = MANY[:count]
    strategy = every_strategy(labels)[spec]
    declared = reference_words(strategy, labels)
    images, texts = random_images(200 if declared and declared.words else 20), RandomSpace()
    before = strategy.predict(images, labels, texts)
    for module in ("z_scores", "softmax"):
        monkeypatch.setattr(f"zsprompt.strategies.{module}.neutral_words", lambda: OTHER_WORDS)
    after = strategy.predict(images, labels, texts)

    # a product with more columns may round otherwise
    assert np.allclose(before.scores, after.scores, atol=1e-5) == (
        not (declared and declared.words and declared.in_scores)
    )
    assert np.array_equal(before.decisions, after.decisions) == (not (declared and declared.words))
    changed = reference_words(strategy, labels)
    assert (changed.words if changed else ()) == (OTHER_WORDS if declared and declared.words else ())


@pytest.mark.parametrize("count", [0, 14, 15, 22, 23, 29])
@pytest.mark.parametrize("spec", ["per-label", "normalised:per-label", "normalised:yes-or-no", "softmax:per-label"])
def test_labels_are_joined_by_the_neutral_vocabulary_while_they_are_few(spec: str, count: int) -> None:
    """Standardised ones while they are fewer than 16; in a softmax always."""
    joined = reference_words(load_strategy(spec), ("Dog ", *MANY[:count]))
    assert joined is not None
    assert joined.in_scores == (spec != "per-label")
    if count + 1 < COMPANY or spec == "softmax:per-label":
        assert joined.vocabulary == "neutral"
        assert joined.words == tuple(word for word in neutral_words() if word != "dog")
    else:
        assert (joined.vocabulary, joined.words) == (None, ())


@pytest.mark.parametrize("strategy", [TopAll(), YesOrNo(), thresholded(PerLabel(), MANY[:3])], ids=repr)
def test_others_compare_labels_with_nothing(strategy: Strategy) -> None:
    assert reference_words(strategy, MANY[:3]) is None


@dataclass(frozen=True)
class PassesOn:
    """A user's wrapper that declares nothing."""

    strategy: Strategy

    def predict(self, images: Images, labels: tuple[str, ...], texts: RandomSpace) -> Prediction:
        return self.strategy.predict(images, labels, texts)


def test_words_are_found_in_a_wrapper_that_declares_nothing() -> None:
    """It may pass on the decisions, so the words of what it wraps are said."""
    for inner in (PerLabel(), Normalised(PerLabel())):
        assert reference_words(PassesOn(inner), MANY[:3]) == reference_words(inner, MANY[:3])


def test_scores_by_thresholds_keep_the_words_of_the_scores() -> None:
    inner = Normalised(PerLabel())
    assert reference_words(thresholded(inner, MANY[:3]), MANY[:3]) == reference_words(inner, MANY[:3])
