"""compound: against brute force, what it refuses, and a planted world in which pairs know more than single labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from fakes import LABELS

from zsprompt import metrics
from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt._utils.progress import quiet
from zsprompt.errors import LabelError, PromptError, UsageError
from zsprompt.prompts import load_prompts, neutral_words
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import (
    Normalised,
    PerLabel,
    Prediction,
    load_strategy,
    needs_all_images,
    refuse_images,
    refuse_labels,
    supervision,
)
from zsprompt.strategies.compound import Compound, first_component
from zsprompt.strategies.registry import spec_of
from zsprompt.strategies.z_scores import COMPANY
from zsprompt.testing import RandomSpace, random_images

# -- scores ------------------------------------------------------------------------------------------------------


def standardised_by(values: np.ndarray, company: np.ndarray, labels: int) -> np.ndarray:
    """`values` [N, T], standardised by the weighted mean and deviation of `company` [N, C + R]."""
    word = (COMPANY - labels) / (company.shape[1] - labels)
    weights = np.array([1.0] * labels + [word] * (company.shape[1] - labels)) / COMPANY
    mean = (company * weights).sum(axis=1, keepdims=True)
    return (values - mean) / np.sqrt((weights * (company - mean) ** 2).sum(axis=1, keepdims=True))


def brute_force(fuse: str, images: Images, labels: Sequence[str], space: RandomSpace) -> np.ndarray:
    """Scores as in the source, label by label, with the component from a singular value decomposition."""

    def cosines(texts: Sequence[str]) -> np.ndarray:
        return images.vectors.astype(float) @ space.texts(texts).T.astype(float)

    def per_text(z: np.ndarray) -> np.ndarray:
        return (z - z.mean(axis=0)) / z.std(axis=0) if fuse == "component" else z

    prompts = load_prompts("photo")
    words = [*labels, *(word for word in neutral_words() if word not in labels)]
    company = cosines([prompts.ensemble([word])[0][0] for word in words])
    single = per_text(standardised_by(company[:, : len(labels)], company, len(labels)))
    scores = np.empty(single.shape)
    for c, label in enumerate(labels):
        pairs = [pair for pair in combinations(sorted(labels), 2) if label in pair]
        z = per_text(standardised_by(cosines(prompts.texts(pairs)), company, len(labels)))
        fused = z.mean(axis=1)
        if fuse == "component":
            statistics = np.column_stack([np.sort(z, axis=1), single[:, c]])
            direction = np.linalg.svd(statistics - statistics.mean(axis=0))[2][0]
            side = direction.sum() if abs(direction.sum()) > 1e-9 else direction[-1]
            direction *= np.sign(side) / np.abs(direction).sum()
            fused = statistics @ direction
        scores[:, c] = (fused + single[:, c]) / 2
    return scores


@pytest.mark.parametrize("fuse", ["mean", "component"])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_scores_equal_brute_force(fuse: str, count: int) -> None:
    images, space, labels = random_images(30), RandomSpace(), LABELS[:count]
    answer = load_strategy(f"compound,fewest=30,fuse={fuse}").predict(images, labels, space)
    np.testing.assert_allclose(answer.scores, brute_force(fuse, images, labels, space), rtol=1e-4, atol=2e-4)


def test_decisions_are_those_of_the_single_labels() -> None:
    images, space = random_images(40), RandomSpace()
    single = Normalised(PerLabel(), threshold=0.7).predict(images, LABELS, space)
    for spec in ("compound,threshold=0.7", "compound,threshold=0.7,fuse=component,fewest=40"):
        answer = load_strategy(spec).predict(images, LABELS, space)
        assert np.array_equal(answer.decisions, single.decisions)
        assert answer.decisions.any()


def test_one_label_has_no_pairs_and_scores_as_normalised_per_label() -> None:
    images, space = random_images(20), RandomSpace()
    answer = Compound().predict(images, ["cat"], space)
    np.testing.assert_allclose(answer.scores, Normalised(PerLabel()).predict(images, ["cat"], space).scores, rtol=1e-6)


def test_the_first_component_has_weights_of_sum_one_and_a_positive_mean() -> None:
    random = np.random.default_rng(0)
    common = random.normal(size=(200, 1))
    statistics = common + 0.01 * random.normal(size=(200, 4))
    np.testing.assert_allclose(first_component(statistics), common[:, 0], atol=0.05)
    np.testing.assert_allclose(first_component(-statistics), -common[:, 0], atol=0.05)
    assert np.array_equal(first_component(np.zeros((3, 4))), np.zeros(3))


# -- what it is and refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "degree"),
    [("compound", "label-free"), ("compound,fuse=component", "transductive")],
    ids=["mean", "component"],
)
def test_it_declares_what_it_sees(spec: str, degree: str) -> None:
    strategy = load_strategy(spec)
    assert spec_of(strategy) == spec
    assert supervision(strategy) == degree
    assert needs_all_images(strategy) == (degree == "transductive")


def test_more_pairs_than_the_limit_are_refused_without_a_model() -> None:
    refuse_labels(Compound(), [f"thing {n}" for n in range(200)])
    with pytest.raises(UsageError, match=r"201 labels have 20,100 pairs, more than 20,000; use fewer labels, or"):
        refuse_labels(Compound(), [f"thing {n}" for n in range(201)])


def test_the_component_refuses_few_images() -> None:
    strategy = Compound(fuse="component")
    refuse_images(strategy, 250)
    refuse_images(Compound(), 1)
    with pytest.raises(UsageError, match="expected at least 250 images for fuse=component"):
        refuse_images(strategy, 249)
    with pytest.raises(UsageError, match="found 3; use fuse=mean"):
        strategy.predict(random_images(3), LABELS, RandomSpace())
    with pytest.raises(UsageError, match="expected fewest of at least 2"):
        Compound(fewest=1)


def test_prompts_without_sets_are_refused() -> None:
    with pytest.raises(PromptError, match=r"no \[set\], which list-all, top-all and compound need"):
        refuse_labels(Compound(prompts=load_prompts("ensemble")), LABELS)


@pytest.mark.parametrize("wrapper", ["softmax", "regions", "normalised", "matched"])
def test_its_scores_are_standardised_so_other_wrappers_are_refused(wrapper: str) -> None:
    with pytest.raises(UsageError, match=f"expected wrappers in the order .*; found {wrapper}: around compound"):
        load_strategy(f"{wrapper}:compound")


def test_self_training_takes_it() -> None:
    strategy = load_strategy("self-training:compound,self-training.fewest=30")
    assert np.isfinite(strategy.predict(random_images(30), LABELS, RandomSpace()).scores).all()


def test_pairs_too_long_for_the_context_are_excluded_and_counted() -> None:
    labels = ("cat", "dog", "x" * 20)
    space = RandomSpace(fits_up_to=34)  # "a photo of a cat and a dog" has 26 characters, the pairs with x 44
    answer = Compound().predict(random_images(5), labels, space)
    assert answer.overflowed == 2 * 5
    single = Normalised(PerLabel()).predict(random_images(5), labels, space)
    np.testing.assert_allclose(answer.scores[:, 2], single.scores[:, 2], rtol=1e-6)
    assert not np.allclose(answer.scores[:, 0], single.scores[:, 0])
    with pytest.raises(LabelError, match="shorten"):
        Compound().predict(random_images(5), ("cat", "x" * 40), space)


# -- a planted world ---------------------------------------------------------------------------------------------


class PairsKnowMore:
    """The text of a single label has an error of its own; that of a pair has both directions, and less error."""

    logit_scale, fingerprint, progress = 20.0, "pairs know more", staticmethod(quiet)

    def __init__(self, labels: Sequence[str], width: int) -> None:
        self.labels, self.width = labels, width

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        return unit_rows(np.stack([self._vector(text) for text in texts]))

    def fits(self, texts: Sequence[str]) -> Bools:
        return np.ones(len(texts), dtype=np.bool_)

    def _vector(self, text: str) -> np.ndarray:
        named = [c for c, label in enumerate(self.labels) if label in text.split()]
        error = np.random.default_rng([len(text), *text.encode()]).normal(size=self.width) / np.sqrt(self.width)
        return np.eye(self.width)[named].sum(axis=0) + (1.5 if len(named) < 2 else 0.5) * error


def planted() -> tuple[Images, np.ndarray, PairsKnowMore]:
    random = np.random.default_rng(3)
    present = random.random((400, len(LABELS))) < 0.25
    vectors = present @ np.eye(64)[: len(LABELS)] + 0.2 * random.normal(size=(400, 64))
    return Images(unit_rows(vectors).astype(np.float32)), present.astype(np.int8), PairsKnowMore(LABELS, 64)


def mean_ap(answer: Prediction, targets: np.ndarray) -> float:
    return float(metrics.average_precision(answer.scores, targets).mean())


@pytest.mark.parametrize("fuse", ["mean", "component"])
def test_it_gains_where_pairs_know_more(fuse: str) -> None:
    images, targets, space = planted()
    single = mean_ap(Normalised(PerLabel()).predict(images, LABELS, space), targets)
    both = mean_ap(load_strategy(f"compound,fuse={fuse}").predict(images, LABELS, space), targets)
    assert single < 0.9
    assert both > single + 0.05
