"""Plans: the rows of an ablation, from lists of values or from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_args, get_type_hints

from zsprompt._utils.files import read_fault, read_text
from zsprompt._utils.validate import Must, Section, first_fault
from zsprompt.errors import PlanError, UnknownName, UsageError, ZspromptError
from zsprompt.experiments.spec import RunSpec
from zsprompt.prompts import PromptSet, parse_toml

Row = RunSpec
"""One row of a plan."""

_LABEL_LISTS = ("labels", "without")  # a tuple of names is one value here


class _Plan(TypedDict, total=False):
    all: dict[str, Any]
    row: Annotated[list[dict[str, Any]], Must("at least one section", bool)]


def grid(**axes: Any) -> list[RunSpec]:
    """One row per combination of values. Each argument is a field of RunSpec: a value, or a list of values.

    The first argument varies slowest: grid(dataset="scenes", strategy=["top-all", "per-label"], prompts=["bare"]).
    A tuple is a list of values too, except for `labels` and `without`, where it is one value.

    Raises:
        UnknownName: no such field.
        UsageError: an invalid value.
    """
    values = [_values(name, value) for name, value in axes.items()]
    return [run_of(dict(zip(axes, combination, strict=True))) for combination in product(*values)]


def run_of(values: Mapping[str, Any]) -> RunSpec:
    """The run with these fields. Raises UnknownName for another field, and UsageError for an invalid value."""
    known = [part.name for part in fields(RunSpec)]
    for name in values:
        if name not in known:
            raise UnknownName("field of a run", str(name), known)
    return RunSpec(**values)


def read_plan(path: Path | str) -> list[RunSpec]:
    """The rows of a TOML file.

    A [[row]] section holds fields of RunSpec; lists give one row per combination. [all] holds fields of all rows.

    Raises:
        PlanError: the file is missing, is no TOML or has no rows, or a field is unknown or of the wrong type.
    """
    path = Path(path)
    try:
        data = parse_toml(path, read_text(path))
    except (OSError, ValueError, ZspromptError) as error:
        raise PlanError(f"cannot read plan {path}: {read_fault(path, error)}") from None
    if "row" not in data or first_fault(data, _Plan):
        raise PlanError(f"expected [[row]] sections and at most one [all] in {path}, found {', '.join(data) or 'none'}")
    plan: list[RunSpec] = []
    hints = Section({key: _axis(hint) for key, hint in get_type_hints(RunSpec).items()}, {"strategy", "dataset"})
    for number, row in enumerate(data["row"], 1):
        where, values = f"{path}, row {number}", data.get("all", {}) | row
        if fault := first_fault(values, hints):
            raise PlanError(f"{where}: {fault}")
        try:
            plan += grid(**values)
        except UsageError as error:
            raise PlanError(f"{where}: {error}") from None
    return plan


def title(row: RunSpec) -> str:
    """A short title of a row."""
    model = row.model if isinstance(row.model, str) or row.model is None else row.model.name
    strategy = row.strategy if isinstance(row.strategy, str) else type(row.strategy).__name__
    named = ("strategy", "dataset", "prompts", "model", "root")
    changed = {name: value for name, value in row.to_dict().items() if name not in named}
    options = [name if value is True else value for name, value in changed.items()]  # "skip_bad", not "True"
    prompts = row.prompts.name if isinstance(row.prompts, PromptSet) else row.prompts
    return " ".join(_word(part) for part in (strategy, prompts, model, row.dataset_name, *options) if part)


def _axis(hint: Any) -> Any:
    """The hint of a field in a plan: a value that TOML can hold, or a list of them."""
    kind = next(kind for kind in (str, bool, int) if kind in (hint, *get_args(hint)))
    return kind | Annotated[list[kind], Must("a list of them", bool)]  # type: ignore[valid-type]


def _word(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _values(name: str, value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, tuple) and name not in _LABEL_LISTS else [value]
