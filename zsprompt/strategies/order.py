"""The order of wrappers: which strategy may stand inside which."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from zsprompt.errors import UsageError
from zsprompt.strategies.base import ScoresCosines, Strategy, walk

ORDER = "self-training: of softmax:, normalised: or matched: of regions: of per-label"


@runtime_checkable
class Staged(Protocol):
    """A part with a place in the order: a wrapper stands around parts of lower stages only.

    1 gives cosines, from cosines. 2 compares the words of an image. 3 compares images.
    """

    @property
    def stage(self) -> int: ...


@runtime_checkable
class KeepsDecisions(Protocol):
    """A strategy whose decisions were asked for, so that no wrapper may replace them.

    Attributes:
        kept_by: the field and value that ask for them, such as "decide=sigmoid"; empty if none does.
    """

    @property
    def kept_by(self) -> str: ...


def require_order(wrapper: Staged, inner: Strategy, *, of_cosines: bool = False) -> None:
    """Raise UsageError unless `wrapper` can stand around `inner`. Wrappers call it when they are made.

    Args:
        wrapper: the outer strategy.
        inner: the strategy that it wraps.
        of_cosines: whether the wrapper needs scores that are cosines.
    """
    if isinstance(inner, KeepsDecisions) and inner.kept_by:
        raise UsageError(
            f"expected {inner.kept_by} without a wrapper, found {_name(wrapper)}, which decides by itself; "
            f"leave out {inner.kept_by} or {_name(wrapper)}"
        )
    late = next((part for part in walk(inner) if isinstance(part, Staged) and part.stage >= wrapper.stage), None)
    if late is not None:
        fault, remedy = f"{_name(wrapper)} around {_name(late)}", "leave one out, or reorder them"
    elif of_cosines and not isinstance(inner, ScoresCosines):
        fault = f"{_name(wrapper)} around {_name(inner)}, whose score is not a cosine"
        remedy = "use per-label inside, or normalised: in its place"
    else:
        return
    raise UsageError(f"expected wrappers in the order {ORDER}; found {fault}; {remedy}")


def _name(part: object) -> str:
    """The name of a part in a specification."""
    from zsprompt.strategies.registry import STRATEGIES, WRAPPERS  # the registry imports the strategies

    wrapper = WRAPPERS.name_of(type(part))
    return f"{wrapper}:" if wrapper else STRATEGIES.name_of(type(part)) or type(part).__name__
