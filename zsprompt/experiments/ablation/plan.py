"""Plans: what the rows of an ablation are, from lists of values or from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from zsprompt._utils.files import read_text
from zsprompt.data import Dataset
from zsprompt.encoders import Encoder
from zsprompt.errors import PlanError, ZspromptError
from zsprompt.prompts import parse_toml
from zsprompt.strategies import Strategy

_NUMBERS = ("limit", "sample", "seed")


@dataclass(frozen=True)
class Row:
    """One line of a plan: what `zsprompt run` would be given, or the objects themselves.

    Attributes:
        strategy: as for load_strategy, or a strategy.
        dataset: as for load_dataset, or a Dataset.
        prompts: a prompt set for a strategy by name; the strategy's own where None.
        model: as for load_encoder, or an encoder; the data set's own where None.
        root: the data set's folder.
        split: which of its lists.
        names: "readable" or "raw".
        difficult: what a left-out target counts as.
        captions: a caption bank for llm; the data set's own where None.
        thresholds: a thresholds file.
        limit: only the first pictures.
        sample: only so many, drawn so that every label keeps its share.
        seed: of that draw.
    """

    strategy: str | Strategy
    dataset: str | Dataset
    prompts: str | None = None
    model: str | Encoder | None = None
    root: str | None = None
    split: str | None = None
    names: str = "readable"
    difficult: str = "ignore"
    captions: str | None = None
    thresholds: str | None = None
    limit: int | None = None
    sample: int | None = None
    seed: int = 0


def grid(**axes: Any) -> list[Row]:
    """Rows for every combination; each argument is a field of Row, a list of values multiplies.

    The first argument varies slowest: grid(dataset="scenes", strategy=["top-all", "per-label"], prompts=["bare"]).
    """
    values = [value if isinstance(value, list | tuple) else [value] for value in axes.values()]
    return [Row(**dict(zip(axes, combination, strict=True))) for combination in product(*values)]


def read_plan(path: Path | str) -> list[Row]:
    """The rows of a TOML file: [[row]] sections with Row's fields, lists multiply; [all] holds what all rows share.

    Raises:
        PlanError: no file, no TOML, no rows, an unknown field or a value of the wrong kind.
    """
    path = Path(path)
    try:
        data = parse_toml(path, read_text(path))
    except (OSError, ValueError, ZspromptError) as error:
        raise PlanError(f"cannot read plan {path}: {getattr(error, 'strerror', None) or error}") from None
    shared, rows = data.get("all", {}), data.get("row", [])
    sections = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in [shared, *rows])
    if set(data) - {"all", "row"} or not sections:
        raise PlanError(f"expected [[row]] sections and perhaps one [all] in {path}, found {', '.join(data) or 'none'}")
    found: list[Row] = []
    for number, row in enumerate(rows, 1):
        found += grid(**_checked(f"{path}, row {number}", shared | row))
    return found


def title(row: Row) -> str:
    """A row in a few words."""
    model = row.model if isinstance(row.model, str) or row.model is None else row.model.name
    data = row.dataset if isinstance(row.dataset, str) else row.dataset.name
    strategy = row.strategy if isinstance(row.strategy, str) else type(row.strategy).__name__
    options = [getattr(row, f.name) for f in fields(Row)[5:] if getattr(row, f.name) != f.default]
    return " ".join(str(part) for part in (strategy, row.prompts, model, data, *options) if part)


def _checked(where: str, row: Mapping[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(Row)}
    for key, value in row.items():
        if key not in known:
            raise PlanError(f"{where}: unknown field {key!r}; expected one of {', '.join(sorted(known))}")
        kind = int if key in _NUMBERS else str
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(one, kind) and not isinstance(one, bool) for one in values):
            raise PlanError(f"{where}: expected {key} to be {kind.__name__} or a list of them, found {value!r}")
    missing = {"strategy", "dataset"} - set(row)
    if missing:
        raise PlanError(f"{where}: expected a {' and a '.join(sorted(missing))}, found none")
    return dict(row)
