"""The tables of the sources: their rows, published numbers, and the settings of our measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from zsprompt._utils.validate import Section, first_fault
from zsprompt.errors import PlanError, UnknownName
from zsprompt.prompts import parse_toml

Ground = Literal["real", "scenes"]
"""The data of a table: those of its source ("real"), or drawn scenes."""

ProtocolName = Literal["conventional", "few-shot", "zero-shot", "zsl", "gzsl", "single-to-multi", "untrained"]
"""See zsprompt.experiments.protocols; "untrained" has test images only."""

_FILE = "tables.toml"


@dataclass(frozen=True)
class Settings:
    """All settings of one measurement, except its seed.

    Attributes:
        test: "NAME SPLIT" of the test data set.
        learn: "NAME SPLIT" of the training data set.
        protocol: see ProtocolName.
        fraction: fraction of the training images for few-shot learning.
        unseen: labels that training must not use, or their number, drawn with seed 0.
        seen: labels to train on, or their number; None for all others.
        overlapping: whether labels of both data sets stay.
        pictures: maximum number of training images, a sample in which labels keep their frequency.
        difficult: how a left-out target counts in measures.
        adapter: the adapter to train, as for load_kind.
        strategy: the strategy to measure instead, as for load_strategy.
        counts: measure nothing, count labels and images.
        prompts: prompt set; None for the default of the adapter or strategy.
        schedule: (field, value) pairs of Schedule that differ from the default of the adapter.
        epochs: maximum number of epochs.
        model: as for load_encoder.
        pyramid: fields of a pyramid around the model ("d=2,levels=top").
        texts: "random" for RandomTexts around the model.
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
        """The model with its pyramid, as for load_encoder."""
        return f"pyramid,{self.pyramid}:{self.model}" if self.pyramid else self.model

    @property
    def data(self) -> tuple[str, ...]:
        """The data sets that the measurement needs."""
        return (self.test,) if self.learn is None or self.protocol == "untrained" else (self.learn, self.test)

    @property
    def what(self) -> str:
        """A name for what is measured."""
        return self.adapter or self.strategy or "counts"


_LAYER = Section(Section.of(Settings).hints)  # some of the settings
_COLUMN = Section({"name": str} | dict.fromkeys(get_args(Ground), dict[str, Any]), {"name"})
_ROW = Section(
    {"name": str, "published": dict[str, float | dict[str, float]], "label": str, "columns": list[str]}
    | dict.fromkeys(get_args(Ground), Literal[False] | dict[str, Any]),
    {"name"},
)
_TABLE = Section(
    {"name": str, "about": str, "source": str, "metrics": list[str], "column": list[dict[str, Any]]}
    | {"row": list[dict[str, Any]], "notes": dict[str, list[str]], "stand_ins": bool}
    | dict.fromkeys(get_args(Ground), dict[str, Any]),
    {"name", "about", "source", "metrics", "column", "row"},
)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: the name in the source, or ours.
        published: numbers as printed, by (column, metric).
        settings: settings of our measurements by (ground, column); empty for a row that is only published.
        label: the label that the row is about; None for all labels.
    """

    name: str
    published: Mapping[tuple[str, str], float]
    settings: Mapping[tuple[str, str], Settings]
    label: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of a source.

    Attributes:
        name: for example "mmm-clip-2".
        about: what it compares.
        source: where it is printed.
        metrics: names of the metrics, the one of the source first.
        columns: names of the columns.
        rows: the rows.
        notes: remarks for readers by ground, one sentence each.
        stand_ins: whether the real data differ from those of the source, or the source does not name its list.
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
        """The columns with measurements of ours."""
        measured = {column for row in self.rows for on, column in row.settings if on == ground}
        return [column for column in self.columns if column in measured]

    @property
    def published_columns(self) -> list[str]:
        """The columns with published numbers."""
        published = {column for row in self.rows for column, _ in row.published}
        return [column for column in self.columns if column in published]


@cache
def tables() -> dict[str, Table]:
    """All tables by name, in the order of the file in the package."""
    path = Path(str(files(__package__).joinpath(_FILE)))
    data = parse_toml(path, path.read_text(encoding="utf-8"))
    return {table.name: table for table in read_tables(data)}


def find_table(name: str) -> Table:
    """The table of a name. Raises UnknownName."""
    if name not in tables():
        raise UnknownName("table", name, tables())
    return tables()[name]


def read_tables(data: Mapping[str, Any]) -> list[Table]:
    """Read tables from their TOML.

    The settings of a measurement come from the file, the table, the column and the row; the later one wins. A column
    is measured on the grounds that it names. A row is measured on both grounds unless it sets `real = false` or
    `scenes = false`, and in all columns unless it names its `columns`. It needs an adapter, a strategy or `counts`.

    Raises:
        PlanError: a key is unknown or missing, or its value has another type.
    """
    shared = {ground: data.get(ground, {}) for ground in get_args(Ground)}
    return [_table(section, shared) for section in data["table"]]


def _table(section: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> Table:
    _check(f"table {section.get('name')}", section, _TABLE)
    name = section["name"]
    columns = section["column"]
    for column in columns:
        _check(f"table {name}, column {column.get('name')}", column, _COLUMN)
    metrics = tuple(section["metrics"])
    grounds = {g: [shared[g], section.get(g, {})] for g in get_args(Ground)}
    rows = tuple(_row(f"table {name}, row {row.get('name')}", row, columns, metrics, grounds) for row in section["row"])
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
    of_row = {key: value for key, value in row.items() if key not in _ROW.hints}
    _check(where, {key: value for key, value in row.items() if key in _ROW.hints}, _ROW)
    settings: dict[tuple[str, str], Settings] = {}
    for ground, layers in grounds.items():
        last = row.get(ground, {})
        _check(f"{where}, {ground}", _merged([*layers, of_row, last or {}]), _LAYER)
        for column in columns:
            if ground not in column or last is False or column["name"] not in row.get("columns", [column["name"]]):
                continue
            merged = _merged([*layers, column[ground], of_row, last])
            if {"adapter", "strategy", "counts"} & set(merged):
                _check(f"{where}, {ground}", merged, Settings)
                settings[ground, column["name"]] = Settings(**merged)
    published: dict[tuple[str, str], float] = {}
    for column, value in row.get("published", {}).items():
        numbers = value if isinstance(value, dict) else {metrics[0]: value}
        published |= {(column, metric): float(number) for metric, number in numbers.items()}
    return Row(row["name"], published, settings, row.get("label"))


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of Settings; in `schedule`, the layers are merged key by key."""
    schedule: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for layer in layers:
        schedule |= layer.get("schedule", {})
        merged |= {key: tuple(value) if isinstance(value, list) else value for key, value in layer.items()}
    return merged | {"schedule": tuple(sorted(schedule.items()))}


def _check(where: str, value: object, hint: Any) -> None:
    if fault := first_fault(value, hint):
        raise PlanError(f"{where}: {fault}")
