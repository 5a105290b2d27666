"""Recipes: everything a prediction was made with, and the sentences a reader of its numbers should know."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from zsprompt._utils.id_digests import count_shared
from zsprompt._utils.text import counted
from zsprompt._version import __version__
from zsprompt.adapters import Trained
from zsprompt.prompts import PromptSet
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Strategy, Thresholds, supervision
from zsprompt.strategies.registry import digest_of, spec_of

A = TypeVar("A")

_WORDS_NAMED = 20
_VERSIONED = ("torch", "torchvision", "transformers", "clip-anytorch", "numpy", "pillow")


def describe(strategy: Strategy, store: EmbeddingStore) -> dict[str, Any]:
    """What a prediction was made with, as every result holds it: strategy, prompts, model, supervision, versions.

    "spec" is what `load_strategy` reads, "strategy_digest" tells whether two strategies are the same, and "strategy"
    is for people to read. Of thresholds there are the digest and the rule.
    """
    return {
        "strategy": repr(strategy),
        "spec": spec_of(strategy),
        "strategy_digest": digest_of(strategy),
        "prompts": [f"{prompts.name} {prompts.digest}" for prompts in prompt_sets(strategy)],
        "model": store.encoder.name,
        "fingerprint": store.encoder.fingerprint,
        "supervision": supervision(strategy),
        **_thresholds(strategy),
        **_adapters(strategy),
        "versions": {"zsprompt": __version__, "python": platform.python_version(), **_versions(_VERSIONED)},
    }


def never_seen(model: str, words: Sequence[str]) -> list[str]:
    """The warning that a model was never trained on these words, if there are any."""
    if not words:
        return []
    named = ", ".join(words[:_WORDS_NAMED]) + (
        f" and {len(words) - _WORDS_NAMED} more" if len(words) > _WORDS_NAMED else ""
    )
    return [f"model {model} was never trained on these words, so what it says of them means little: {named}"]


def made_up(worded: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each way in which label sets got a text that nobody wrote for them."""
    every = counted(sum(worded.values()), "label set")
    if composed := worded.get("composed"):
        yield f"{composed:,} of {every} have no caption: theirs is made of their parts' captions"
    if shortened := worded.get("shortened"):
        yield f"{shortened:,} of {every} have a caption that was cut at the end of a clause to fit the model"
    if template := worded.get("template"):
        yield f"for {template:,} of {every} no caption would do, so the template words them"


def undescribed(strategy: Strategy, labels: Sequence[str]) -> list[str]:
    """The warning that a prompt set describes other labels than these, one for each such set."""
    found = []
    for prompts in prompt_sets(strategy):
        if missing := prompts.undescribed(labels):
            named = ", ".join(missing[:_WORDS_NAMED]) + (", …" if len(missing) > _WORDS_NAMED else "")
            found.append(
                f"prompt set {prompts.name} describes {len(labels) - len(missing)} of {counted(len(labels), 'label')}; "
                f"the others get its template: {named}"
            )
    return found


def prompt_sets(strategy: object) -> Iterator[PromptSet]:
    """The prompt sets among a strategy's fields, and its inner strategies'."""
    return _parts(strategy, PromptSet)


def learnt_from(strategy: Strategy, dataset: str, images: Sequence[str]) -> Iterator[str]:
    """The warning that an adapter was trained on some of these pictures, given by their ids."""
    for trained in _parts(strategy, Trained):
        data = trained.facts.get("data", {})
        if data.get("dataset") != dataset:
            continue
        try:
            seen = count_shared(images, str(data.get("ids", "")))
        except ValueError:
            yield "the adapter's file does not say which pictures it was trained on: damage there"
            continue
        if seen:
            yield (
                f"the adapter learnt from {seen:,} of these {counted(len(images), 'picture')}, so the numbers say how "
                "well it remembers; measure it on others"
            )


def other_captions(strategy: Strategy, columns: Sequence[str]) -> Iterator[str]:
    """The warning that an adapter reads captions of another origin than those it was trained with."""
    for trained in _parts(strategy, Trained):
        found = tuple(columns)
        if "captions" in trained.kind.reads and found != trained.captions:
            yield (
                f"the adapter learnt from captions that were {' and '.join(trained.captions)}, these are "
                f"{' and '.join(found)}; numbers may be lower for it"
            )


def _parts(value: object, kind: type[A]) -> Iterator[A]:
    """The values of a class among a dataclass's fields, and theirs."""
    if isinstance(value, kind):
        yield value
    elif dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            yield from _parts(getattr(value, part.name), kind)


def _thresholds(strategy: Strategy) -> dict[str, Any]:
    """Which thresholds decide, for a recipe; nothing where the strategy decides itself."""
    for thresholds in _parts(strategy, Thresholds):
        return {"thresholds": {"digest": thresholds.digest, "rule": thresholds.rule, "tuned": thresholds.tuned}}
    return {}


def _adapters(strategy: Strategy) -> dict[str, Any]:
    """What an adapter was trained on, for a recipe; nothing without one."""
    for trained in _parts(strategy, Trained):
        data = {key: value for key, value in trained.facts.get("data", {}).items() if key not in ("ids", "positives")}
        return {"adapter": {"digest": trained.digest, "labels": len(trained.labels), "data": data}}
    return {}


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra, or clip from its repository instead of PyPI
            found[package] = "not installed under this name"
    return found
