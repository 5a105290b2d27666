"""Recipes: everything a prediction was made with, and the sentences a reader of its numbers should know."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zsprompt import __version__
from zsprompt.grammar import counted
from zsprompt.prompts import PromptSet
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Strategy, supervision

_WORDS_NAMED = 20
_VERSIONED = ("torch", "torchvision", "transformers", "clip-anytorch", "numpy", "pillow")


def describe(strategy: Strategy, store: EmbeddingStore) -> dict[str, Any]:
    """What a prediction was made with, as every result holds it: strategy, prompts, model, supervision, versions."""
    return {
        "strategy": repr(strategy),
        "prompts": [f"{prompts.name} {prompts.digest}" for prompts in prompt_sets(strategy)],
        "model": store.encoder.name,
        "fingerprint": store.encoder.fingerprint,
        "supervision": supervision(strategy),
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
    if isinstance(strategy, PromptSet):
        yield strategy
    elif dataclasses.is_dataclass(strategy):
        for part in dataclasses.fields(strategy):
            yield from prompt_sets(getattr(strategy, part.name))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra, or clip from its repository instead of PyPI
            found[package] = "not installed under this name"
    return found
