"""check_strategy: sound strategies pass, and one fault per clause is caught by that clause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import zsprompt
from zsprompt.errors import ContractError, LabelError, UsageError, ZspromptError
from zsprompt.store import Images
from zsprompt.strategies import Normalised, PerLabel, Prediction, TopAll
from zsprompt.testing import LABELS, RandomSpace, check_strategy, random_images

Predict = Callable[["Cosine", Images, Sequence[str], Any], Prediction]


@dataclass(frozen=True)
class Cosine:
    """The smallest sound strategy: the cosine of each label's name, present above 0."""

    supervision: str = "label-free"

    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        if not texts.fits(labels).all():
            raise LabelError("expected shorter labels")
        scores = images.vectors @ texts.texts(labels).T
        return Prediction(scores, scores > 0)


def changed(change: Callable[[Prediction], Prediction]) -> type:
    """A strategy whose answer is changed at the end."""

    class Changed(Cosine):
        def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
            return change(super().predict(images, labels, texts))

    return Changed


class NotFrozen:
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        return Cosine().predict(images, labels, texts)


@dataclass
class NotHashable:
    """Not frozen, so without a hash."""

    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        return Cosine().predict(images, labels, texts)


class Random(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        return replace(answer, scores=answer.scores + np.random.default_rng().random(answer.scores.shape, np.float32))


class Writing(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        images.vectors[:] = images.vectors.round(3)
        return answer


class NoRowsFails(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        return answer if len(images.vectors) else Prediction(answer.scores.ravel(), answer.decisions.ravel())


class ByPosition(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        return replace(answer, scores=answer.scores + np.arange(len(labels), dtype=np.float32))


class ByPositionDecides(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        return replace(answer, decisions=np.broadcast_to(np.arange(len(labels)) == 0, answer.decisions.shape))


class OverImages(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        mean = answer.scores.mean(axis=0) if len(images.vectors) else 0
        return replace(answer, scores=(answer.scores - mean).astype(np.float32))


class FewFail(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        if len(labels) < 3:
            raise ZeroDivisionError("one label has no deviation")
        return super().predict(images, labels, texts)


class FewGiveNan(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        answer = super().predict(images, labels, texts)
        return answer if len(labels) > 1 else replace(answer, scores=answer.scores * np.nan)


class LongTexts(Cosine):
    def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
        texts.texts(["a photo of " + label for label in labels])
        return super().predict(images, labels, texts)


FAULTS: dict[str, tuple[type, str]] = {
    "no dataclass": (NotFrozen, "frozen dataclass"),
    "no hash": (NotHashable, "frozen dataclass"),
    "float64": (changed(lambda answer: replace(answer, scores=answer.scores.astype(float))), "scores"),
    "transposed": (changed(lambda answer: replace(answer, scores=answer.scores.T)), "scores"),
    "a list": (changed(lambda answer: replace(answer, scores=answer.scores.tolist())), "scores"),
    "NaN": (changed(lambda answer: replace(answer, scores=answer.scores * np.nan)), "finite"),
    "infinite": (changed(lambda answer: replace(answer, scores=answer.scores - np.inf)), "finite"),
    "0/1 decisions": (changed(lambda answer: replace(answer, decisions=answer.decisions.astype(int))), "decisions"),
    "a tuple": (changed(lambda answer: (answer.scores, answer.decisions)), "prediction"),
    "overflow": (changed(lambda answer: replace(answer, overflowed=-1)), "overflowed"),
    "probabilities": (changed(lambda answer: replace(answer, probabilities=answer.scores)), "probabilities"),
    "random": (Random, "deterministic"),
    "writes": (Writing, "read only"),
    "no images": (NoRowsFails, "no images"),
    "scores by position": (ByPosition, "label order"),
    "decisions by position": (ByPositionDecides, "label order"),
    "over images": (OverImages, "row independence"),
    "few labels fail": (FewFail, "few labels"),
    "few labels give NaN": (FewGiveNan, "finite"),
    "long texts": (LongTexts, "fits"),
}


@pytest.mark.parametrize("strategy", [Cosine(), PerLabel(), TopAll(), Normalised(PerLabel())], ids=repr)
def test_sound_strategies_pass(strategy: zsprompt.Strategy) -> None:
    assert check_strategy(strategy) is None


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_by_its_clause(name: str) -> None:
    kind, clause = FAULTS[name]
    with pytest.raises(ContractError, match=r"expected .*, found ") as caught:
        check_strategy(kind())
    assert caught.value.clause == clause
    assert "\n" not in str(caught.value)


def test_an_unknown_supervision_is_caught() -> None:
    with pytest.raises(ContractError) as caught:
        check_strategy(Cosine(supervision="none"))
    assert caught.value.clause == "supervision"


def test_a_transductive_strategy_may_look_at_other_images() -> None:
    check_strategy(OverImages(supervision="transductive"))


def test_a_strategy_may_refuse_few_labels_and_short_contexts() -> None:
    class Refusing(Cosine):
        def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
            if len(labels) < 4:
                raise UsageError("expected at least 4 labels")
            return super().predict(images, labels, texts)

    check_strategy(Refusing())
    check_strategy(Refusing(), labels=("an extraordinarily long label", "a", "b", "c"))


def test_labels_texts_and_images_may_be_given() -> None:
    seen: list[tuple[int, tuple[str, ...]]] = []

    class Recording(Cosine):
        def predict(self, images: Images, labels: Sequence[str], texts: Any) -> Prediction:
            seen.append((images.vectors.shape[1], tuple(labels)))
            return super().predict(images, labels, texts)

    check_strategy(Recording(), labels=("x", "y"), texts=RandomSpace(dim=5), images=random_images(4, dim=5))
    assert {width for width, _ in seen} == {5}
    assert {label for _, labels in seen for label in labels} == {"x", "y"}


def test_the_error_is_an_assertion_and_one_of_the_package() -> None:
    assert issubclass(ContractError, AssertionError)
    assert issubclass(ContractError, ZspromptError)


def test_the_labels_contain_each_other() -> None:
    assert len(LABELS) == 8
    assert [(a, b) for a in LABELS for b in LABELS if a != b and a in b] == [("cycle", "motorcycle"), ("car", "carrot")]


def test_a_class_in_place_of_a_strategy_is_named() -> None:
    with pytest.raises(ContractError, match="found the class"):
        check_strategy(TopAll)  # type: ignore[arg-type]
