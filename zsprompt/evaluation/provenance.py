"""Provenance: everything that a prediction depends on, and the warnings that follow from it."""

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
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.encoders import Encoder
from zsprompt.encoders.base import another_domain
from zsprompt.evaluation.reference_words import declared
from zsprompt.prompts import PromptSet
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Strategy, Thresholds, supervision
from zsprompt.strategies.registry import digest_of, spec_of

A = TypeVar("A")

_WORDS_NAMED = 20
_VERSIONED = ("torch", "torchvision", "transformers", "clip-anytorch", "numpy", "pillow")


def describe(strategy: Strategy, store: EmbeddingStore, labels: Sequence[str]) -> dict[str, Any]:
    """The provenance of a prediction, as every result holds it: strategy, prompts, model, supervision, versions.

    "spec" is the input of `load_strategy`. "strategy_digest" is equal for equal strategies. "strategy" is text for
    readers. Thresholds are recorded by their digest and rule. "reference_words" are the words that each of `labels` was
    compared with besides the other labels; null if with nothing.
    """
    return {
        **describe_strategy(strategy),
        "model": store.encoder.name,
        "fingerprint": store.encoder.fingerprint,
        "supervision": supervision(strategy),
        **declared(strategy, labels),
        **_thresholds(strategy),
        **_adapters(strategy),
        "versions": {"zsprompt": __version__, "python": platform.python_version(), **_versions(_VERSIONED)},
    }


def describe_strategy(strategy: Strategy) -> dict[str, Any]:
    """The part of `describe` that needs no model: strategy and prompts."""
    return {
        "strategy": repr(strategy),
        "spec": spec_of(strategy),
        "strategy_digest": digest_of(strategy),
        "prompts": [f"{prompts.name} {prompts.digest}" for prompts in prompt_sets(strategy)],
    }


def never_seen(model: str, words: Sequence[str]) -> list[str]:
    """The warning that a model was never trained on these words; empty without words."""
    if not words:
        return []
    named = ", ".join(words[:_WORDS_NAMED]) + (
        f" and {len(words) - _WORDS_NAMED} more" if len(words) > _WORDS_NAMED else ""
    )
    return [f"model {model} was never trained on these words, so its scores for them mean little: {named}"]


def often_missed(model: str, labels: Sequence[str]) -> Iterator[str]:
    """The warning that a model misses these labels on most images that show them; none without labels."""
    if labels:
        yield (
            f"model {model} misses these labels on most images that show them, so their absence means little: "
            f"{', '.join(labels)}"
        )


def made_up(worded: Mapping[str, int]) -> Iterator[str]:
    """A warning for each kind of label-set text that was not written for its label set."""
    every = counted(sum(worded.values()), "label set")
    if composed := worded.get("composed"):
        yield f"{composed:,} of {every} have no caption of their own; captions of their parts were combined"
    if shortened := worded.get("shortened"):
        yield f"{shortened:,} of {every} have a caption that was shortened at a clause to fit the model"
    if template := worded.get("template"):
        yield f"{template:,} of {every} have no usable caption and got the template"


def undescribed(strategy: Strategy, labels: Sequence[str]) -> list[str]:
    """A warning for each prompt set that lacks texts for some of the labels."""
    warnings = []
    for prompts in prompt_sets(strategy):
        if missing := prompts.undescribed(labels):
            named = ", ".join(missing[:_WORDS_NAMED]) + (", …" if len(missing) > _WORDS_NAMED else "")
            warnings.append(
                f"prompt set {prompts.name} describes {len(labels) - len(missing)} of {counted(len(labels), 'label')}; "
                f"the others get its template: {named}"
            )
    return warnings


def prompt_sets(strategy: object) -> Iterator[PromptSet]:
    """The prompt sets of a strategy and of its inner strategies."""
    return _parts(strategy, PromptSet)


def outside_domain(strategy: Strategy, encoder: Encoder, labels: Sequence[str], domain: str) -> Iterator[str]:
    """The warnings that the model or an adapter was trained on other images or labels.

    Args:
        strategy: the strategy of a run.
        encoder: its model.
        labels: C labels of the run.
        domain: what its images are, see Dataset.
    """
    of_model = list(another_domain(encoder, domain))
    yield from of_model
    for trained in _parts(strategy, Trained):
        if not of_model and trained.domain not in (None, domain):
            yield f"the adapter was trained on {trained.domain}, so its scores for {domain} mean little"
        if unseen := [label for label in labels if label not in set(trained.labels)]:
            named = ", ".join(unseen[:_WORDS_NAMED]) + (", …" if len(unseen) > _WORDS_NAMED else "")
            yield f"the adapter was trained without {len(unseen)} of {counted(len(labels), 'label')}: {named}"


def learnt_from(strategy: Strategy, dataset: str, images: Sequence[str]) -> Iterator[str]:
    """The warning that an adapter was trained on some of these images, given by their ids."""
    for trained in _parts(strategy, Trained):
        data = trained.facts.get("data", {})
        if data.get("dataset") != dataset:
            continue
        try:
            seen = count_shared(images, str(data.get("ids", "")))
        except ValueError:
            yield "the adapter's file is damaged: it no longer tells which images the adapter was trained on"
            continue
        of_these = f"the adapter was trained on {seen:,} of these {counted(len(images), 'image')}"
        if seen and isinstance(trained.kind, SelfTrainingSpec):
            yield f"{of_these}, without their targets"
        elif seen:
            yield f"{of_these}, so the numbers show memory, not generalisation; measure it on other images"


def other_captions(strategy: Strategy, columns: Sequence[str]) -> Iterator[str]:
    """The warning that the image captions have another origin than those in training."""
    for trained in _parts(strategy, Trained):
        given = tuple(columns)
        if "captions" in trained.kind.reads and given != trained.captions:
            yield (
                f"the adapter was trained with captions that were {' and '.join(trained.captions)}, these are "
                f"{' and '.join(given)}; the numbers may be lower"
            )


def _parts(value: object, kind: type[A]) -> Iterator[A]:
    """All values of a class in the fields of a dataclass, at any depth."""
    if isinstance(value, kind):
        yield value
    elif dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            yield from _parts(getattr(value, part.name), kind)


def _thresholds(strategy: Strategy) -> dict[str, Any]:
    """The provenance of thresholds; empty for a strategy without them."""
    for thresholds in _parts(strategy, Thresholds):
        return {"thresholds": {"digest": thresholds.digest, "rule": thresholds.rule, "tuned": thresholds.tuned}}
    return {}


def _adapters(strategy: Strategy) -> dict[str, Any]:
    """The provenance of an adapter; empty for a strategy without one."""
    for trained in _parts(strategy, Trained):
        data = {key: value for key, value in trained.facts.get("data", {}).items() if key not in ("ids", "positives")}
        return {"adapter": {"digest": trained.digest, "labels": len(trained.labels), "data": data}}
    return {}


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # an extra, or clip from its repository instead of PyPI
            versions[package] = "not installed under this name"
    return versions
