"""Outcomes: the measures of our rows next to the published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zsprompt.evaluation.measures import LABEL_MEASURES, shown_in
from zsprompt.evaluation.result import Result
from zsprompt.experiments.protocols import Protocol
from zsprompt.experiments.reproduction.tables import Ground, Settings, Table

COUNTS = frozenset(("labels", "pictures to learn from", "pictures to test on", "positives"))
"""Metrics that are counts; all others are fractions, 0..1."""

Measures = Mapping[tuple[str | None, str], float]
"""Numbers by (label, metric); the label is None for all labels together."""

_BY_LABEL = [measure for measure in LABEL_MEASURES if measure.metric]

METRICS = frozenset(
    (*(measure.title for measure in shown_in("reproduction")), *(measure.metric for measure in _BY_LABEL), *COUNTS)
)
"""The metrics that a table may name."""


@dataclass(frozen=True)
class Cell:
    """Our measurement for one row and one column.

    Attributes:
        row: position of the row in the table.
        column: name of the column.
        settings: settings of the measurement.
        measures: measures per seed; empty where it failed or its data are missing.
        error: why it failed, in one line.
        missing: which data are missing, in one line.
    """

    row: int
    column: str
    settings: Settings
    measures: tuple[Measures, ...] = ()
    error: str = ""
    missing: str = ""

    def values(self, label: str | None, metric: str) -> list[float]:
        """One number per seed, without undefined ones."""
        values = [measures[label, metric] for measures in self.measures if (label, metric) in measures]
        return [value for value in values if not np.isnan(value)]


@dataclass(frozen=True)
class Reproduction:
    """A table with our measurements.

    Attributes:
        table: the table of the source.
        on: "real" data or "scenes".
        cells: our measurements.
        notes: remarks for readers, one sentence each.
        comparable: whether all our numbers are for the same data and model as the published ones.
    """

    table: Table
    on: Ground
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    comparable: bool = False

    def cell(self, row: int, column: str) -> Cell | None:
        """Our measurement; None where there is none."""
        return next((cell for cell in self.cells if (cell.row, cell.column) == (row, column)), None)

    @property
    def failed(self) -> list[Cell]:
        """The cells that have an error."""
        return [cell for cell in self.cells if cell.error]

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per row, column and metric with a number, published or ours; fractions are 0..1.

        `ours` is the mean over seeds, `deviation` the standard deviation (n − 1), None for a single seed.
        """
        records = []
        for number, row in enumerate(self.table.rows):
            for column in self.table.columns:
                cell = self.cell(number, column)
                for metric in self.table.metrics:
                    published = row.published.get((column, metric))
                    if cell is not None or published is not None:
                        records.append(self._record(number, column, metric, published, cell))
        return records

    def _record(self, row: int, column: str, metric: str, published: float | None, cell: Cell | None) -> dict[str, Any]:
        values = cell.values(self.table.rows[row].label, metric) if cell else []
        settings = cell.settings if cell else None
        scale = 1 if metric in COUNTS else 100
        return {
            "table": self.table.name,
            "row": self.table.rows[row].name,
            "column": column,
            "metric": metric,
            "published": None if published is None else published / scale,
            "ours": float(np.mean(values)) if values else None,
            "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "seeds": len(values),
            "on": self.on,
            "comparable": self.comparable,
            **{key: getattr(settings, key, None) for key in ("adapter", "strategy", "protocol", "learn", "test")},
            "model": settings.encoder if settings else None,
            "texts": settings.texts if settings else None,
            "error": (cell.error or cell.missing or None) if cell else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """The output of `zsprompt reproduce --json`."""
        return {
            "table": self.table.name,
            "about": self.table.about,
            "source": self.table.source,
            "on": self.on,
            "comparable": self.comparable,
            "notes": list(self.notes),
            "rows": self.records(),
            "settings": [
                {"row": self.table.rows[cell.row].name, "column": cell.column, **asdict(cell.settings)}
                for cell in self.cells
            ],
        }


def measures_of(result: Result) -> Measures:
    """All metrics of a result and of its labels, by title; ceilings as "F1@3 ceiling"."""
    values: dict[tuple[str | None, str], float] = {}
    for measure in shown_in("reproduction"):
        value = measure.of(result)
        if value is not None:
            values[None, measure.title] = value
        if measure.ceiling:
            values[None, f"{measure.title} ceiling"] = measure.ceiling(result)
    for by_label in _BY_LABEL:
        if by_label.overall:
            values[None, by_label.metric] = by_label.overall(result)
        per_label = zip(result.labels, by_label.of(result), strict=True)
        values |= {(label, by_label.metric): float(value) for label, value in per_label}
    return values


def counts_of(protocol: Protocol) -> Measures:
    """The numbers of labels and images of a protocol."""
    return {
        (None, "labels"): len(protocol.test.labels),
        (None, "pictures to learn from"): len(protocol.learn.images),
        (None, "pictures to test on"): len(protocol.test.images),
    }
