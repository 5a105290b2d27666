"""What a kind declares that it uses of a training run is what changes its scores."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from adapter_world import directions, every_kind, sizes_of, world

from zsprompt._utils.arrays import Floats
from zsprompt.adapters import Kind, Schedule, fit
from zsprompt.adapters.kinds.fc import FcSpec
from zsprompt.adapters.kinds.forest import ForestSpec
from zsprompt.adapters.kinds.knn import KnnSpec
from zsprompt.adapters.kinds.ml_decoder import MlDecoderSpec
from zsprompt.adapters.unused import refuse_unused
from zsprompt.errors import UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

OTHER: dict[str, Any] = {
    **{"epochs": 2, "batch_size": 8, "lr": 0.02, "weight_decay": 0.4, "optimizer": "adamw", "loss": "mse"},
    **{"warm_up": 0.9, "decay": "linear", "selective": 0.0, "seed": 9},
}
"""Another value of each field of Schedule that needs neither validation images nor a contrastive loss."""

ELSEWHERE = {"patience", "clip_weight"}


def scores(kind: Kind, texts: Floats, **changes: Any) -> np.ndarray:
    """[N, C] of a small training run."""
    examples = world(40)
    plain = Schedule(epochs=3, batch_size=2, weight_decay=0.2, loss="bce")
    schedule = replace(plain, **changes)
    sizes = sizes_of(examples)
    weights = fit(kind, sizes, examples, texts, schedule).weights
    return kind.answering(weights, sizes)(examples.images, texts, "cpu")


@every_kind
def test_a_kind_reads_texts_if_it_says_so(kind: Kind) -> None:
    same = np.array_equal(scores(kind, directions()), scores(kind, directions()[::-1].copy()))
    assert same != kind.reads_texts


@every_kind
def test_a_kind_uses_the_settings_that_it_names(kind: Kind) -> None:
    before = scores(kind, directions())
    for name, value in OTHER.items():
        if name == "selective" and kind.bound:
            continue
        same = np.array_equal(before, scores(kind, directions(), **{name: value}))
        assert same != (name in kind.settings), name


def test_every_field_of_a_schedule_is_tried() -> None:
    assert {part.name for part in fields(Schedule)} == {*OTHER, *ELSEWHERE}


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (KnnSpec(), "lr", "knn is fitted in one step"),
        (KnnSpec(), "seed", "knn draws nothing at random"),
        (KnnSpec(), "seeds", "knn draws nothing at random"),
        (ForestSpec(), "epochs", "forest is fitted in one step"),
        (ForestSpec(), "prompts", "forest reads no texts of labels"),
        (FcSpec(), "selective", "fc has weights per label"),
        (FcSpec(), "clip_weight", "loss mse has no contrastive part"),
        (FcSpec(), "patience", "there are none"),
        (FcSpec(), "image captions", "fc reads no image captions"),
    ],
)
def test_what_a_kind_does_not_use_is_refused(kind: Kind, given: str, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"does not use {given}: .*{reason}"):
        refuse_unused(kind, kind.schedule, [given], draws=False, validates=False)


def test_what_a_kind_uses_is_accepted() -> None:
    refuse_unused(KnnSpec(), KnnSpec().schedule, ["seed", "seeds"], draws=True, validates=False)
    refuse_unused(ForestSpec(), ForestSpec().schedule, ["seed"], draws=False, validates=False)
    contrastive = replace(MlDecoderSpec().schedule, loss="asl+clip")
    refuse_unused(MlDecoderSpec(), contrastive, ["clip_weight", "selective", "patience"], draws=False, validates=True)
