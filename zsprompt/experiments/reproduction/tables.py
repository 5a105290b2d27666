"""The tables of the sources as values: their rows, published numbers, and the settings of a row of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from zsprompt.errors import PlanError, UnknownName
from zsprompt.prompts import parse_toml

Ground = Literal["real", "scenes"]
"""Where a table is measured: on the data of its source, or on drawn scenes."""

ProtocolName = Literal["conventional", "few-shot", "zero-shot", "zsl", "gzsl", "single-to-multi", "untrained"]
"""See zsprompt.experiments.protocols; "untrained" has pictures to test on only."""

_FILE = "tables.toml"
_TABLE_KEYS = {"name", "about", "source", "metrics", "notes", "stand_ins", "column", "row", *get_args(Ground)}
_COLUMN_KEYS = {"name", *get_args(Ground)}
_ROW_KEYS = {"name", "published", "label", "columns", *get_args(Ground)}


@dataclass(frozen=True)
class Settings:
    """Everything that one measurement is made of, but for its seed.

    Attributes:
        test: "NAME SPLIT" of the data set to measure on.
        learn: the same of the one to learn from.
        protocol: see ProtocolName.
        fraction: of few-shot learning.
        unseen: labels that training must not know of, or how many of them, drawn with seed 0.
        seen: labels to learn, or how many; None for all others.
        overlapping: whether labels of both data sets stay.
        pictures: at most so many to learn from, drawn so that every label keeps its share.
        difficult: what a left-out target counts as in measures.
        adapter: what to train, as for load_kind.
        strategy: what to measure instead, as for load_strategy.
        counts: measure nothing, count labels and pictures.
        prompts: how labels are worded; the default of the adapter or strategy where None.
        schedule: (field, value) pairs of Schedule that differ from the kind's own.
        epochs: at most so many.
        model: as for load_encoder.
        pyramid: fields of a pyramid around it ("d=2,levels=top").
        texts: "random" for RandomTexts around it.
    """

    test: str
    learn: str | None = None
    protocol: ProtocolName = "conventional"
    fraction: float | None = None
    unseen: tuple[str, ...] | int = ()
    seen: tuple[str, ...] | int | None = None
    overlapping: bool = True
    pictures: int | None = None
    difficult: str = "ignore"
    adapter: str | None = None
    strategy: str | None = None
    counts: bool = False
    prompts: str | None = None
    schedule: tuple[tuple[str, Any], ...] = ()
    epochs: int | None = None
    model: str = "ViT-B/32"
    pyramid: str | None = None
    texts: Literal["own", "random"] = "own"

    @property
    def encoder(self) -> str:
        """What load_encoder takes."""
        return f"pyramid,{self.pyramid}:{self.model}" if self.pyramid else self.model

    @property
    def data(self) -> tuple[str, ...]:
        """The data sets it needs."""
        return (self.test,) if self.learn is None or self.protocol == "untrained" else (self.learn, self.test)

    @property
    def what(self) -> str:
        """What is measured, in a word."""
        return self.adapter or self.strategy or "counts"


_SETTINGS_KEYS = {field.name for field in fields(Settings)}


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        name: the words of the source, or ours.
        published: numbers as printed, by (column, metric).
        settings: of our measurements by (ground, column); none where the row is not ours.
        label: the one label whose measures it holds; None for all.
    """

    name: str
    published: Mapping[tuple[str, str], float]
    settings: Mapping[tuple[str, str], Settings]
    label: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of a source.

    Attributes:
        name: "mmm-clip-2".
        about: what it compares.
        source: where it is printed.
        metrics: what is measured, the first is the one the source has.
        columns: their names, in order.
        rows: in order.
        notes: what a reader must know by ground, a sentence each.
        stand_ins: whether its real data are not the source's own: stand-ins for some, or a list that is not named.
    """

    name: str
    about: str
    source: str
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: Mapping[str, tuple[str, ...]]
    stand_ins: bool = False

    def columns_on(self, ground: str) -> list[str]:
        """Columns that something is measured for."""
        there = {column for row in self.rows for on, column in row.settings if on == ground}
        return [column for column in self.columns if column in there]

    @property
    def published_columns(self) -> list[str]:
        """Columns with published numbers."""
        there = {column for row in self.rows for column, _ in row.published}
        return [column for column in self.columns if column in there]


@cache
def tables() -> dict[str, Table]:
    """Every table there is, by name, in the order of the file that comes with the package."""
    path = Path(str(files(__package__).joinpath(_FILE)))
    data = parse_toml(path, path.read_text(encoding="utf-8"))
    return {table.name: table for table in read_tables(data)}


def find_table(name: str) -> Table:
    """The table of a name. Raises UnknownName."""
    if name not in tables():
        raise UnknownName("table", name, tables())
    return tables()[name]


def read_tables(data: Mapping[str, Any]) -> list[Table]:
    """Tables from their TOML: settings of a measurement are the file's, the table's, the column's and the row's.

    A later one wins. A column is measured on a ground that it names, a row on both unless it says `real = false`, in
    all columns unless it names its `columns`, and only if it has an adapter, a strategy or `counts`.

    Raises:
        PlanError: an unknown key, or a value that is none.
    """
    shared = {ground: data.get(ground, {}) for ground in get_args(Ground)}
    return [_table(section, shared) for section in data["table"]]


def _table(section: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> Table:
    name = section["name"]
    _check_keys(f"table {name}", section, _TABLE_KEYS)
    columns = section["column"]
    for column in columns:
        _check_keys(f"table {name}, column {column['name']}", column, _COLUMN_KEYS)
    metrics = tuple(section["metrics"])
    grounds = {g: [shared[g], section.get(g, {})] for g in get_args(Ground)}
    rows = tuple(_row(f"table {name}, row {row['name']}", row, columns, metrics, grounds) for row in section["row"])
    notes = section.get("notes", {})
    return Table(
        name=name,
        about=section["about"],
        source=section["source"],
        metrics=metrics,
        columns=tuple(column["name"] for column in columns),
        rows=rows,
        notes={ground: (*notes.get("all", ()), *notes.get(ground, ())) for ground in get_args(Ground)},
        stand_ins=section.get("stand_ins", False),
    )


def _row(
    where: str,
    row: Mapping[str, Any],
    columns: Sequence[Mapping[str, Any]],
    metrics: tuple[str, ...],
    grounds: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Row:
    own = {key: value for key, value in row.items() if key not in _ROW_KEYS}
    found: dict[tuple[str, str], Settings] = {}
    for ground, layers in grounds.items():
        last = row.get(ground, {})
        _check_keys(f"{where}, {ground}", _merged([*layers, own, last or {}]), _SETTINGS_KEYS)
        for column in columns:
            if ground not in column or last is False or column["name"] not in row.get("columns", [column["name"]]):
                continue
            merged = _merged([*layers, column[ground], own, last])
            if {"adapter", "strategy", "counts"} & set(merged):
                found[ground, column["name"]] = _settings(f"{where}, {ground}", merged)
    published: dict[tuple[str, str], float] = {}
    for column, value in row.get("published", {}).items():
        numbers = value if isinstance(value, dict) else {metrics[0]: value}
        published |= {(column, metric): float(number) for metric, number in numbers.items()}
    return Row(row["name"], published, found, row.get("label"))


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for layer in layers:
        schedule = found.get("schedule", {}) | layer.get("schedule", {})
        found |= layer
        found["schedule"] = schedule
    return found


def _settings(where: str, values: Mapping[str, Any]) -> Settings:
    _check_keys(where, values, _SETTINGS_KEYS)
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    frozen["schedule"] = tuple(sorted(values["schedule"].items()))
    if frozen.get("protocol", "conventional") not in get_args(ProtocolName):
        raise PlanError(f"{where}: unknown protocol {frozen['protocol']!r}")
    return Settings(**frozen)


def _check_keys(where: str, section: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(section) - known):
        raise PlanError(f"{where}: unknown key {unknown[0]!r}; expected one of {', '.join(sorted(known))}")
