"""The page of two runs: changes per label with their intervals, and images with changed decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zsprompt._utils.progress import Progress
from zsprompt._utils.text import counted
from zsprompt.data.images import ImageRef
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.measures import shown_in
from zsprompt.evaluation.result import Result
from zsprompt.metrics import Difference
from zsprompt.report.figures import change_bars
from zsprompt.report.gallery import OUTLINE, comparison_gallery
from zsprompt.report.page import Card, Page, Report, Section, Table, fact, strategy_name
from zsprompt.report.terminal import by_change, points, printable, range_text, short, text_table


def comparison_report(
    comparison: Comparison,
    names: tuple[str, str],
    images: Mapping[str, ImageRef],
    progress: Progress,
    notes: Sequence[str],
) -> Report:
    """The page of the changes from a first run to a second; `names` are their folders, the rest as for run_report."""
    first, second = comparison.first, comparison.second
    figure = change_bars(comparison)
    measures = _measure_cards(first, second)
    page = Page(
        title=f"{strategy_name(second.recipe)} against {strategy_name(first.recipe)}",
        subtitle=f"{names[1]} against {names[0]}: {counted(len(second.images), 'image')} of "
        f"{second.recipe['dataset']} {second.recipe['split']}, {counted(len(second.labels), 'label')}",
        cards=[_change_card(comparison), *measures[:1], _decisions_card(comparison)],
        more=measures[1:],
        sections=[
            Section("changes", "Changes per label", figures=[figure], tables=[_change_table(comparison)]),
            Section(
                "gallery",
                "Changed decisions",
                texts=[
                    "For each label, up to twelve images whose decision became right and up to twelve whose decision "
                    "became wrong: those whose rank changed most.",
                    *([] if second.prediction.windows is None else [f"{OUTLINE[:-1]} in the second run."]),
                ],
                notes=notes,
                gallery=comparison_gallery(comparison, images, progress),
            ),
            Section("provenance", "Provenance", tables=[_provenance_table(comparison)]),
        ],
    )
    return Report(page, [figure], _text(comparison), _facts(comparison))


def _change_card(comparison: Comparison) -> Card:
    change, runs = comparison.mAP, {"first": comparison.first, "second": comparison.second}
    remarks = (
        f"95 % interval {_range(change)}, p {_p(change.p)}, paired bootstrap",
        *(f"{name} run {short(run.mAP)}, interval {range_text(*run.mAP_interval)}" for name, run in runs.items()),
    )
    return Card("change of mAP", points(change.value), remarks)


def _decisions_card(comparison: Comparison) -> Card:
    right, wrong = int((comparison.flips == 1).sum()), int((comparison.flips == -1).sum())
    images = int((comparison.flips != 0).any(axis=1).sum())
    remark = f"became right (+) or wrong (−), on {counted(images, 'image')}"
    return Card("decisions", f"+{right:,} −{wrong:,}", (remark,))


def _measure_cards(first: Result, second: Result) -> list[Card]:
    """Cards for the changes of the measures other than mAP."""
    cards = []
    for measure in shown_in("comparison"):
        before, now = measure.of(first), measure.of(second)
        if before is not None and now is not None:
            remark = f"first run {measure.text(before)}, second run {measure.text(now)}"
            cards.append(Card(f"change of {measure.title}", points(now - before), (remark,)))
    return cards


def _change_table(comparison: Comparison) -> Table:
    header = ["label", "first AP", "second AP", "change", "95 % interval", "p adjusted", "now right", "now wrong"]
    return Table("Labels, the largest change first, in percent", header, _label_rows(comparison))


def _label_rows(comparison: Comparison) -> list[list[str]]:
    """Per label both APs, the change with interval and p, and the numbers of decisions that became right and wrong."""
    first, second = comparison.first, comparison.second
    rows = []
    for c in by_change(comparison):
        change, flips = comparison.ap[c], comparison.flips[:, c]
        rows.append(
            [
                printable(second.labels[c]),
                short(first.ap[c]),
                short(second.ap[c]),
                points(change.value),
                _range(change),
                _p(float(comparison.adjusted[c])),
                f"{int((flips == 1).sum()):,}",
                f"{int((flips == -1).sum()):,}",
            ]
        )
    return rows


def _provenance_table(comparison: Comparison) -> Table:
    first, second = comparison.first.recipe, comparison.second.recipe
    rows = [[*fact(key, first.get(key)), fact(key, second.get(key))[1]] for key in {**first, **second}]
    return Table("Provenance of both runs", ["field", "first", "second"], rows, words=3)


def _text(comparison: Comparison) -> str:
    first, second = comparison.first, comparison.second
    header = ["label", "first", "second", "change", "95 % interval", "p adj.", "right", "wrong"]
    table = text_table(header, _label_rows(comparison))
    whole = comparison.mAP
    right, wrong = int((comparison.flips == 1).sum()), int((comparison.flips == -1).sum())
    flipped = int((comparison.flips != 0).any(axis=1).sum())
    return "\n".join(
        [
            table,
            "",
            f"mAP    {short(first.mAP)} → {short(second.mAP)}: {points(whole.value)}, 95 % interval {_range(whole)}, "
            f"p {_p(whole.p)}",
            f"decisions: {right:,} became right and {wrong:,} wrong, on {flipped:,} of "
            f"{counted(len(second.images), 'image')}",
        ]
    )


def _facts(comparison: Comparison) -> dict[str, Any]:
    def facts(change: Difference) -> dict[str, float | None]:
        values = {"change": change.value, "low": change.low, "high": change.high, "p": change.p}
        return {key: None if np.isnan(value) else value for key, value in values.items()}

    labels = comparison.second.labels
    flips = {
        comparison.second.images[n]: {
            labels[c]: "right" if comparison.flips[n, c] > 0 else "wrong" for c in np.flatnonzero(comparison.flips[n])
        }
        for n in np.flatnonzero((comparison.flips != 0).any(axis=1))
    }
    adjusted = [None if np.isnan(p) else float(p) for p in comparison.adjusted]
    by_label = zip(labels, comparison.ap, adjusted, strict=True)
    return {
        "mAP": facts(comparison.mAP),
        "ap": {label: facts(change) | {"p_adjusted": p} for label, change, p in by_label},
        "flips": flips,
        "first": dict(comparison.first.recipe),
        "second": dict(comparison.second.recipe),
    }


def _range(change: Difference) -> str:
    return f"{points(change.low)} to {points(change.high)}"


def _p(value: float) -> str:
    return "–" if np.isnan(value) else "<0.01" if value < 0.01 else f"{value:.2f}"
