"""What strategies see and what they answer, and the arithmetic that several of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from zsprompt._utils.arrays import Bools, Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import neutral_words
from zsprompt.prompts.labels import TextSpace, label_key
from zsprompt.store.image_embeddings import Images

MAX_SCALE = 350.0
"""Largest softmax scale: cosines differ by at most 2, and e^-700 is the least a float64 mass can be before it is 0."""

# Both measured on one half of 500 VOC2007 test photos with conse, see benchmarks/README.md, "Few labels".
ENOUGH_LABELS = 16
"""From this many labels on their own mean and deviation rank better than with the neutral vocabulary among them."""

THRESHOLD = 2.0
"""Standard deviations over a picture's mean from which a label counts as present."""


@dataclass(frozen=True)
class Prediction:
    """A strategy's answer for N pictures and C labels.

    Attributes:
        scores: [N, C] float32, finite; higher means more likely present; comparable between pictures within one
            label. What the numbers are (cosines, logit differences, log-marginals, z) each strategy says.
        decisions: [N, C] the strategy's own yes or no.
        overflowed: candidates left out because their text does not fit the context, summed over the pictures.
        worded: where captions of label sets came from, and how many; empty where templates worded them all.
        probabilities: [N, C] float32, 0..1, that a label is present, where a calibration was given.
    """

    scores: Floats
    decisions: Bools
    overflowed: int = 0
    worded: Mapping[str, int] = field(default_factory=dict)
    probabilities: Floats | None = None


@runtime_checkable
class Strategy(Protocol):
    """A frozen dataclass whose fields are its whole recipe."""

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """Scores and decisions for every picture and label. Raises LabelError and PromptError."""
        ...


Supervision = Literal["label-free", "transductive", "tuned", "trained"]
"""What a strategy has seen: label names alone; other images too; targets too; or its very weights come from them."""


@runtime_checkable
class Wrapper(Strategy, Protocol):
    """A strategy around another one, which it asks. `walk` and `rebuild` go through it."""

    @property
    def inner(self) -> Strategy:
        """The strategy inside."""
        ...

    def with_inner(self, strategy: Strategy) -> Strategy:
        """The same wrapper around another strategy."""
        ...


@runtime_checkable
class JudgesAlone(Protocol):
    """A strategy that says whether a label's score depends on that label alone, so that others may join it."""

    @property
    def judges_alone(self) -> bool: ...


@runtime_checkable
class _Holder(Protocol):
    """A wrapper that only has a field `strategy`: it can be walked through, and not rebuilt."""

    @property
    def strategy(self) -> object: ...


def walk(strategy: Strategy) -> Iterator[Strategy]:
    """A strategy and those inside it, outermost first."""
    yield strategy
    if isinstance(strategy, Wrapper):
        yield from walk(strategy.inner)
    elif isinstance(strategy, _Holder) and isinstance(strategy.strategy, Strategy):
        yield from walk(strategy.strategy)


def rebuild(strategy: Strategy, change: Callable[[Strategy], Strategy]) -> Strategy:
    """A strategy with `change` made to it and to those inside it, innermost first; itself where nothing changes."""
    if isinstance(strategy, Wrapper):
        inner = rebuild(strategy.inner, change)
        strategy = strategy if inner is strategy.inner else strategy.with_inner(inner)
    return change(strategy)


def softmax_scale(scale: float | None, texts: TextSpace) -> float:
    """The field `scale`, or the encoder's own where it is None.

    Raises:
        UsageError: not within (0, MAX_SCALE].
    """
    value = texts.logit_scale if scale is None else scale
    if not 0 < value <= MAX_SCALE:
        raise UsageError(
            f"expected a softmax scale above 0 and at most {MAX_SCALE:g}, got {value:g}; set the field scale"
        )
    return value


def standardise(scores: Floats | Doubles) -> Doubles:
    """z = (score − mean) / standard deviation of each row of [N, C]; 0 in a row that is constant.

    Source: SPARC (arXiv 2502.16911), within-image standardisation.
    """
    wide = np.asarray(scores, dtype=np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    spread = wide.std(axis=1, keepdims=True)
    # a constant row's deviation is rounding noise, not exactly 0
    constant = spread <= 1e-12 * np.abs(wide).max(axis=1, keepdims=True)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, spread))


def above(z: Doubles, threshold: float, among: int) -> Bools:
    """Which z exceed `threshold`.

    Args:
        z: [N, C], standardised among `among` labels.
        threshold: in standard deviations.
        among: C and the neutral words that joined.

    Raises:
        UsageError: not a number that any z could exceed: among n labels z is less than √(n − 1), or that at most.
    """
    highest = math.sqrt(among - 1)
    if not -math.inf < threshold < highest:
        raise UsageError(
            f"expected a threshold below {highest:.3g}, the most that one of {among} labels can stand above their "
            f"mean, got {threshold:g}; lower it, or ask about more labels"
        )
    return z > threshold


def neutral_company(labels: Sequence[str]) -> tuple[str, ...]:
    """Words to standardise `labels` together with: none if they are enough, else the neutral vocabulary's others."""
    if len(labels) >= ENOUGH_LABELS:
        return ()
    given = {label_key(label) for label in labels}
    return tuple(word for word in neutral_words() if label_key(word) not in given)


def log_marginals(holding: Doubles, without: Doubles) -> Doubles:
    """Log of the posterior mass of a label, at most 0; −inf where no candidate holds it.

    Taken from the odds, not as holding − total: a mass near 1 then keeps its distance from 1 (log 1 − ε is −ε, down
    to float32's smallest ε), where the difference would round to 0 and make ties among the surest pictures.

    Args:
        holding: log-sum of the logits of the candidates that hold the label; −inf if there is none.
        without: the same of the others, finite: "nothing" is always among them.
    """
    return np.asarray(-np.logaddexp(0, without - holding))


def never_a_candidate(scores: Doubles, fallback: Doubles) -> Doubles:
    """Scores for labels that stand in no candidate of a picture: finite, below its others, still ranked.

    Args:
        scores: [N, C] log-marginals, −inf where a label stands in no candidate.
        fallback: [N, C] logit of the label's own text minus the log-sum of the picture's candidates.

    Returns:
        [N, C], −inf replaced by the smaller of the row's lowest finite score and the fallback.
    """
    missing = np.isneginf(scores)
    lowest = np.where(missing, np.inf, scores).min(axis=1, keepdims=True)
    return np.where(missing, np.minimum(lowest, fallback), scores)
