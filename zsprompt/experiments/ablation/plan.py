"""Plans: the rows of an ablation, from lists of values or from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

from zsprompt._utils.files import read_text
from zsprompt.errors import PlanError, UsageError, ZspromptError
from zsprompt.experiments.spec import RunSpec
from zsprompt.prompts import parse_toml

Row = RunSpec
"""One row of a plan."""

_LABEL_LISTS = ("labels", "without")  # a tuple of names is one value here
_KINDS = {"limit": int, "sample": int, "seed": int, "skip_bad": bool}


def grid(**axes: Any) -> list[RunSpec]:
    """One row per combination of values. Each argument is a field of RunSpec: a value, or a list of values.

    The first argument varies slowest: grid(dataset="scenes", strategy=["top-all", "per-label"], prompts=["bare"]).
    A tuple is a list of values too, except for `labels` and `without`, where it is one value.
    """
    values = [_values(name, value) for name, value in axes.items()]
    return [RunSpec(**dict(zip(axes, combination, strict=True))) for combination in product(*values)]


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
        raise PlanError(f"cannot read plan {path}: {getattr(error, 'strerror', None) or error}") from None
    shared, rows = data.get("all", {}), data.get("row", [])
    sections = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in [shared, *rows])
    if set(data) - {"all", "row"} or not sections:
        raise PlanError(f"expected [[row]] sections and at most one [all] in {path}, found {', '.join(data) or 'none'}")
    plan: list[RunSpec] = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        values = _checked(where, shared | row)
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
    options = [value for name, value in row.to_dict().items() if name not in named]
    return " ".join(_word(part) for part in (strategy, row.prompts, model, row.dataset_name, *options) if part)


def _word(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _values(name: str, value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, tuple) and name not in _LABEL_LISTS else [value]


def _checked(where: str, row: Mapping[str, Any]) -> dict[str, Any]:
    known = {part.name for part in fields(RunSpec)}
    for key, value in row.items():
        if key not in known:
            raise PlanError(f"{where}: unknown field {key!r}; expected one of {', '.join(sorted(known))}")
        kind = _KINDS.get(key, str)
        values = value if isinstance(value, list) else [value]
        if not values or not all(type(one) is kind for one in values):
            raise PlanError(f"{where}: expected {key} to be {kind.__name__} or a list of them, found {value!r}")
    missing = {"strategy", "dataset"} - set(row)
    if missing:
        raise PlanError(f"{where}: expected a {' and a '.join(sorted(missing))}, found none")
    return dict(row)
