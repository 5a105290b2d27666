"""Strategies: how embeddings of pictures, labels and texts become scores and decisions. All of it is numpy.

Source, where not said otherwise: Chen et al. 2024, MMM-CLIP, section "Multi-method to Prompt CLIP".
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from zsprompt._utils.registry import find, installed
from zsprompt._utils.specs import construct, field_names, split_spec
from zsprompt.adapters import load_adapter
from zsprompt.errors import UsageError
from zsprompt.llm import Captions
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.strategies.adapter import Adapter
from zsprompt.strategies.base import Strategy
from zsprompt.strategies.list_all import ListAll
from zsprompt.strategies.llm import Llm
from zsprompt.strategies.normalised import Normalised
from zsprompt.strategies.per_label import PerLabel
from zsprompt.strategies.thresholded import Thresholded
from zsprompt.strategies.top_all import TopAll
from zsprompt.strategies.yes_or_no import YesOrNo

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
_ADAPTER = "adapter:"
_NO_SETTINGS = ("prompts", "strategy", "captions", "trained")


def available_strategies() -> dict[str, str]:
    """Strategy names that `load_strategy` knows, each with the first line of its documentation and its fields."""
    built_in = {name: _about(kind) for name, kind in STRATEGIES.items()}
    wrapped = {f"{_NORMALISED}NAME": _about(Normalised), f"{_ADAPTER}FILE": _about(Adapter)}
    return built_in | wrapped | {name: f"installed: {path}" for name, path in installed(_GROUP).items()}


def load_strategy(text: str, *, prompts: PromptSet | str | None = None) -> Strategy:
    """The strategy that [normalised:]NAME[,field=value…] stands for.

    Args:
        text: for example "top-all,order=alphabetical,scale=20" or "normalised:per-label". NAME may also be
            adapter:FILE, what `zsprompt train` wrote, or package.module:Object, a strategy or something that makes
            one from its fields.
        prompts: the prompt set, or its name; each strategy has a default, and an adapter has its own.

    Raises:
        UnknownName: no such strategy or field.
        UsageError: a value that its field does not take.
        AdapterError: an adapter's file cannot be used.
    """
    wrap = text.startswith(_NORMALISED)
    bare = text.removeprefix(_NORMALISED)
    name, given = _adapter_spec(bare) if bare.startswith(_ADAPTER) else split_spec(bare)
    if name.startswith(_NORMALISED):
        raise UsageError(f"expected normalised: once, found {text!r}; standardising twice changes nothing")
    outer = {"threshold": given.pop("threshold")} if wrap and "threshold" in given else {}
    inner = _adapter(name, given, prompts) if name.startswith(_ADAPTER) else _make(name, given, prompts)
    if not wrap:
        return inner
    wrapped: Strategy = construct(Normalised, outer, {"strategy": inner}, _NO_SETTINGS)
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


def own_labels(strategy: Strategy) -> tuple[str, ...] | None:
    """The labels an adapter, or the one inside, was trained with; None for a strategy that has none of its own."""
    if isinstance(strategy, Normalised | Thresholded):
        return own_labels(strategy.strategy)
    return strategy.trained.labels if isinstance(strategy, Adapter) else None


def own_model(strategy: Strategy) -> str | None:
    """The model that an adapter, or the one inside, was trained on; None for a strategy that any model suits."""
    if isinstance(strategy, Normalised | Thresholded):
        return own_model(strategy.strategy)
    return strategy.trained.model if isinstance(strategy, Adapter) else None


def on_device(strategy: Strategy, device: str) -> Strategy:
    """`strategy`, its adapter computing on `device` where it has one that was not told where."""
    if isinstance(strategy, Normalised | Thresholded):
        return dataclasses.replace(strategy, strategy=on_device(strategy.strategy, device))
    if isinstance(strategy, Adapter) and strategy.device == "auto":
        return dataclasses.replace(strategy, device=device)
    return strategy


def lacks_captions(strategy: Strategy) -> bool:
    """Whether it, or the one inside it, words its candidates by captions and has none yet."""
    if isinstance(strategy, Normalised):
        return lacks_captions(strategy.strategy)
    return isinstance(strategy, Llm) and strategy.captions is None


def _adapter_spec(text: str) -> tuple[str, dict[str, str]]:
    """As split_spec, for a path that may hold commas: settings stand behind what is there."""
    path = text
    settings: list[str] = []
    while "," in path and not _is_there(path.removeprefix(_ADAPTER)):
        path, _, setting = path.rpartition(",")
        settings.insert(0, setting)
    return path, split_spec(",".join(["adapter", *settings]))[1]


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a name too long
        return False


def _adapter(name: str, settings: dict[str, str], prompts: PromptSet | str | None) -> Strategy:
    """The adapter of a file, with its own wordings, for they are part of what it learnt."""
    if prompts is not None:
        raise UsageError(f"an adapter words labels as it was trained to; leave out prompts for {name}")
    ready = {"trained": load_adapter(name.removeprefix(_ADAPTER))}
    made: Strategy = construct(Adapter, settings, ready, _NO_SETTINGS)
    return made


def _about(kind: type[Any]) -> str:
    return f"{(kind.__doc__ or '').splitlines()[0]} Fields: {', '.join(_fields(kind))}."


def _fields(kind: type[Any]) -> list[str]:
    """The fields of a strategy that can be set as field=value."""
    return field_names(kind, _NO_SETTINGS)


def _make(name: str, settings: dict[str, str], prompts: PromptSet | str | None) -> Strategy:
    kind = find("strategy", name, STRATEGIES, _GROUP, also=(f"{_NORMALISED}NAME",))
    made = kind
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        chosen = load_prompts(prompts) if isinstance(prompts, str) else prompts
        if chosen is not None and not any(f.name == "prompts" for f in dataclasses.fields(kind)):
            raise UsageError(f"strategy {name} takes no prompts, found {chosen.name!r}")
        made = construct(kind, settings, {"prompts": chosen} if chosen is not None else {}, _NO_SETTINGS)
    elif settings:
        raise UsageError(f"{name} is no dataclass and takes no fields, found {', '.join(settings)}")
    if isinstance(made, type) or not isinstance(made, Strategy):
        raise UsageError(f"expected {name} to be a strategy or a dataclass that makes one, found {made!r}")
    return made
