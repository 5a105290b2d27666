"""Strategies: how embeddings of pictures, labels and texts become scores and decisions. All of it is numpy.

Source, where not said otherwise: Chen et al. 2024, MMM-CLIP, section "Multi-method to Prompt CLIP".
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from zsprompt.errors import UnknownName, UsageError
from zsprompt.llm import Captions
from zsprompt.lookup import find, installed
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.strategies.base import Images, Prediction, Strategy, TextSpace, check_labels, supervision
from zsprompt.strategies.list_all import ListAll
from zsprompt.strategies.llm import Llm
from zsprompt.strategies.normalised import Normalised
from zsprompt.strategies.per_label import PerLabel
from zsprompt.strategies.thresholded import Thresholded
from zsprompt.strategies.top_all import TopAll
from zsprompt.strategies.yes_or_no import YesOrNo

__all__ = [
    "STRATEGIES",
    "Images",
    "ListAll",
    "Llm",
    "Normalised",
    "PerLabel",
    "Prediction",
    "Strategy",
    "TextSpace",
    "Thresholded",
    "TopAll",
    "YesOrNo",
    "available_strategies",
    "check_labels",
    "lacks_captions",
    "load_strategy",
    "supervision",
    "with_captions",
]

STRATEGIES: dict[str, type[Any]] = {
    "per-label": PerLabel,
    "yes-or-no": YesOrNo,
    "list-all": ListAll,
    "top-all": TopAll,
    "llm": Llm,
}
"""Built-in strategies. The contract tests run over this table."""

_GROUP = "zsprompt.strategies"
_NORMALISED = "normalised:"
_IN_WORDS = {int: "a whole number", float: "a number", str: "a text", type(None): "none"}


def available_strategies() -> dict[str, str]:
    """Strategy names that `load_strategy` knows, each with the first line of its documentation and its fields."""
    built_in = {name: _about(kind) for name, kind in STRATEGIES.items()}
    wrapped = {f"{_NORMALISED}NAME": _about(Normalised)}
    return built_in | wrapped | {name: f"installed: {path}" for name, path in installed(_GROUP).items()}


def load_strategy(text: str, *, prompts: PromptSet | str | None = None) -> Strategy:
    """The strategy that [normalised:]NAME[,field=value…] stands for.

    Args:
        text: for example "top-all,order=alphabetical,scale=20" or "normalised:per-label". NAME may also be
            package.module:Object, a strategy or something that makes one from its fields.
        prompts: the prompt set, or its name; each strategy has a default.

    Raises:
        UnknownName: no such strategy or field.
        UsageError: a value that its field does not take.
    """
    wrap = text.startswith(_NORMALISED)
    name, *settings = text.removeprefix(_NORMALISED).split(",")
    if name.startswith("adapter:"):
        raise UsageError(f"strategy {name!r} is not supported yet; known: {', '.join(available_strategies())}")
    if name.startswith(_NORMALISED):
        raise UsageError(f"expected normalised: once, found {text!r}; standardising twice changes nothing")
    given: dict[str, str] = {}
    for setting in settings:
        field, value = _setting(name, setting)
        if field in given:
            raise UsageError(f"expected each field once, found {field} twice in {text!r}")
        given[field] = value
    outer = {"threshold": given.pop("threshold")} if wrap and "threshold" in given else {}
    inner = _make(name, given, prompts)
    if not wrap:
        return inner
    wrapped: Strategy = _construct(Normalised, {"strategy": inner}, outer)
    return wrapped


def with_captions(strategy: Strategy, captions: Captions) -> Strategy:
    """`strategy`, or the one inside it, with these captions.

    Raises:
        UsageError: it words its candidates by templates.
    """
    if isinstance(strategy, Normalised):
        return dataclasses.replace(strategy, strategy=with_captions(strategy.strategy, captions))
    if not isinstance(strategy, Llm):
        raise UsageError(f"captions are for strategy llm, found {type(strategy).__name__}, which uses templates")
    return dataclasses.replace(strategy, captions=captions)


def lacks_captions(strategy: Strategy) -> bool:
    """Whether it, or the one inside it, words its candidates by captions and has none yet."""
    if isinstance(strategy, Normalised):
        return lacks_captions(strategy.strategy)
    return isinstance(strategy, Llm) and strategy.captions is None


def _about(kind: type[Any]) -> str:
    return f"{(kind.__doc__ or '').splitlines()[0]} Fields: {', '.join(_fields(kind))}."


def _fields(kind: type[Any]) -> list[str]:
    """The fields of a strategy that can be set as field=value."""
    return [part.name for part in dataclasses.fields(kind) if part.name not in ("prompts", "strategy", "captions")]


def _setting(name: str, setting: str) -> tuple[str, str]:
    field, equals, value = setting.partition("=")
    if not equals or not field.strip():
        raise UsageError(f"expected field=value after {name!r}, found {setting!r}; for example {name},scale=20")
    return field.strip(), value.strip()


def _make(name: str, settings: dict[str, str], prompts: PromptSet | str | None) -> Strategy:
    kind = find("strategy", name, STRATEGIES, _GROUP, also=(f"{_NORMALISED}NAME",))
    made = kind
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        chosen = load_prompts(prompts) if isinstance(prompts, str) else prompts
        if chosen is not None and not any(f.name == "prompts" for f in dataclasses.fields(kind)):
            raise UsageError(f"strategy {name} takes no prompts, found {chosen.name!r}")
        made = _construct(kind, {"prompts": chosen} if chosen is not None else {}, settings)
    elif settings:
        raise UsageError(f"{name} is no dataclass and takes no fields, found {', '.join(settings)}")
    if isinstance(made, type) or not isinstance(made, Strategy):
        raise UsageError(f"expected {name} to be a strategy or a dataclass that makes one, found {made!r}")
    return made


def _construct(kind: type[Any], ready: dict[str, Any], settings: dict[str, str]) -> Any:
    hints = typing.get_type_hints(kind) if settings else {}
    known = _fields(kind) if settings else []
    values = {}
    for field, value in settings.items():
        if field not in known:
            raise UnknownName(f"field of {kind.__name__}", field, known)
        values[field] = _value(field, value, hints[field])
    try:
        return kind(**ready, **values)
    except TypeError as error:  # a stranger's dataclass may need more than its settings
        raise UsageError(f"cannot make {kind.__name__} from {values or 'no settings'}: {error}") from error


def _value(field: str, text: str, hint: Any) -> object:
    """`text` as the type that `hint` (possibly a union with None, or a Literal) allows."""
    choices: Sequence[Any] = typing.get_args(hint) or (hint,)
    if typing.get_origin(hint) is typing.Literal:
        if text not in choices:
            raise UnknownName(f"value of {field}", text, [str(c) for c in choices])
        return text
    if type(None) in choices and text.lower() == "none":
        return None
    for kind in (int, float, str):
        if kind in choices:
            try:
                return kind(text)
            except ValueError:
                continue
    expected = " or ".join(_IN_WORDS.get(choice, str(choice)) for choice in choices)
    raise UsageError(f"expected {field} to be {expected}, found {text!r}")
