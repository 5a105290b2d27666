"""What a strategy may say of itself or take, each answered by one walk through it and those inside it.

A strategy needs none of these members. One that has them is asked, however deep it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, get_args, runtime_checkable

from zsprompt.errors import UsageError
from zsprompt.llm import Captions
from zsprompt.prompts.labels import TextSpace
from zsprompt.strategies.base import Strategy, Supervision, rebuild, walk


@runtime_checkable
class Declares(Protocol):
    """A strategy that says what it has seen itself; a wrapper need not repeat what the strategy inside says."""

    @property
    def supervision(self) -> Supervision:
        """See Supervision."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A strategy that reads more of an image than its vector."""

    @property
    def reads(self) -> frozenset[str]:
        """Of "tokens" and "captions"."""
        ...


@runtime_checkable
class Refuses(Protocol):
    """A strategy that knows before any image is embedded whether it can answer."""

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """Raise what `predict` would raise for these labels and this encoder."""
        ...


@runtime_checkable
class OwnsLabels(Protocol):
    """A strategy that was trained with labels of its own."""

    @property
    def own_labels(self) -> tuple[str, ...]:
        """C names, in the order of the training."""
        ...


@runtime_checkable
class OwnsModel(Protocol):
    """A strategy that works with the embeddings of one model only."""

    @property
    def own_model(self) -> str:
        """Its name."""
        ...


@runtime_checkable
class Computes(Protocol):
    """A strategy that computes on a device."""

    def on_device(self, device: str) -> Strategy:
        """The same on "cpu" or "cuda"; itself where it was told a device already."""
        ...


@runtime_checkable
class TakesCaptions(Protocol):
    """A strategy that words its candidates by captions."""

    @property
    def lacks_captions(self) -> bool:
        """Whether it has none yet."""
        ...

    def with_captions(self, captions: Captions) -> Strategy:
        """The same with these captions."""
        ...


@runtime_checkable
class Written(Protocol):
    """A strategy that a specification does not write by its name in a table."""

    @property
    def written(self) -> str:
        """What stands for it, as "adapter:FILE"; empty where it is given apart, as thresholds are."""
        ...


def supervision(strategy: Strategy) -> str:
    """The most that a strategy, or one inside it, says it has seen; "not declared" where one of them says nothing."""
    degrees = get_args(Supervision)
    declared = [part.supervision if isinstance(part, Declares) else "not declared" for part in walk(strategy)]
    # a word of somebody's own, and silence, cannot be ranked: they stand for the whole
    return max(declared, key=lambda word: degrees.index(word) if word in degrees else len(degrees))


def reads(strategy: Strategy) -> frozenset[str]:
    """What a strategy, or one inside it, reads of images besides vectors: "tokens", "captions"."""
    return frozenset().union(*(part.reads for part in walk(strategy) if isinstance(part, Reads)))


def refuse(strategy: Strategy, labels: Sequence[str], texts: TextSpace) -> None:
    """Raise what a strategy, or one inside it, would raise for labels and encoder; embedding may take hours."""
    for part in walk(strategy):
        if isinstance(part, Refuses):
            part.refuse(labels, texts)


def own_labels(strategy: Strategy) -> tuple[str, ...] | None:
    """The labels that a strategy, or one inside it, was trained with; None where there are none."""
    return next((part.own_labels for part in walk(strategy) if isinstance(part, OwnsLabels)), None)


def own_model(strategy: Strategy) -> str | None:
    """The model that a strategy, or one inside it, was trained on; None where any will do."""
    return next((part.own_model for part in walk(strategy) if isinstance(part, OwnsModel)), None)


def on_device(strategy: Strategy, device: str) -> Strategy:
    """`strategy`, with every part that computes on a device, and was not told which, on this one."""
    return rebuild(strategy, lambda part: part.on_device(device) if isinstance(part, Computes) else part)


def lacks_captions(strategy: Strategy) -> bool:
    """Whether a strategy, or one inside it, words its candidates by captions and has none yet."""
    return any(part.lacks_captions for part in walk(strategy) if isinstance(part, TakesCaptions))


def with_captions(strategy: Strategy, captions: Captions) -> Strategy:
    """`strategy`, or the one inside it, with these captions.

    Raises:
        UsageError: none of them takes captions.
    """
    worded = rebuild(strategy, lambda part: part.with_captions(captions) if isinstance(part, TakesCaptions) else part)
    if worded is strategy:
        found = " around ".join(type(part).__name__ for part in walk(strategy))
        raise UsageError(f"captions are for strategy llm, found {found}, which takes none; use --strategy llm")
    return worded
