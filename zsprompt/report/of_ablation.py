"""The page of an ablation: its table, figures, and the provenance of each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Doubles
from zsprompt._utils.files import read_fault, read_text, to_json
from zsprompt._utils.text import counted
from zsprompt.errors import ResultError
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import load_result
from zsprompt.experiments.ablation import COLUMNS
from zsprompt.report.drawing import Figure
from zsprompt.report.figures import forest, label_grid
from zsprompt.report.page import Card, Fold, Page, Report, Section
from zsprompt.report.tables import JSON, failures, legend, page_table, row_names
from zsprompt.report.terminal import short


def ablation_report(folder: Path) -> Report:
    """The page of an ablation.

    Raises:
        ResultError: the table or the result of a row is missing or damaged.
    """
    records = _read_records(folder)
    done = [record for record in records if not record["error"]]
    names = row_names(records)
    results = {record["row"]: load_result(folder / record["folder"]) for record in done}
    figures = [forest(records, names)] if done else []
    grids = _label_grids(records, names, results)
    failed = [Card("failed", str(len(records) - len(done)))] if len(done) < len(records) else []
    best = max(done, key=lambda record: record["mAP"] or 0.0, default=None)
    page = Page(
        title=f"Ablation of {counted(len(records), 'row')}",
        subtitle=", ".join(sorted({f"{record['dataset']} {record['split']}" for record in done})) or "no row measured",
        cards=[
            Card("rows", str(len(records))),
            *([Card("best mAP", short(best["mAP"]), (f"row {names[best['row'] - 1]}",))] if best else []),
            *failed,
        ],
        notes=failures(records),
        sections=[
            Section("table", "Table", texts=[legend(records)], tables=[page_table(records)], figures=figures),
            Section("labels", "Labels", figures=grids),
            Section(
                "provenance",
                "Provenance",
                folded=[
                    Fold(f"Row {names[number - 1]}", to_json(dict(result.recipe))) for number, result in results.items()
                ],
            ),
        ],
    )
    text = f"{counted(len(records), 'row')}, {len(records) - len(done)} failed"
    return Report(page, [*figures, *grids], text, {"rows": records})


def _label_grids(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], results: Mapping[int, Result]
) -> list[Figure]:
    """One grid of rows by labels per data set."""
    by_data: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for number, result in results.items():
        by_data.setdefault((str(result.recipe["dataset"]), result.labels), []).append(number)
    grids = []
    for (data, labels), numbers in by_data.items():
        ap: Doubles = np.stack([results[number].ap for number in numbers])
        grids.append(label_grid(labels, [names[number - 1] for number in numbers], ap, data))
    return grids


def _read_records(folder: Path) -> list[dict[str, Any]]:
    path = folder / JSON
    try:
        rows = json.loads(read_text(path))["rows"]
        records = [{column: row[column] for column in COLUMNS} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"cannot read {path}: {read_fault(path, error)}; run `zsprompt ablate` again with the same --out"
        ) from None
    if not records or not all(isinstance(value, _CELL) for record in records for value in record.values()):
        raise ResultError(f"expected rows of texts and numbers in {path}, found others; run `zsprompt ablate` again")
    return records


_CELL = (str, int, float, type(None))
