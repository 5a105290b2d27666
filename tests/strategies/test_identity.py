"""The identity of strategies: specifications that can be read back, and digests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ROOT, environment

from zsprompt._utils.digests import digest
from zsprompt.adapters import Sizes, Trained, load_kind, save_adapter
from zsprompt.llm import Bank, Caption, Captions
from zsprompt.prompts import load_prompts
from zsprompt.strategies import (
    Adapter,
    ListAll,
    Llm,
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
from zsprompt.strategies.registry import digest_of, spec_of


@dataclass(frozen=True)
class Mine:
    """A strategy of a user."""

    k: float = 1
    weights: Any = None
    note: str = field(default="", repr=False)

    def predict(self, images: Any, labels: Any, texts: Any) -> Prediction:
        raise NotImplementedError


SPECS = {
    "per-label": PerLabel(),
    "per-label,threshold=1.5": PerLabel(threshold=1.5),
    "per-label,reweight=14.0": PerLabel(reweight=14.0),
    "yes-or-no,scale=20.0": YesOrNo(scale=20.0),
    "list-all,max_labels=3": ListAll(max_labels=3),
    "llm,base=list-all,compose=no": Llm(base="list-all", compose="no"),
    "normalised:per-label": Normalised(PerLabel()),
    "normalised:top-all,threshold=0.1,order=alphabetical": Normalised(TopAll(order="alphabetical"), threshold=0.1),
    "normalised:per-label,per-label.threshold=3": Normalised(PerLabel(threshold=3)),
    "normalised:per-label,threshold=1,per-label.threshold=3": Normalised(PerLabel(threshold=3), threshold=1),
}


@pytest.mark.parametrize(("text", "strategy"), SPECS.items())
def test_a_specification_is_read_back(text: str, strategy: Strategy) -> None:
    assert spec_of(strategy) == text
    result = load_strategy(text)
    assert result == strategy
    assert digest_of(result) == digest_of(strategy)


def cuts(value: float = 0.5) -> Thresholds:
    return Thresholds(("cat",), (value,), "by hand", True, made_for={}, made_on={})


def test_prompts_captions_and_thresholds_are_not_in_the_specification() -> None:
    assert spec_of(Thresholded(Normalised(TopAll()), cuts())) == "normalised:top-all"
    assert spec_of(TopAll(prompts=load_prompts("seed-code"))) == "top-all"
    assert spec_of(Llm(captions=Captions(Bank.of("mine", ())))) == "llm"
    assert spec_of(Normalised(Mine(k=3))) == f"normalised:{__name__}:Mine"


def adapter(**changes: Any) -> Adapter:
    weights = {"vectors": np.eye(3, dtype=np.float32), "targets": np.eye(3, dtype=np.int8)}
    facts: dict[str, Any] = {"kind": load_kind("knn,k=2"), "sizes": Sizes(3, 3, 3), "labels": ("a", "b", "c")}
    facts |= {"prompts": load_prompts("photo"), "model": "tiny", "fingerprint": "tiny/1", "weights": weights}
    return Adapter(Trained(**(facts | changes)))


def test_an_adapter_is_named_by_its_file(tmp_path: Path) -> None:
    assert spec_of(adapter()) == "zsprompt.strategies.adapter:Adapter"
    path = tmp_path / "a,b.safetensors"
    save_adapter(adapter().trained, path)
    kept = load_strategy(f"normalised:adapter:{path},adapter.threshold=0.25,adapter.device=cpu")
    assert spec_of(kept) == f"normalised:adapter:{path},adapter.threshold=0.25"
    assert digest_of(load_strategy(spec_of(kept))) == digest_of(kept)
    assert digest_of(kept) == digest_of(Normalised(replace(adapter(), threshold=0.25)))  # at any path


DIFFERENT = [
    *SPECS.values(),
    PerLabel(prompts=load_prompts("bare")),
    Thresholded(PerLabel(), cuts()),
    Thresholded(PerLabel(), cuts(0.6)),
    Llm(captions=Captions(Bank.of("mine", ()))),
    Llm(captions=Captions(Bank.of("mine", [Caption(("cat",), "a cat")]))),
    adapter(),
    adapter(fingerprint="tiny/2"),
    adapter(kind=load_kind("knn,k=1")),
    adapter(weights={"vectors": 2 * np.eye(3, dtype=np.float32), "targets": np.eye(3, dtype=np.int8)}),
    Mine(),
    Mine(k=2),
    Mine(weights=np.zeros(3)),
    Mine(weights=np.ones(3)),
    Mine(weights=lambda: 1),
    Mine(weights=lambda: 2),
    Mine(weights={"a": 1}),
    Mine(weights=["a", 1]),
    Mine(weights={"a", 1}),
    Mine(weights="a"),
    Mine(weights=Path("a")),
    Mine(weights=b"a"),
    Mine(weights=PerLabel),
]


def test_strategies_that_differ_have_different_digests() -> None:
    digests = [digest_of(strategy) for strategy in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in digests)


def test_equal_values_have_equal_digests() -> None:
    assert digest_of(Mine(k=2)) == digest_of(Mine(k=2.0)) == digest_of(Mine(k=2, note="not in the repr"))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({1, 2, 3}) == digest(frozenset([3, 2, 1]))
    assert digest(np.arange(3)) == digest(np.arange(3))
    assert digest(float("nan")) == digest(float("nan")) != digest(float("inf"))
    function = lambda: 1  # noqa: E731 - a lambda has no name to identify it
    assert digest(function) == digest(function)


def test_digests_are_the_same_in_another_process() -> None:
    code = (
        "from zsprompt.strategies import Llm, Normalised\nfrom zsprompt.strategies.registry import digest_of\n"
        "print(digest_of(Normalised(Llm())))"
    )
    env = environment() | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == digest_of(Normalised(Llm()))
