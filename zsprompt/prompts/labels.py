"""Labels: their validation and their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from zsprompt._utils.arrays import Bools, Floats
from zsprompt._utils.progress import Progress
from zsprompt.errors import LabelError
from zsprompt.prompts.prompt_set import PromptSet

_NOT_IN_LABELS = ("\n", "\r", "|")


@runtime_checkable
class TextSpace(Protocol):
    """Embeds texts for a strategy. EmbeddingStore is one."""

    @property
    def logit_scale(self) -> float | None:
        """Factor that scales a cosine before the softmax; None if the encoder states none."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies the encoder; changes whenever an embedding could change."""
        ...

    @property
    def progress(self) -> Progress:
        """Reports the progress of many calls of `texts`; `zsprompt._utils.progress.quiet` shows nothing."""
        ...

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        """[T, D] float32, unit rows. `keep` says whether to store them in the cache."""
        ...

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] bool: whether each text fits the encoder's context."""
        ...


@runtime_checkable
class KnowsClasses(Protocol):
    """A TextSpace whose encoder has a classifier."""

    @property
    def class_texts(self) -> tuple[str, ...]:
        """K texts, one for each class; empty if the encoder has no classes."""
        ...


@runtime_checkable
class HasLogitBias(Protocol):
    """A TextSpace whose encoder may have been trained with a sigmoid."""

    @property
    def logit_bias(self) -> float | None:
        """Added to the scaled cosine before a sigmoid; None if the encoder was trained with a softmax."""
        ...


def logit_bias(texts: TextSpace) -> float | None:
    """The logit bias of the encoder; None if it was trained with a softmax."""
    return texts.logit_bias if isinstance(texts, HasLogitBias) else None


def class_texts(texts: TextSpace) -> tuple[str, ...]:
    """The texts of the classes that the encoder knows; empty if it knows none."""
    return texts.class_texts if isinstance(texts, KnowsClasses) else ()


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """`labels` as a tuple, if they are valid.

    Raises:
        LabelError: there are no labels, or a label is blank, repeated, or contains a line break or '|'.
    """
    if isinstance(labels, str):
        raise LabelError(f"expected a list of labels, found the text {labels!r}")
    if not labels:
        raise LabelError("expected at least one label, found none")
    seen: dict[str, str] = {}
    for position, label in enumerate(labels, 1):
        if not label.strip():
            raise LabelError(
                f"expected a name for every label, found a blank one at position {position} of {len(labels)}"
            )
        if any("\ud800" <= mark <= "\udfff" for mark in label):
            raise LabelError(
                f"expected labels in valid text, found bytes that are not in {label!r}; use --labels @FILE with UTF-8"
            )
        if any(mark in label for mark in _NOT_IN_LABELS):
            raise LabelError(
                f"expected labels of one line without '|', which separates labels in results, found {label!r}"
            )
        key = label_key(label)
        if key in seen:
            raise LabelError(f"expected each label once, found {seen[key]!r} and {label!r}; remove one of them")
        seen[key] = label
    return tuple(labels)


def label_vectors(prompts: PromptSet, labels: Sequence[str], texts: TextSpace) -> Floats:
    """[C, D] float32, unit rows: the normalised mean over the texts of each label.

    Raises:
        LabelError: a label is too long for the encoder.
        PromptError: the prompt set has no templates for single labels.
    """
    groups = text_vectors(prompts, labels, texts)
    lengths = [len(group) for group in groups]
    starts = np.cumsum([0, *lengths[:-1]])
    mean = np.add.reduceat(np.concatenate(groups).astype(np.float64), starts, axis=0) / np.array(lengths)[:, None]
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)


def text_vectors(prompts: PromptSet, labels: Sequence[str], texts: TextSpace) -> list[Floats]:
    """The embeddings [T, D] of the T texts of each label. Raises what `label_vectors` raises."""
    wordings = prompts.ensemble(labels)
    flat = [text for wording in wordings for text in wording]
    require_fit(flat, texts)
    ends = np.cumsum([len(wording) for wording in wordings])
    return np.split(texts.texts(flat), ends[:-1])


def require_fit(wordings: Sequence[str], texts: TextSpace) -> None:
    """Raise LabelError for the first text that does not fit the encoder's context."""
    fit = texts.fits(wordings)
    if not fit.all():
        long = wordings[int(np.argmin(fit))]
        raise LabelError(
            f"expected texts that fit the model's context, found one too long: {long[:80]!r}…; shorten the label"
        )


def label_key(label: str) -> str:
    """A key that is equal for labels that differ only in case and spaces."""
    return " ".join(label.casefold().split())
