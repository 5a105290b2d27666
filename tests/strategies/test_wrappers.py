"""Wrappers: capabilities are found at any depth of wrapping, and specifications nest wrappers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from fakes import LABELS

from zsprompt._utils.registry import Table
from zsprompt.errors import LabelError, UnknownName, UsageError
from zsprompt.llm import Bank, Captions
from zsprompt.prompts.labels import TextSpace
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import (
    Llm,
    Normalised,
    PerLabel,
    Prediction,
    Strategy,
    Thresholded,
    Thresholds,
    TopAll,
    Wrapper,
    lacks_captions,
    load_strategy,
    on_device,
    own_labels,
    reads,
    rebuild,
    refuse,
    supervision,
    walk,
    with_captions,
)

CAPTIONS = Captions(Bank.of("mine", ()))


@dataclass(frozen=True)
class Capable:
    """A strategy that has every capability."""

    device: str = "auto"
    captions: Captions | None = None
    threshold: float = 1.0
    scale: float = 1.0
    supervision: ClassVar[str] = "trained"
    reads: ClassVar[frozenset[str]] = frozenset({"tokens"})
    own_labels: ClassVar[tuple[str, ...]] = LABELS

    def refuse(self, labels: Sequence[str], texts: TextSpace | None) -> None:
        raise LabelError("not these")

    def on_device(self, device: str) -> Capable:
        return replace(self, device=device)

    @property
    def lacks_captions(self) -> bool:
        return self.captions is None

    def with_captions(self, captions: Captions) -> Capable:
        return replace(self, captions=captions)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        scores = np.full((len(images.vectors), len(labels)), self.scale, dtype=np.float32)
        return Prediction(scores, scores > self.threshold)


@dataclass(frozen=True)
class Doubled:
    """A wrapper of a user that can be walked and rebuilt."""

    strategy: Strategy
    times: int = 2
    threshold: float = 5.0

    @property
    def inner(self) -> Strategy:
        return self.strategy

    def with_inner(self, strategy: Strategy) -> Doubled:
        return replace(self, strategy=strategy)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        answer = self.strategy.predict(images, labels, texts)
        return replace(answer, scores=self.times * answer.scores)


@dataclass(frozen=True)
class Silent:
    """A wrapper that only has a field `strategy`."""

    strategy: Strategy

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        return self.strategy.predict(images, labels, texts)


class Bare:
    """A strategy that declares nothing."""

    strategy = "a word, and no strategy"

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        return PerLabel().predict(images, labels, texts)


def thresholded(strategy: Strategy, *, tuned: bool = True) -> Thresholded:
    values = tuple(0.0 for _ in LABELS)
    return Thresholded(strategy, Thresholds(LABELS, values, "by hand", tuned, made_for={}, made_on={}))


AROUND: dict[str, Callable[[Strategy], Strategy]] = {
    "thresholded": thresholded,
    "somebody's": Doubled,
    "normalised": Normalised,  # the others take only some strategies: tests/strategies/test_order.py
}
AROUND |= {
    f"{outer}:{inner}": lambda strategy, outer=outer, inner=inner: AROUND[outer](AROUND[inner](strategy))
    for outer in tuple(AROUND)
    for inner in tuple(AROUND)
    if not outer == inner == "normalised"
}


def _refuses(strategy: Strategy) -> bool:
    try:
        refuse(strategy, LABELS, None)  # type: ignore[arg-type]
    except LabelError:
        return True
    return False


def innermost(strategy: Strategy) -> Any:
    return list(walk(strategy))[-1]


CAPABILITIES: dict[str, Callable[[Strategy], bool]] = {
    "reads": lambda s: reads(s) == {"tokens"},
    "refuse": _refuses,
    "own_labels": lambda s: own_labels(s) == LABELS,
    "on_device": lambda s: innermost(on_device(s, "cpu")) == Capable(device="cpu"),
    "lacks_captions": lacks_captions,
    "with_captions": lambda s: innermost(with_captions(s, CAPTIONS)) == Capable(captions=CAPTIONS),
}


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("wrapper", AROUND)
def test_every_capability_is_found_through_every_wrapper(wrapper: str, capability: str) -> None:
    strategy = AROUND[wrapper](Capable())
    assert isinstance(strategy, Wrapper)
    assert CAPABILITIES[capability](strategy)
    assert not CAPABILITIES["lacks_captions"](with_captions(strategy, CAPTIONS))


@pytest.mark.parametrize("wrapper", AROUND)
def test_a_wrapper_is_rebuilt_with_all_its_own_fields(wrapper: str) -> None:
    strategy = AROUND[wrapper](Capable())
    moved = on_device(strategy, "cuda")
    assert [type(part) for part in walk(moved)] == [type(part) for part in walk(strategy)]
    assert on_device(moved, "auto") == strategy
    assert rebuild(strategy, lambda part: part) is strategy


def test_thresholds_around_llm_get_captions() -> None:
    strategy = thresholded(Llm())
    assert lacks_captions(strategy)
    result = with_captions(strategy, CAPTIONS)
    assert result == thresholded(Llm(captions=CAPTIONS))
    assert not lacks_captions(result)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (PerLabel(), "label-free"),
        (Normalised(PerLabel()), "label-free"),
        (Normalised(Capable()), "trained"),
        (thresholded(PerLabel()), "tuned"),
        (Normalised(thresholded(PerLabel())), "tuned"),
        (thresholded(Capable()), "trained"),
        (thresholded(PerLabel(), tuned=False), "transductive"),
        (Bare(), "not declared"),
        (Normalised(Bare()), "not declared"),
        (Doubled(PerLabel()), "not declared"),
        (Silent(PerLabel()), "not declared"),
    ],
    ids=range(11),
)
def test_the_highest_supervision_of_all_parts_is_declared(strategy: Strategy, message: str) -> None:
    assert supervision(strategy) == message


def test_strategies_without_these_members_are_unchanged() -> None:
    for strategy in (Bare(), Doubled(Bare()), Normalised(Bare())):
        assert reads(strategy) == frozenset()
        assert own_labels(strategy) is None
        assert not lacks_captions(strategy)
        assert on_device(strategy, "cpu") is strategy
        assert refuse(strategy, LABELS, None) is None  # type: ignore[arg-type,func-returns-value]


def test_a_wrapper_with_only_a_field_strategy_is_walked_and_not_rebuilt() -> None:
    assert reads(Silent(Capable())) == {"tokens"}
    assert _refuses(Silent(Capable()))
    assert on_device(Silent(Capable()), "cpu") == Silent(Capable())


def test_captions_that_no_part_takes_are_refused_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="found Normalised around TopAll, which takes none"):
        with_captions(Normalised(TopAll()), CAPTIONS)


# specifications


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"normalised": "zsprompt.strategies.normalised:Normalised", "doubled": f"{__name__}:Doubled"}
    monkeypatch.setattr("zsprompt.strategies.registry.WRAPPERS", Table(here))


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("doubled:normalised:top-all", Doubled(Normalised(TopAll()))),
        ("normalised:doubled:top-all", Normalised(Doubled(TopAll()))),
        # to the outermost part that has the field
        ("doubled:normalised:per-label,threshold=3", Doubled(Normalised(PerLabel()), threshold=3)),
        ("normalised:doubled:per-label,times=3", Normalised(Doubled(PerLabel(), times=3))),
        ("normalised:doubled:top-all,scale=3", Normalised(Doubled(TopAll(scale=3)))),
        # to the named part
        ("doubled:normalised:per-label,normalised.threshold=3", Doubled(Normalised(PerLabel(), threshold=3))),
        ("doubled:normalised:per-label,per-label.threshold=3", Doubled(Normalised(PerLabel(threshold=3)))),
        (
            "doubled:normalised:per-label,threshold=4,normalised.threshold=3,per-label.threshold=1",
            Doubled(Normalised(PerLabel(threshold=1), threshold=3), threshold=4),
        ),
        (
            "normalised:zsprompt.strategies:PerLabel,zsprompt.strategies:PerLabel.threshold=1",
            Normalised(PerLabel(threshold=1)),
        ),
    ],
)
def test_wrappers_nest_and_fields_find_their_part(text: str, expected: Strategy) -> None:
    assert load_strategy(text) == expected


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("doubled:normalised:doubled:top-all", "expected doubled: once"),
        ("normalised:per-label,doubled.times=3", "unknown part before .times 'doubled'. Known: normalised, per-label"),
        ("normalised:per-label,threshold=1,normalised.threshold=2", "found threshold of normalised twice"),
        ("normalised:per-label,normalised.scale=1", "unknown field of Normalised 'scale'"),
        ("normalised:per-label,normalised.strategy=x", "unknown field of Normalised 'strategy'"),
        ("doubled", "Did you mean 'doubled:NAME'"),
        ("doubled:normalised:", "unknown strategy ''"),
    ],
)
def test_invalid_nestings_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises((UsageError, UnknownName), match=message):
        load_strategy(text)
