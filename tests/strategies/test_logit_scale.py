"""Models without a logit scale: what works, what asks for a scale in one line, and the scale that is suggested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli
from fakes import LABELS, PlantedEncoder, draw_files

import zsprompt as zs
from zsprompt._utils.arrays import Floats
from zsprompt.encoders import ScaleOnUse
from zsprompt.encoders.random_texts import RandomTexts
from zsprompt.errors import UsageError
from zsprompt.llm import Bank, Caption, Captions
from zsprompt.prompts import neutral_words, with_article
from zsprompt.strategies import Strategy, load_strategy
from zsprompt.strategies.logit_scale import LEAD
from zsprompt.testing import RandomSpace, check_encoder, check_strategy, planted_world, random_images

REFUSAL = (
    "expected a logit scale for the softmax, found a model without one; set the field scale, or give the encoder a "
    "logit_scale (zsprompt.suggest_logit_scale suggests one from your images)"
)
WITHOUT_SOFTMAX = (
    *("per-label", "yes-or-no", "compound", "normalised:per-label", "normalised:yes-or-no", "regions:per-label"),
    *("normalised:regions:per-label", "matched:per-label", "self-training:per-label,fewest=2"),
)
WITH_SOFTMAX = (
    *("softmax:per-label", "softmax:regions:per-label", "top-all", "list-all,max_labels=2", "llm", "llm,base=list-all"),
    *("normalised:top-all", "self-training:softmax:per-label,fewest=2"),
)
BANK = Bank.of("mine", [Caption((), "nothing"), *(Caption((label,), f"some {label}") for label in LABELS)])


class NoScale(PlantedEncoder):
    """A PlantedEncoder that was not trained with a temperature."""

    logit_scale = None


class ScaleFromWeights(PlantedEncoder, ScaleOnUse):
    """Reads its scale, None, from weights.

    Attributes:
        read: how often it did so.
    """

    read = 0

    @property
    def logit_scale(self) -> float | None:
        self.read += 1
        return None


def strategy_of(spec: str) -> Strategy:
    strategy = load_strategy(spec)
    return replace(strategy, captions=Captions(BANK)) if isinstance(strategy, zs.Llm) else strategy


@pytest.mark.parametrize("spec", WITHOUT_SOFTMAX)
def test_strategies_that_rank_or_standardise_need_no_scale(spec: str) -> None:
    """Their decisions, and the order of images by each score, are those of any scale."""
    strategy = strategy_of(spec)
    check_strategy(strategy, texts=RandomSpace(logit_scale=None), tolerance=1e-5)
    none, some = (strategy.predict(random_images(40), LABELS, RandomSpace(scale)) for scale in (None, 37.0))
    assert np.array_equal(none.decisions, some.decisions)
    assert np.array_equal(none.scores.argsort(axis=0), some.scores.argsort(axis=0))


@pytest.mark.parametrize("spec", WITH_SOFTMAX)
def test_strategies_with_a_softmax_ask_for_a_scale(spec: str) -> None:
    strategy, space = strategy_of(spec), RandomSpace(logit_scale=None)
    for refused in (
        lambda: strategy.predict(random_images(3), LABELS, space),
        lambda: zs.strategies.refuse(strategy, LABELS, space),
    ):
        with pytest.raises(UsageError) as caught:
            refused()
        assert str(caught.value) == REFUSAL


@pytest.mark.parametrize("spec", WITH_SOFTMAX)
def test_the_field_scale_is_enough(spec: str) -> None:
    strategy = strategy_of(f"{spec},scale=37")
    check_strategy(strategy, texts=RandomSpace(logit_scale=None), tolerance=1e-5)
    given, own = (strategy_of(one) for one in (f"{spec},scale=37", spec))
    first = given.predict(random_images(5), LABELS, RandomSpace(logit_scale=None))
    assert np.array_equal(first.scores, own.predict(random_images(5), LABELS, RandomSpace(logit_scale=37.0)).scores)


def test_it_is_refused_before_an_image_is_embedded() -> None:
    dataset, encoder = planted_world()[0], NoScale()
    store = zs.EmbeddingStore(encoder, cache=None)
    with pytest.raises(UsageError, match="expected a logit scale"):
        zs.run("softmax:per-label", dataset, store)
    assert encoder.image_batches == []
    assert zs.run("softmax:per-label,scale=100", dataset, store).mAP == 1.0


def test_the_label_sets_that_want_a_caption_need_no_scale() -> None:
    strategy = zs.TopAll()
    sets = [strategy.label_sets(random_images(5), LABELS, RandomSpace(scale)) for scale in (None, 37.0)]
    assert sets[0] == sets[1]


def test_a_sigmoid_needs_a_scale_too() -> None:
    class Biased(RandomSpace):
        logit_bias = -10.0

    strategy = load_strategy("per-label,decide=sigmoid")
    with pytest.raises(UsageError, match="expected a model with a logit scale, such as SigLIP"):
        strategy.predict(random_images(2), LABELS, Biased(logit_scale=None))
    assert strategy.predict(random_images(2), LABELS, Biased()).probabilities is not None


def test_the_store_and_wrapping_encoders_pass_it_on() -> None:
    encoder = NoScale()
    check_encoder(encoder)
    assert zs.EmbeddingStore(encoder, cache=None).logit_scale is None
    assert RandomTexts(encoder).logit_scale is None


def test_none_among_the_weights_is_cached(tmp_path: Path) -> None:
    encoders = [ScaleFromWeights(), ScaleFromWeights()]
    for encoder in encoders:
        with zs.EmbeddingStore(encoder, cache=tmp_path / "cache") as store:
            assert store.logit_scale is None
            assert store.logit_scale is None
    assert [encoder.read for encoder in encoders] == [1, 0]


def test_adapters_need_no_scale() -> None:
    world = planted_world(count=24)
    store = zs.EmbeddingStore(NoScale(), cache=None)
    trained = zs.train("linear-probe", world.dataset, store, schedule=zs.Schedule(epochs=1)).trained
    assert zs.run(zs.Adapter(trained), world.dataset, store).prediction.scores.shape == (24, len(LABELS))


def test_the_command_line_says_it_in_one_line(tmp_path: Path, cli: Cli) -> None:
    draw_files(tmp_path / "photos", [("dog",), ("cat",), ()])
    words = ("predict", "photos", "--labels", "dog, cat", "--model", "test_logit_scale:NoScale")
    refused = cli(*words)
    assert refused.returncode != 0
    assert REFUSAL in refused.stderr
    assert refused.stderr.count("\n") == 1
    answered = cli(*words, "--strategy", "softmax:per-label,scale=100", "--json")
    assert answered.returncode == 0, answered.stderr


# -- the suggestion ----------------------------------------------------------------------------------------------


def lead(images: zs.Images, space: RandomSpace) -> np.ndarray:
    """[N] the cosine of the best neutral word less the mean of all, word by word."""
    cosines = [images.vectors @ space.texts([with_article(word)])[0] for word in neutral_words()]
    return np.max(cosines, axis=0) - np.mean(cosines, axis=0)


def test_the_best_neutral_word_lies_so_many_logits_above_the_mean() -> None:
    images, space = random_images(50), RandomSpace(logit_scale=None)
    scale = zs.suggest_logit_scale(images, space)
    assert (scale * lead(images, space)).mean() == pytest.approx(LEAD, rel=1e-6)


def test_a_model_with_closer_cosines_gets_a_larger_scale() -> None:
    """A component that all texts and images share shrinks every difference of cosines by one factor."""

    class Common(RandomSpace):
        def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
            return with_common(super().texts(texts))

    def with_common(vectors: Floats) -> Floats:
        return np.column_stack([0.6 * vectors, np.full(len(vectors), 0.8)]).astype(np.float32)

    images = random_images(50)
    wide = zs.suggest_logit_scale(images, RandomSpace())
    narrow = zs.suggest_logit_scale(zs.Images(with_common(images.vectors)), Common())
    assert narrow == pytest.approx(wide / 0.36, rel=1e-5)


def test_it_does_not_depend_on_the_scale_that_a_model_states() -> None:
    suggested = {zs.suggest_logit_scale(random_images(9), RandomSpace(scale)) for scale in (None, 1.0, 100.0)}
    assert len(suggested) == 1


def test_no_images_are_refused() -> None:
    with pytest.raises(UsageError, match="expected images to suggest a logit scale from, found none"):
        zs.suggest_logit_scale(random_images(3).read([]), RandomSpace())


def test_a_model_that_does_not_read_texts_is_refused() -> None:
    class Deaf(RandomSpace):
        def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
            return super().texts(["the same"] * len(texts))

    with pytest.raises(UsageError, match="expected a model that gives the 60 neutral words different cosines"):
        zs.suggest_logit_scale(random_images(3), Deaf())


def test_vectors_of_two_models_are_refused() -> None:
    with pytest.raises(
        UsageError, match="expected images and texts of the same model, found vectors of width 24 and 9"
    ):
        zs.suggest_logit_scale(random_images(3), RandomSpace(dim=9))
