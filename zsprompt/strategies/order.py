"""The order of wrappers: which strategy may stand inside which."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from zsprompt.errors import UsageError
from zsprompt.strategies.base import ScoresCosines, Strategy

ORDER = "self-training: of softmax:, normalised: or matched: of regions: of per-label"


@runtime_checkable
class Staged(Protocol):
    """A wrapper with a place in the order: it can stand around strategies of lower stages only."""

    @property
    def stage(self) -> int: ...


def require_order(wrapper: Staged, inner: Strategy, *, of_cosines: bool = False) -> None:
    """Raise UsageError unless `wrapper` can stand around `inner`.

    Args:
        wrapper: the outer strategy.
        inner: the strategy that it wraps.
        of_cosines: whether the wrapper needs scores that are cosines.
    """
    if isinstance(inner, Staged) and inner.stage >= wrapper.stage:
        fault = f"{_name(wrapper)} around {_name(inner)}"
    elif of_cosines and not isinstance(inner, ScoresCosines):
        fault = f"{_name(wrapper)} around {_name(inner)}, whose score is not a cosine"
    else:
        return
    raise UsageError(f"expected wrappers in this order: {ORDER}; found {fault}")


def _name(part: object) -> str:
    """The name of a part in a specification."""
    from zsprompt.strategies.registry import STRATEGIES, WRAPPERS  # the registry imports the strategies

    wrapper = WRAPPERS.name_of(type(part))
    return f"{wrapper}:" if wrapper else STRATEGIES.name_of(type(part)) or type(part).__name__
