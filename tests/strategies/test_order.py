"""The order of wrappers: which may stand around which, in a specification and in Python."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
import pytest
from fakes import LABELS

from zsprompt._utils.arrays import Floats
from zsprompt.errors import UsageError
from zsprompt.prompts.labels import TextSpace
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import (
    STRATEGIES,
    WRAPPERS,
    Normalised,
    PerLabel,
    Prediction,
    Strategy,
    Thresholded,
    Thresholds,
    TopAll,
    YesOrNo,
    load_strategy,
)
from zsprompt.strategies.order import ORDER, Staged
from zsprompt.strategies.regions import Regions
from zsprompt.strategies.softmax import Softmax
from zsprompt.testing import RandomSpace, check_strategy, random_images

COSINES = {"per-label"}
"""Strategies whose score is a cosine."""

STANDARDISED = {"compound": 2}
"""Strategies with the stage of a wrapper: they compare the words of an image themselves."""

STAGES = STANDARDISED | {name: kind.stage for name, kind in WRAPPERS.items()}
OF_COSINES = {"softmax", "matched", "regions"}


def allowed(wrappers: tuple[str, ...], name: str) -> bool:
    """The rule, written anew: stages fall from the outside in, and cosines come from per-label, or regions: of it."""
    stages = [STAGES[part] for part in (*wrappers, name) if part in STAGES]
    falling = all(outer > inner for outer, inner in pairwise(stages))
    return falling and (name in COSINES or not OF_COSINES & set(wrappers))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_nesting_of_wrappers_is_made_or_refused_in_one_line(depth: int) -> None:
    made = 0
    for *wrappers, name in product(*[WRAPPERS] * depth, STRATEGIES):
        text = ":".join([*wrappers, name])
        if allowed(tuple(wrappers), name):
            assert load_strategy(text).predict is not None
            made += 1
            continue
        with pytest.raises(UsageError) as caught:
            load_strategy(text)
        message = str(caught.value)
        assert "\n" not in message
        assert f"expected wrappers in the order {ORDER}; found " in message or "found it twice" in message
    assert made or depth == 3


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("softmax:top-all", "softmax: around top-all, whose score is not a cosine"),
        ("regions:yes-or-no", "regions: around yes-or-no, whose score is not a cosine"),
        ("matched:list-all,max_labels=2", "matched: around list-all, whose score is not a cosine"),
        ("regions:normalised:per-label", "regions: around normalised:"),
        ("regions:softmax:per-label", "regions: around softmax:"),
        ("normalised:softmax:per-label", "normalised: around softmax:"),
        ("softmax:normalised:regions:per-label", "softmax: around normalised:"),
        ("normalised:matched:regions:per-label", "normalised: around matched:"),
        ("normalised:compound", "normalised: around compound"),
    ],
)
def test_the_fault_is_named(text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=f"order {ORDER}; found {fault}; "):
        load_strategy(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Softmax(TopAll()),
        lambda: Softmax(Normalised(PerLabel())),
        lambda: Softmax(Softmax(PerLabel())),
        lambda: Normalised(Softmax(Regions(PerLabel()))),
        lambda: Normalised(Normalised(YesOrNo())),
        lambda: Regions(Regions(PerLabel())),
        lambda: Regions(Softmax(PerLabel())),
        lambda: Normalised(thresholded(Softmax(PerLabel()))),  # at any depth
        lambda: Softmax(PerLabel()).with_inner(Normalised(PerLabel())),
        lambda: replace(Regions(PerLabel()), strategy=TopAll()),
    ],
    ids=range(10),
)
def test_python_refuses_what_a_specification_cannot_say(make: object) -> None:
    with pytest.raises(UsageError, match=f"expected wrappers in the order {ORDER}; found "):
        make()  # type: ignore[operator]


def thresholded(strategy: Strategy) -> Thresholded:
    return Thresholded(strategy, Thresholds(LABELS, (0.0,) * len(LABELS), "", False, {}, {}))


def test_thresholds_stand_outside_of_every_order() -> None:
    for text in ("regions:per-label", "softmax:regions:per-label", "normalised:regions:per-label"):
        assert not isinstance(thresholded(load_strategy(text)), Staged)


@pytest.mark.parametrize("reserved", WRAPPERS)
def test_the_names_of_wrappers_are_reserved(reserved: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{reserved}:NAME'"):
        load_strategy(reserved)
    with pytest.raises(UsageError, match="unknown strategy ''"):
        load_strategy(f"{reserved}:")


@dataclass(frozen=True)
class Mine:
    """A strategy of a user whose score is a cosine: that of the bare label."""

    def predict(self, images: Images, labels: tuple[str, ...], texts: TextSpace) -> Prediction:
        scores = self.cosines(images, labels, texts)
        return Prediction(scores, scores > 0.25)

    def cosines(self, images: Images, labels: tuple[str, ...], texts: TextSpace) -> Floats:
        return np.asarray(images.vectors @ texts.texts(labels).T, dtype=np.float32)


@pytest.mark.parametrize("text", ["softmax:{}", "regions:{}", "softmax:regions:{}", "normalised:regions:{}"])
def test_a_strategy_of_a_user_with_cosines_can_stand_inside(text: str) -> None:
    strategy = load_strategy(text.format(f"{__name__}:Mine"))
    check_strategy(strategy, tolerance=1e-5)
    assert strategy.predict(random_images(3), LABELS, RandomSpace()).scores.shape == (3, len(LABELS))
