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
from zsprompt.report.charts import Figure
from zsprompt.report.figures import SIGNIFICANT, forest, label_grid, significant
from zsprompt.report.page import Card, Fold, Page, Report, Section
from zsprompt.report.tables import JSON, legend, page_table, row_names
from zsprompt.report.terminal import printable, short


def ablation_report(folder: Path) -> Report:
    """The page of an ablation.

    Raises:
        ResultError: the table or the result of a row is missing or damaged.
    """
    records = _read_records(folder)
    done = [record for record in records if not record["error"]]
    names = row_names(records)
    results = {record["row"]: load_result(folder / record["folder"]) for record in done}
    bars, grids = forest(records, names), _label_grids(records, names, results)
    page = Page(
        title=f"Ablation of {counted(len(records), 'row')}",
        subtitle=", ".join(sorted({f"{record['dataset']} {record['split']}" for record in done})) or "no row measured",
        cards=_cards(records, names),
        sections=[
            Section("table", "Rows", [legend(records)], figures=[bars], tables=[page_table(records)]),
            *([Section("labels", "Labels", figures=grids)] if grids else []),
            *([Section("provenance", "Provenance", folded=_recipes(names, results))] if results else []),
        ],
    )
    text = f"{counted(len(records), 'row')}, {len(records) - len(done)} failed"
    return Report(page, [bars, *grids], text, {"rows": records})


def _recipes(names: Sequence[str], results: Mapping[int, Result]) -> list[Fold]:
    return [Fold(f"Row {names[number - 1]}", to_json(dict(result.recipe))) for number, result in results.items()]


def _cards(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Card]:
    """The best row, how many rows differ from the row they are compared with, and how many were measured."""
    done = [record for record in records if not record["error"]]
    if not done:
        return [Card("measured rows", f"0 of {len(records)}", ("all failed",))]
    best = max(done, key=lambda record: record["mAP"] or 0.0)
    changes = [record["change"] for record in done if significant(record)]
    better, worse = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    failed = len(records) - len(done)
    return [
        Card("best mAP", short(np.nan if best["mAP"] is None else best["mAP"]), (f"row {names[best['row'] - 1]}",)),
        Card("changed rows", f"+{better} −{worse}", (f"better (+), worse (−) than the first, p below {SIGNIFICANT}",)),
        Card("measured rows", f"{len(done)} of {len(records)}", (f"{failed} failed",) if failed else ()),
    ]


def _label_grids(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], results: Mapping[int, Result]
) -> list[Figure]:
    """One grid of rows by labels per data set, with the rows that failed on it."""
    by_data: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for number, result in results.items():
        by_data.setdefault((str(result.recipe["dataset"]), result.labels), []).append(number)
    measured = [data for data, _ in by_data]
    grids = []
    for place, ((data, labels), numbers) in enumerate(by_data.items()):
        # a failed row has no labels; one that names none of the data sets stands in each grid
        failed = [r["row"] for r in records if r["error"] and (r["dataset"] == data or r["dataset"] not in measured)]
        shown = sorted([*numbers, *failed])
        none = np.full(len(labels), np.nan)
        ap: Doubles = np.stack([results[number].ap if number in results else none for number in shown])
        reasons = {shown.index(n): f"failed: {printable(records[n - 1]['error'])}" for n in failed}
        again = measured[:place].count(data)  # the same data set with other labels
        title = f"{data} {again + 1}" if again else data
        grids.append(label_grid(labels, [names[number - 1] for number in shown], ap, title, reasons))
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
