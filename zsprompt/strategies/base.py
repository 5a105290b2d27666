"""The inputs and outputs of strategies, and the arithmetic that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Bools, Doubles, Floats, Indices
from zsprompt.encoders.windows import Grid
from zsprompt.errors import UsageError
from zsprompt.prompts.labels import TextSpace, label_key
from zsprompt.store.image_embeddings import Images

MAX_SCALE = 350.0
"""Largest softmax scale. Cosines differ by at most 2, and e^-700 is about the smallest mass that float64 can hold."""


@dataclass(frozen=True)
class BestWindows:
    """Which window of each image each label's score comes from.

    Attributes:
        grids: [N, 4] int, the fields of each image's Grid.
        best: [N, C] int, position of the window in Grid.windows.
    """

    grids: Indices
    best: Indices

    def box(self, image: int, label: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a window, as shares of the image's width and height, 0..1."""
        grid = Grid(*map(int, self.grids[image]))
        left, top, right, bottom = map(float, grid.boxes()[self.best[image, label]])
        return left, top, right, bottom

    def first(self, count: int) -> BestWindows:
        """Those of the first `count` labels."""
        return BestWindows(self.grids, self.best[:, :count])


@dataclass(frozen=True)
class Prediction:
    """The answer of a strategy for N images and C labels.

    Attributes:
        scores: [N, C] float32, finite; higher means more likely present. Scores of one label are comparable between
            images. Each strategy documents their unit (cosines, logit differences, log-marginals, z).
        decisions: [N, C] whether the strategy decides that the label is present.
        overflowed: candidates excluded because their text does not fit the context, summed over the images.
        worded: number of label-set captions by source; empty if templates worded every label set.
        probabilities: [N, C] float32, 0..1, that the label is present; None without a calibration.
        windows: the window that each score comes from; None if scores come from whole images alone.
    """

    scores: Floats
    decisions: Bools
    overflowed: int = 0
    worded: Mapping[str, int] = field(default_factory=dict)
    probabilities: Floats | None = None
    windows: BestWindows | None = None


@runtime_checkable
class Strategy(Protocol):
    """A frozen dataclass whose fields determine its predictions completely."""

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """Scores and decisions for every image and label. Raises LabelError and PromptError."""
        ...


@dataclass(frozen=True)
class ReferenceWords:
    """The words other than the labels that a strategy compares each label with.

    Attributes:
        vocabulary: name of the vocabulary they come from; None if the labels are compared with each other alone.
        words: the words, without those that are labels.
        in_scores: whether scores depend on the comparison; otherwise only decisions do.
    """

    vocabulary: str | None = None
    words: tuple[str, ...] = ()
    in_scores: bool = True

    def __post_init__(self) -> None:
        check_fields(self)


def words_besides(labels: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """`words` without those that are labels."""
    given = {label_key(label) for label in labels}
    return tuple(word for word in words if label_key(word) not in given)


Supervision = Literal["label-free", "transductive", "tuned", "trained"]
"""What a strategy has seen: only label names; also other images; also targets; or weights trained on targets."""


@runtime_checkable
class Wrapper(Strategy, Protocol):
    """A strategy that wraps another one. `walk` and `rebuild` descend into it."""

    @property
    def inner(self) -> Strategy:
        """The wrapped strategy."""
        ...

    def with_inner(self, strategy: Strategy) -> Strategy:
        """The same wrapper around another strategy."""
        ...


@runtime_checkable
class JudgesAlone(Protocol):
    """A strategy that declares whether the score of a label depends only on that label; then others can be added."""

    @property
    def judges_alone(self) -> bool: ...


@runtime_checkable
class ScoresCosines(Strategy, Protocol):
    """A strategy whose score is a cosine, or a weighted mean of cosines. Only these can be compared in a softmax."""

    def cosines(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Floats:
        """[N, C] float32: the scores alone, without decisions. Raises what `predict` raises."""
        ...


@runtime_checkable
class _Holder(Protocol):
    """A wrapper with only a field `strategy`: `walk` descends into it, `rebuild` does not."""

    @property
    def strategy(self) -> object: ...


def walk(strategy: Strategy) -> Iterator[Strategy]:
    """A strategy and those it wraps, outermost first."""
    yield strategy
    if isinstance(strategy, Wrapper):
        yield from walk(strategy.inner)
    elif isinstance(strategy, _Holder) and isinstance(strategy.strategy, Strategy):
        yield from walk(strategy.strategy)


def rebuild(strategy: Strategy, change: Callable[[Strategy], Strategy]) -> Strategy:
    """Apply `change` to a strategy and those it wraps, innermost first. An unchanged strategy keeps its identity."""
    if isinstance(strategy, Wrapper):
        inner = rebuild(strategy.inner, change)
        strategy = strategy if inner is strategy.inner else strategy.with_inner(inner)
    return change(strategy)


def softmax_scale(scale: float | None, texts: TextSpace) -> float:
    """The field `scale`, or the logit scale of the encoder if it is None.

    Raises:
        UsageError: there is neither, or the scale is not within (0, MAX_SCALE].
    """
    value = texts.logit_scale if scale is None else scale
    if value is None:
        raise UsageError(
            "expected a logit scale for the softmax, found a model without one; set the field scale, or give the "
            "encoder a logit_scale (zsprompt.suggest_logit_scale suggests one from your images)"
        )
    require_scale(value)
    return value


def require_scale(value: float | None) -> None:
    """Raise UsageError for a field `scale` that is not within (0, MAX_SCALE]; None is the encoder's own."""
    if value is not None and not 0 < value <= MAX_SCALE:
        raise UsageError(
            f"expected a softmax scale above 0 and at most {MAX_SCALE:g}, got {value:g}; set the field scale"
        )


def log_marginals(holding: Doubles, without: Doubles) -> Doubles:
    """Log of the posterior mass of a label, at most 0; −inf where no candidate holds it.

    It is computed from the odds, not as holding − total. Masses near 1 then stay distinct (log(1 − ε) is −ε). The
    difference would round to 0 and make ties among the most certain images.

    Args:
        holding: log-sum of the logits of the candidates that hold the label; −inf if there is none.
        without: the same for the other candidates; finite, because "nothing" is always one of them.
    """
    return np.asarray(-np.logaddexp(0, without - holding))


def never_a_candidate(scores: Doubles, fallback: Doubles) -> Doubles:
    """Give labels that are in no candidate of an image finite scores: below all others, and still ranked.

    Args:
        scores: [N, C] log-marginals, −inf where a label is in no candidate.
        fallback: [N, C] logit of the label's own text minus the log-sum over the candidates of the image.

    Returns:
        [N, C] scores. Each −inf becomes the smaller of the row's lowest finite score and the fallback.
    """
    missing = np.isneginf(scores)
    lowest = np.where(missing, np.inf, scores).min(axis=1, keepdims=True)
    return np.where(missing, np.minimum(lowest, fallback), scores)
