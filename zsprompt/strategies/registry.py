"""The table of strategies: from a specification to a strategy and back.

Source of the strategies, unless they name another: Chen et al. 2024, MMM-CLIP, "Multi-method to Prompt CLIP".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zsprompt._utils.arguments import checked
from zsprompt._utils.digests import digest
from zsprompt._utils.registry import Table, find, installed, object_path
from zsprompt._utils.specs import construct, field_names, settings_of, split_spec
from zsprompt.adapters import Trained, load_adapter
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.errors import AdapterError, UnknownName, UsageError
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.strategies.adapter import Adapter
from zsprompt.strategies.base import Strategy, walk
from zsprompt.strategies.capabilities import Written
from zsprompt.strategies.self_training import SelfTrained

STRATEGIES = Table(
    {
        "per-label": "zsprompt.strategies.per_label:PerLabel",
        "compound": "zsprompt.strategies.compound:Compound",
        "yes-or-no": "zsprompt.strategies.yes_or_no:YesOrNo",
        "list-all": "zsprompt.strategies.list_all:ListAll",
        "top-all": "zsprompt.strategies.top_all:TopAll",
        "llm": "zsprompt.strategies.llm:Llm",
    }
)
"""Built-in strategies. The contract tests cover this table."""

WRAPPERS = Table(
    {
        "normalised": "zsprompt.strategies.normalised:Normalised",
        "softmax": "zsprompt.strategies.softmax:Softmax",
        "matched": "zsprompt.strategies.matched:Matched",
        "regions": "zsprompt.strategies.regions:Regions",
        "self-training": "zsprompt.strategies.self_training:SelfTraining",
    }
)
"""Strategies that wrap another one in their field `strategy`. These names are reserved before a colon."""

ADAPTER = "adapter"
"""Prefix of a specification that names the file of a trained adapter."""

_GROUP = "zsprompt.strategies"
_NO_SETTINGS = ("prompts", "strategy", "captions", "trained", "thresholds")


def available_strategies() -> dict[str, str]:
    """The strategies that `load_strategy` knows, each with the first line of its docstring and its fields."""
    built_in = {name: _about(kind) for name, kind in STRATEGIES.items()}
    wrappers = {f"{name}:NAME": _about(kind) for name, kind in WRAPPERS.items()}
    others = {name: f"installed: {path}" for name, path in installed(_GROUP).items()}
    return built_in | wrappers | {f"{ADAPTER}:FILE": _about(Adapter)} | others


@checked
def load_strategy(text: str, *, prompts: PromptSet | str | None = None) -> Strategy:
    """The strategy of a specification [WRAPPER:…]NAME[,field=value…].

    A field belongs to the outermost part that has it; `PART.field=value` names the part.

    Args:
        text: for example "top-all,order=alphabetical,scale=20", "normalised:per-label" or
            "normalised:per-label,threshold=2,per-label.threshold=3". NAME can also be adapter:FILE, a file of
            `zsprompt train`, or package.module:Object, a strategy or a dataclass that makes one from its fields.
        prompts: the prompt set or its name. Each strategy has a default; an adapter has its own prompt set.

    Raises:
        UnknownName: no such strategy, part or field.
        UsageError: an invalid value for a field, or a repeated wrapper.
        AdapterError: an adapter file cannot be used.
    """
    wrappers, bare = _unwrapped(text)
    name, given = _adapter_spec(bare) if bare.startswith(f"{ADAPTER}:") else split_spec(bare)
    made: Strategy
    if name.startswith(f"{ADAPTER}:"):
        shares = _shared_out(given, wrappers, ADAPTER, Adapter)
        made = _adapter(name, shares[ADAPTER], prompts)
    else:
        kind = find("strategy", name, STRATEGIES, _GROUP, also=[f"{wrapper}:NAME" for wrapper in WRAPPERS])
        shares = _shared_out(given, wrappers, name, kind)
        made = _make(name, kind, shares[name], prompts)
    for wrapper in reversed(wrappers):
        made = construct(WRAPPERS[wrapper], shares[wrapper], {"strategy": made}, _NO_SETTINGS)
    return made


def takes_prompts(text: str) -> bool:
    """Whether the strategy of a specification takes a prompt set. Raises UnknownName and UsageError, see `find`."""
    name = _unwrapped(text)[1].partition(",")[0]
    if name.startswith(f"{ADAPTER}:"):
        return False
    return _has_prompts(find("strategy", name, STRATEGIES, _GROUP))


def _has_prompts(kind: Any) -> bool:
    return isinstance(kind, type) and "prompts" in (field_names(kind) if dataclasses.is_dataclass(kind) else ())


def spec_of(strategy: Strategy) -> str:
    """The specification that `load_strategy` reads. It holds no prompts, captions or thresholds.

    An adapter without a file and a class outside the tables become package.module:Class without fields.
    """
    parts: list[str] = []
    settings: list[str] = []
    outer: set[str] = set()  # fields of the parts so far; an inner field of the same name is written as PART.field
    for part in walk(strategy):
        kind = type(part)
        if not (written := _written(part)):
            continue
        parts.append(written)
        changed = settings_of(part, _NO_SETTINGS) if written != object_path(kind) else {}
        name = written.partition(":")[0]
        settings += [f"{name}.{key}={text}" if key in outer else f"{key}={text}" for key, text in changed.items()]
        if WRAPPERS.name_of(kind) is None:
            break
        outer |= set(_fields(kind))
    return ",".join([":".join(parts), *settings])


def _written(part: Strategy) -> str:
    """One part of a specification; empty for a strategy that is not part of one."""
    if isinstance(part, Written):
        return part.written
    kind = type(part)
    return WRAPPERS.name_of(kind) or STRATEGIES.name_of(kind) or object_path(kind)


def digest_of(strategy: Strategy) -> str:
    """12 hexadecimal digits that are the same for strategies of equal class and fields; see `_utils.digests`.

    Prompt sets, captions, adapters and thresholds enter by their own digests.
    """
    return digest(strategy)


def _unwrapped(text: str) -> tuple[list[str], str]:
    """The wrappers of a specification, outermost first, and the rest."""
    wrappers: list[str] = []
    rest = text
    while (head := rest.partition(":")[0]) in WRAPPERS and ":" in rest:
        if head in wrappers:
            raise UsageError(f"expected {head}: once, found it twice in {text!r}; remove one")
        wrappers.append(head)
        rest = rest.partition(":")[2]
    return wrappers, rest


def _shared_out(given: Mapping[str, str], wrappers: list[str], name: str, kind: Any) -> dict[str, dict[str, str]]:
    """The settings of each part of a specification.

    Args:
        given: values by field or PART.field.
        wrappers: names, outermost first.
        name: name of the innermost part.
        kind: class of the innermost part, or an object.
    """
    fields = {wrapper: _fields(WRAPPERS[wrapper]) for wrapper in wrappers}
    shares: dict[str, dict[str, str]] = {part: {} for part in (*wrappers, name)}
    for key, value in given.items():
        part, dot, field = key.rpartition(".")
        if not dot:
            part = next((wrapper for wrapper in wrappers if field in fields[wrapper]), name)
        if part not in shares:
            raise UnknownName(f"part before .{field}", part, list(shares))
        if field in shares[part]:
            raise UsageError(f"expected each field once, found {field} of {part} twice; remove one")
        shares[part][field] = value
    return shares


def _adapter_spec(text: str) -> tuple[str, dict[str, str]]:
    """Like split_spec, for paths that may contain commas: settings follow the longest path that exists."""
    path = text
    settings: list[str] = []
    while "," in path and not _exists(path.removeprefix(f"{ADAPTER}:")):
        path, _, setting = path.rpartition(",")
        settings.insert(0, setting)
    return path, split_spec(",".join([ADAPTER, *settings]))[1]


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # the name is too long
        return False


def _adapter(name: str, settings: dict[str, str], prompts: PromptSet | str | None) -> Strategy:
    """The strategy of an adapter file, with the prompt set it was trained with."""
    if prompts is not None:
        raise UsageError(f"{name} does not use prompts: an adapter has those of its training; leave them out")
    trained = load_adapter(name.removeprefix(f"{ADAPTER}:"))
    if isinstance(trained.kind, SelfTrainingSpec):
        if settings:
            raise UsageError(f"{name} has no field {min(settings)}: it has those of its training; leave it out")
        return strategy_of(trained)
    made: Strategy = construct(Adapter, settings, {"trained": trained}, _NO_SETTINGS)
    return made


def strategy_of(trained: Trained) -> Strategy:
    """The strategy of an adapter.

    Raises:
        AdapterError: the strategy that self-training learnt from cannot be loaded, or has changed.
    """
    if not isinstance(trained.kind, SelfTrainingSpec):
        return Adapter(trained)
    spec = trained.facts.get("recipe", {}).get("strategy", "")
    try:
        return SelfTrained(load_strategy(spec, prompts=trained.prompts if takes_prompts(spec) else None), trained)
    except UsageError as error:
        raise AdapterError(f"cannot load the strategy {spec!r} that this adapter was trained with: {error}") from None


def _about(kind: type[Any]) -> str:
    return f"{(kind.__doc__ or '').splitlines()[0]} Fields: {', '.join(_fields(kind))}."


def _fields(kind: type[Any]) -> list[str]:
    """The fields of a strategy that can be set as field=value."""
    return field_names(kind, _NO_SETTINGS)


def _make(name: str, kind: Any, settings: dict[str, str], prompts: PromptSet | str | None) -> Strategy:
    made = kind
    chosen = load_prompts(prompts) if isinstance(prompts, str) else prompts
    if chosen is not None and not isinstance(kind, type):
        raise UsageError(f"expected no prompts for {name}, which is already made, found {chosen.name!r}")
    if chosen is not None and not _has_prompts(kind):
        raise UsageError(f"strategy {name} does not use prompts: it has no such field; leave out {chosen.name!r}")
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        made = construct(kind, settings, {"prompts": chosen} if chosen is not None else {}, _NO_SETTINGS)
    elif settings:
        raise UsageError(f"{name} is not a dataclass and takes no fields, found {', '.join(settings)}")
    if isinstance(made, type) or not isinstance(made, Strategy):
        raise UsageError(f"expected {name} to be a strategy or a dataclass that makes one, found {made!r}")
    return made
