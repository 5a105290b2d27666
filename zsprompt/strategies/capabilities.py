"""Optional members of strategies. One function per member looks for it in a strategy and all that it wraps.

A strategy needs none of these members. They are found at any depth of wrapping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, get_args, runtime_checkable

from zsprompt.errors import UsageError
from zsprompt.llm import Captions
from zsprompt.prompts.labels import TextSpace
from zsprompt.strategies.base import ReferenceWords, Strategy, Supervision, rebuild, walk


@runtime_checkable
class Declares(Protocol):
    """A strategy that declares what it has seen. A wrapper does not repeat what the wrapped strategy declares."""

    @property
    def supervision(self) -> Supervision:
        """See Supervision."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A strategy that reads more than the vector of an image."""

    @property
    def reads(self) -> frozenset[str]:
        """What is read, such as "tokens", "captions" and "windows"; see EmbeddingStore.read."""
        ...


@runtime_checkable
class RefusesLabels(Protocol):
    """A strategy that can refuse labels before a model is loaded."""

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """Raise what `predict` would raise for these labels with every encoder."""
        ...


@runtime_checkable
class RefusesCaptions(Protocol):
    """A strategy that can refuse image captions before a model is loaded."""

    def refuse_captions(self, count: int) -> None:
        """Raise what `predict` would raise for `count` captions per image."""
        ...


@runtime_checkable
class RefusesImages(Protocol):
    """A strategy that can refuse a number of images before any image is embedded."""

    def refuse_images(self, count: int) -> None:
        """Raise what `predict` would raise for `count` images."""
        ...


@runtime_checkable
class NeedsAllImages(Protocol):
    """A strategy that declares whether its scores depend on the other images; then all are predicted at once."""

    @property
    def needs_all_images(self) -> bool: ...


@runtime_checkable
class Refuses(Protocol):
    """A strategy that can refuse its inputs before any image is embedded."""

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """Raise what `predict` would raise for these labels and this encoder."""
        ...


@runtime_checkable
class OwnsLabels(Protocol):
    """A strategy that was trained with a label set."""

    @property
    def own_labels(self) -> tuple[str, ...]:
        """C labels, in the order of training."""
        ...


@runtime_checkable
class OwnsModel(Protocol):
    """A strategy that works only with the embeddings of one model."""

    @property
    def own_model(self) -> str:
        """The name of the model."""
        ...


@runtime_checkable
class Computes(Protocol):
    """A strategy that computes on a device."""

    def on_device(self, device: str) -> Strategy:
        """The same strategy on "cpu" or "cuda"; unchanged if it already has a device."""
        ...


@runtime_checkable
class TakesCaptions(Protocol):
    """A strategy that words its candidates with captions."""

    @property
    def lacks_captions(self) -> bool:
        """Whether it still needs captions."""
        ...

    def with_captions(self, captions: Captions) -> Strategy:
        """The same strategy with these captions."""
        ...


@runtime_checkable
class Compares(Protocol):
    """A strategy that declares which words it compares a label with, besides the other labels.

    A wrapper declares what it does itself with the scores of the wrapped strategy.
    """

    def reference_words(self, labels: Sequence[str]) -> ReferenceWords | None:
        """The words for these labels; None if it compares a label with nothing."""
        ...


@runtime_checkable
class ScoresLogs(Protocol):
    """A strategy that declares whether its scores are logarithms of posteriors; people read posteriors better."""

    @property
    def scores_logs(self) -> bool: ...


@runtime_checkable
class Written(Protocol):
    """A strategy whose specification is not its name in a table."""

    @property
    def written(self) -> str:
        """Its specification, such as "adapter:FILE"; empty if it is not part of one, as for thresholds."""
        ...


def supervision(strategy: Strategy) -> str:
    """The highest degree of supervision that a strategy and those it wraps declare.

    It is "not declared" if one of them declares nothing.
    """
    degrees = get_args(Supervision)
    declared = [part.supervision if isinstance(part, Declares) else "not declared" for part in walk(strategy)]
    # unknown degrees and missing ones cannot be ranked, so they win
    return max(declared, key=lambda degree: degrees.index(degree) if degree in degrees else len(degrees))


def reads(strategy: Strategy) -> frozenset[str]:
    """What a strategy and those it wraps read of images besides vectors: "tokens", "captions"."""
    return frozenset().union(*(part.reads for part in walk(strategy) if isinstance(part, Reads)))


def refuse_labels(strategy: Strategy, labels: Sequence[str]) -> None:
    """Raise now what `predict` would raise for these labels with every encoder. This needs no model."""
    for part in reversed([*walk(strategy)]):  # the innermost fault is the cause of the others
        if isinstance(part, RefusesLabels):
            part.refuse_labels(labels)


def refuse_captions(strategy: Strategy, count: int) -> None:
    """Raise now what `predict` would raise for `count` captions per image. This needs no model."""
    for part in walk(strategy):
        if isinstance(part, RefusesCaptions):
            part.refuse_captions(count)


def refuse_images(strategy: Strategy, count: int) -> None:
    """Raise now what `predict` would raise for `count` images. This needs no model."""
    for part in walk(strategy):
        if isinstance(part, RefusesImages):
            part.refuse_images(count)


def needs_all_images(strategy: Strategy) -> bool:
    """Whether the scores of a strategy depend on the other images."""
    return any(isinstance(part, NeedsAllImages) and part.needs_all_images for part in walk(strategy))


def refuse(strategy: Strategy, labels: Sequence[str], texts: TextSpace) -> None:
    """Raise now what `predict` would raise for these labels and this encoder, because embedding can take hours."""
    refuse_labels(strategy, labels)
    for part in walk(strategy):
        if isinstance(part, Refuses):
            part.refuse(labels, texts)


def reference_words(strategy: Strategy, labels: Sequence[str]) -> ReferenceWords | None:
    """The words that take part in the scores or decisions for these labels, besides the labels.

    The outermost part that declares something decides. The parts that it wraps count if its scores come from theirs.

    Returns:
        None if labels are compared neither with words nor with each other, as with thresholds.
    """
    decided = False
    for part in walk(strategy):
        if isinstance(part, Compares):
            declared = part.reference_words(labels)
            if declared is not None and (declared.in_scores or not decided):
                return declared
            decided = True
    return None


def scores_logs(strategy: Strategy) -> bool:
    """Whether the scores of a strategy are logarithms of posteriors. Thresholds leave scores as they are."""
    scoring = next(part for part in walk(strategy) if not (isinstance(part, Written) and not part.written))
    return isinstance(scoring, ScoresLogs) and scoring.scores_logs


def own_labels(strategy: Strategy) -> tuple[str, ...] | None:
    """The labels that a strategy, or one it wraps, was trained with; None if it was not trained with labels."""
    return next((part.own_labels for part in walk(strategy) if isinstance(part, OwnsLabels)), None)


def own_model(strategy: Strategy) -> str | None:
    """The model that a strategy, or one it wraps, was trained on; None if it works with any model."""
    return next((part.own_model for part in walk(strategy) if isinstance(part, OwnsModel)), None)


def on_device(strategy: Strategy, device: str) -> Strategy:
    """`strategy` with this device for every part that computes on one and has none yet."""
    return rebuild(strategy, lambda part: part.on_device(device) if isinstance(part, Computes) else part)


def computes(strategy: Strategy) -> bool:
    """Whether a strategy, or one it wraps, computes on a device."""
    return any(isinstance(part, Computes) for part in walk(strategy))


def takes_captions(strategy: Strategy) -> bool:
    """Whether a strategy, or one it wraps, words its candidates with captions."""
    return any(isinstance(part, TakesCaptions) for part in walk(strategy))


def lacks_captions(strategy: Strategy) -> bool:
    """Whether a strategy, or one it wraps, still needs captions."""
    return any(part.lacks_captions for part in walk(strategy) if isinstance(part, TakesCaptions))


def with_captions(strategy: Strategy, captions: Captions) -> Strategy:
    """`strategy` with these captions, given to the part that takes them.

    Raises:
        UsageError: no part takes captions.
    """
    worded = rebuild(strategy, lambda part: part.with_captions(captions) if isinstance(part, TakesCaptions) else part)
    if worded is strategy:
        parts = " around ".join(type(part).__name__ for part in walk(strategy))
        raise UsageError(f"captions are for strategy llm, found {parts}, which takes none; use --strategy llm")
    return worded
