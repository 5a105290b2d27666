"""The options of a run as one value that a command takes: GivenRun, and the decorator that adds them to a command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.specs import construct, split_fields
from zsprompt.cli.modes import Mode, typed
from zsprompt.cli.options import (
    CAPTIONS,
    COMPUTATION,
    DATA,
    DECISIONS,
    OLD_SPELLINGS,
    OUTPUT,
    RUN_OPTIONS,
    CacheFolder,
    Fields,
    RunOption,
    option,
)
from zsprompt.cli.session import note
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.experiments.spec import Resources, RunSpec


@dataclass(frozen=True)
class Old:
    """An old spelling of an option of one command.

    Attributes:
        name: the name of its parameter.
        kind: the type of its value.
        now: the new spelling.
        flag: the option as typed.
    """

    name: str
    kind: Any
    now: str
    flag: str = ""

    def __post_init__(self) -> None:
        if not self.flag:
            object.__setattr__(self, "flag", f"--{self.name.replace('_', '-')}")

    def parameter(self) -> inspect.Parameter:
        """The hidden parameter of a command function."""
        info = option(f"Old spelling of `{self.now}`.", self.flag, hidden=True)
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, keyword, default=None, annotation=Annotated[self.kind | None, info])


@dataclass(frozen=True)
class GivenRun:
    """The given options of a run.

    Attributes:
        values: values of the given options, by name.
        cache: folder for embeddings; the default where None.
        old: values of the given old spellings of the command's own options, by name.
        reasons: why the command does not use a field of RunSpec, by field.
        typed: all options on the command line, by the names of their parameters.
    """

    values: Mapping[str, Any]
    cache: Path | None = None
    old: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)

    def use(self, mode: Mode) -> None:
        """Raise UsageError for an option, or a field in one, that this mode of the command does not use."""
        fields = [(name, o.flag) for o, value in self._singles() for name in o.read(value)]
        mode.refuse([*fields, *self.typed.items()])

    def spec(self, **defaults: Any) -> RunSpec:
        """The run that the options describe. Raises UsageError for options that exclude each other.

        Args:
            defaults: fields that the command sets; given options override them.
        """
        from zsprompt.experiments.spec import RunSpec

        merged = _merged([(o, o.read(self.values[o.name])) for o in _ALL if o.name in self.values])
        if unused := [name for name in merged if name in self.reasons]:
            raise UsageError(
                f"this command does not use {unused[0].replace('_', ' ')}: {self.reasons[unused[0]]}; leave it out"
            )
        return RunSpec(**{**defaults, **{name: value for name, value in merged.items() if name != "batch_size"}})

    def specs(self) -> list[RunSpec]:
        """One run per combination of repeated options.

        The data set varies slowest, then the model, strategy, prompts, and the others. A run is without the options
        that it does not use, such as --root for drawn scenes.

        Raises:
            UsageError: options that exclude each other, or that no run uses.
        """
        from zsprompt.experiments.spec import RunSpec, only_used

        axes = sorted((o for o in _ALL if o.name in self.values), key=lambda o: _SLOWEST.get(o.name, len(_SLOWEST)))
        rows = []
        for values in product(*(_listed(self.values[o.name]) for o in axes)):
            merged = _merged([(o, o.read(value)) for o, value in zip(axes, values, strict=True)])
            rows.append(RunSpec(**{name: value for name, value in merged.items() if name != "batch_size"}))
        return only_used(rows)

    def only(self) -> dict[str, Any]:
        """The fields that the options set. Raises UsageError for one that is repeated."""
        merged = _merged([(o, o.read(value)) for o, value in self._singles()])
        return {name: value for name, value in merged.items() if name != "batch_size"}

    def resources(self) -> Resources:
        """Cache, batch size and progress for the runs. Raises UsageError for several batch sizes."""
        from zsprompt._utils.progress import terminal
        from zsprompt.experiments.spec import Resources

        sizes = [o.read(value).get("batch_size") for o, value in self._singles() if o.name in ("device", "batch_size")]
        given = sorted({size for size in sizes if size is not None})
        if len(given) > 1:
            raise UsageError(f"expected one batch_size for all runs, found {' and '.join(map(str, given))}")
        return Resources(cache=self.cache or "default", batch_size=given[0] if given else None, progress=terminal)

    def _singles(self) -> list[tuple[RunOption, Any]]:
        return [(o, value) for o in _ALL for value in _listed(self.values.get(o.name)) if o.name in self.values]


_ALL = (*RUN_OPTIONS, *OLD_SPELLINGS)
_OLD_NAME = "zsprompt.old_name"
"""Key of a context's meta: what to say about the old name of the command."""

_SLOWEST = {"dataset": 0, "model": 1, "strategy": 2, "prompts": 3}


def takes_run(
    *,
    repeated: bool = False,
    required: Sequence[str] = (),
    leave_out: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
    defaults: Mapping[str, str] | None = None,
    old: Sequence[Old] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command function the options of a run. It takes them as its first parameter, a GivenRun.

    The decorated command has two attributes for tests: `left_out` and `old`, as given here.

    Args:
        repeated: whether options may be given several times.
        required: options that must be given.
        leave_out: fields of RunSpec that the command does not use, each with the reason. An option that sets only such
            fields is left out.
        hidden: options that --help does not show, because --dataset takes the same fields.
        defaults: what --help states as the default of an option, where the command has its own.
        old: old spellings of the command's own options.
    """
    reasons = dict(leave_out or {})
    options = [o for o in _ALL if set(o.sets) - reasons.keys()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        taken = {parameter.name for parameter in own} | {one.name for one in old}
        given = [o.parameter(repeated, reasons, hidden, defaults) for o in options if o.name not in taken]
        if required:
            given = [p.replace(default=inspect.Parameter.empty) if p.name in required else p for p in given]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            run = _given({o.name: values.pop(o.name) for o in options if o.name not in taken})
            context = values.pop("context")
            cache = cache_folder(context, values.pop("cache"))
            old_values = _given({one.name: values.pop(one.name) for one in old})
            of_command = [one for one in old if one.name in old_values]
            _note_old_spellings(context.meta.get(_OLD_NAME), [o for o in OLD_SPELLINGS if o.name in run], of_command)
            command(GivenRun(run, cache, old_values, reasons, typed(context)), **values)

        _show(wrapper, _arranged([*given, *(one.parameter() for one in old)], own, CacheFolder))
        wrapper.left_out, wrapper.old = reasons, tuple(old)  # type: ignore[attr-defined]
        return wrapper

    return decorate


def _note_old_spellings(name: str | None, of_run: Sequence[RunOption], of_command: Sequence[Old]) -> None:
    """Print one line that names the new spellings, and the new name of the command if its old one was used."""
    pairs = [*((o.flag, o.now) for o in of_run), *((one.flag, one.now) for one in of_command)]
    parts = [name] if name else []
    if pairs:
        parts.append("old spellings: " + ", ".join(f"{flag} is now `{now}`" for flag, now in pairs))
    if parts:
        note(f"note: {'; '.join(parts)}")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of options that were given."""
    return {name: value for name, value in values.items() if value is not None and value is not False and value != []}


def _arranged(run: list[inspect.Parameter], own: list[inspect.Parameter], cache: Any) -> list[inspect.Parameter]:
    """The parameters of the command and of a run, in the order of the panels."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [parameter.replace(kind=keyword) for parameter in own]
    first = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
    others = [parameter for parameter in own if parameter not in first]
    cached = inspect.Parameter("cache", keyword, default=None, annotation=cache)
    order = {None: 0, DATA: 1, CAPTIONS: 2, DECISIONS: 3, COMPUTATION: 4, OUTPUT: 5}
    context = inspect.Parameter("context", keyword, annotation=typer.Context)
    return [context, *sorted([*first, *run, *others, cached], key=lambda parameter: order.get(_panel(parameter), 3))]


def _panel(parameter: inspect.Parameter) -> str | None:
    panel: str | None = parameter.annotation.__metadata__[0].rich_help_panel
    return panel


def _show(wrapper: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Show typer these parameters instead of the function's own."""
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def renamed(command: Callable[..., None], old: str, new: str) -> Callable[..., None]:
    """`command`, which takes the options of a run, under its old name. Its notice names the new one."""

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        values["context"].meta[_OLD_NAME] = f"`zsprompt {old}` is now `zsprompt {new}`; the old name still works"
        command(**values)

    _show(wrapper, list(inspect.signature(command, eval_str=True).parameters.values()))
    return wrapper


def cache_folder(context: typer.Context, given: Path | None) -> Path | None:
    """--cache after the command, else before it; None for the default."""
    before = context.find_root().params.get("cache")
    return given or (Path(before) if before else None)  # some versions of typer keep the text


def read_family(
    text: str | None, kind: type[Any], flag: str, *, head: str = "", old: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The fields of a dataclass that "field=value,…" and old spellings set.

    Args:
        text: the option's value; None if it was not given.
        kind: the dataclass.
        flag: the option, for messages.
        head: the field that a first part without "=" stands for.
        old: values of old spellings, by field.

    Raises:
        UsageError, UnknownName: no such field, a field twice, or a value of another type.
    """
    parts = text.split(",") if text else []
    if parts and head and "=" not in parts[0]:
        parts[0] = f"{head}={parts[0]}"
    parts += [f"{name}={value}" for name, value in (old or {}).items()]
    settings = split_fields(parts, f"{flag} {','.join(parts)}")
    values = construct(kind, settings, name=flag)
    return {name: getattr(values, name) for name in settings}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _merged(parts: Sequence[tuple[RunOption, Fields]]) -> dict[str, Any]:
    """All fields in one dictionary; parts of --llm are joined. Raises UsageError for a field that two options set."""
    merged: dict[str, Any] = {}
    by: dict[str, str] = {}
    for o, values in parts:
        for name, value in values.items():
            if name == "llm" and name in merged:
                merged[name] += f",{value}"
            elif name in merged:
                raise UsageError(f"expected {name} once, found it in {by[name]} and in {o.flag}")
            else:
                merged[name], by[name] = value, o.flag
    return merged
