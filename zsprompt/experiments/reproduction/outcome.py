"""What became of a table: our numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zsprompt.evaluation.result import BEST, Result
from zsprompt.experiments.protocols import Protocol
from zsprompt.experiments.reproduction.tables import Ground, Settings, Table

COUNTS = frozenset(("labels", "pictures to learn from", "pictures to test on", "positives"))
"""Metrics that are whole numbers; all others are shares, 0..1."""

Measures = Mapping[tuple[str | None, str], float]
"""Numbers by (label, metric); the label is None for all labels together."""

_OF_ALL: Mapping[str, Callable[[Result], float]] = {
    "mAP": lambda result: result.mAP,
    "seed_mAP": lambda result: result.seed_mAP,
    "sample F1": lambda result: result.f1.sample,
    **{f"F1@{k}": lambda result, k=k: result.best[k].f1 for k in BEST},  # type: ignore[misc]
    **{f"F1@{k}>0.5": lambda result, k=k: result.best[k].passing for k in BEST},  # type: ignore[misc]
    "F1": lambda result: result.f1.sample,
    "positives": lambda result: sum(result.positives),
}

METRICS = frozenset((*_OF_ALL, "precision", "recall", *COUNTS))
"""What a table may ask for."""


@dataclass(frozen=True)
class Cell:
    """One row of ours in one column.

    Attributes:
        row: its position in the table.
        column: its name.
        settings: what it is made of.
        measures: a seed each; empty where it failed or its data are not there.
        error: why it failed, one line.
        missing: which data are not there, one line.
    """

    row: int
    column: str
    settings: Settings
    measures: tuple[Measures, ...] = ()
    error: str = ""
    missing: str = ""

    def values(self, label: str | None, metric: str) -> list[float]:
        """A number a seed, those that there are."""
        found = [measures[label, metric] for measures in self.measures if (label, metric) in measures]
        return [value for value in found if not np.isnan(value)]


@dataclass(frozen=True)
class Reproduction:
    """A table with our cells.

    Attributes:
        table: what it is of.
        on: "real" data or "scenes".
        cells: ours.
        notes: what a reader must know, a sentence each.
        comparable: whether ours are of the same data and model as the published numbers, all of them.
    """

    table: Table
    on: Ground
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    comparable: bool = False

    def cell(self, row: int, column: str) -> Cell | None:
        """Ours, if there is one."""
        return next((cell for cell in self.cells if (cell.row, cell.column) == (row, column)), None)

    @property
    def failed(self) -> list[Cell]:
        """Cells that have an error."""
        return [cell for cell in self.cells if cell.error]

    def records(self) -> list[dict[str, Any]]:
        """A flat dict for each row, column and metric with a number, published or ours; shares are 0..1.

        `ours` is the mean over seeds, `deviation` their standard deviation (n − 1), None for a single one.
        """
        found = []
        for number, row in enumerate(self.table.rows):
            for column in self.table.columns:
                cell = self.cell(number, column)
                for metric in self.table.metrics:
                    published = row.published.get((column, metric))
                    if cell is not None or published is not None:
                        found.append(self._record(number, column, metric, published, cell))
        return found

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
        """What `zsprompt reproduce --json` prints."""
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
    """Every metric of a result, and of each label those that a label has; ceilings of F1@k as "F1@3 ceiling"."""
    found: dict[tuple[str | None, str], float] = {(None, name): make(result) for name, make in _OF_ALL.items()}
    found |= {(None, f"F1@{k} ceiling"): result.best[k].ceiling for k in BEST}
    found |= {(None, f"F1@{k}>0.5 ceiling"): result.best[k].passing_ceiling for k in BEST}
    found |= dict(zip([(None, "precision"), (None, "recall")], _means_over_pictures(result), strict=True))
    f1 = result.f1
    columns = {"mAP": result.ap, "precision": f1.precision, "recall": f1.recall, "F1": f1.f1}
    for name, values in {**columns, "positives": np.array(result.positives)}.items():
        found |= {(label, name): float(value) for label, value in zip(result.labels, values, strict=True)}
    return found


def counts_of(protocol: Protocol) -> Measures:
    """How many labels and pictures a protocol has."""
    return {
        (None, "labels"): len(protocol.test.labels),
        (None, "pictures to learn from"): len(protocol.learn.images),
        (None, "pictures to test on"): len(protocol.test.images),
    }


def _means_over_pictures(result: Result) -> tuple[float, float]:
    """Precision and recall of each picture's decisions, meaned over pictures; 0/0 is 0."""
    known, present = result.targets != -1, result.targets == 1
    said = result.prediction.decisions & known
    right = (said & present).sum(axis=1)
    precision = right / np.maximum(said.sum(axis=1), 1)
    recall = right / np.maximum(present.sum(axis=1), 1)
    return float(precision.mean()), float(recall.mean())
