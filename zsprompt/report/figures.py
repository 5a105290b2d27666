"""Figures of results: which numbers a chart shows. Labels stand in the order of the tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zsprompt import metrics
from zsprompt._utils.arrays import Doubles
from zsprompt._utils.text import counted
from zsprompt.adapters import Epoch
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.result import Result
from zsprompt.report.charts import Axis, Bar, Bars, Dot, Figure, Grid, Line, Panel, Panels, Point, Role, axis_around
from zsprompt.report.mistakes import mistaken_for, threshold_of
from zsprompt.report.terminal import best_first, by_change, points, printable, short

SIGNIFICANT = 0.05
"""A change with a smaller adjusted p-value is shown in colour."""

_PANELS = 40  # maximum number of labels in a grid of small plots; more would make the page slow
_POINTS = 150  # maximum number of points per curve: more are not visible
_NUMBERED = 30  # maximum number of columns of a heat map with numbers
_COLUMNS = 80  # maximum number of labels in the heat map of an ablation
_PERCENT = Axis("", 0, 105, 3)


def run_figures(result: Result, probabilities: Sequence[tuple[str, metrics.Reliability]]) -> list[Figure]:
    """All figures of one run; `probabilities` are named reliability curves."""
    figures = [ap_bars(result), precision_recall_curves(result), confusions(result), score_distributions(result)]
    return [*figures, reliability_curves(probabilities)] if probabilities else figures


def ap_bars(result: Result) -> Figure:
    """Average precision per label with its interval, and chance."""
    order, chance = best_first(result), metrics.prevalence(result.targets)
    rows = []
    for c in order:
        low, high = 100 * result.ap_interval[c]
        rows.append(
            Bar(printable(result.labels[c]), short(result.ap[c]), 100 * result.ap[c], low, high, 100 * chance[c])
        )
    best, worst = order[0], order[-1]
    return Figure(
        "average-precision",
        "Average precision per label with 95 % intervals; the orange marks show a random order.",
        f"Average precision of {counted(len(order), 'label')}, from {printable(result.labels[best])} with "
        f"{short(result.ap[best])} to {printable(result.labels[worst])} with {short(result.ap[worst])} %. "
        "The table has the numbers.",
        Bars(rows, Axis("average precision, %", 0, 100), filled=True),
    )


def precision_recall_curves(result: Result) -> Figure:
    """A small precision-recall curve per label, with a point for the decisions."""
    shown = _most_frequent(result)
    return Figure(
        "precision-recall",
        "Precision against recall in percent; the dot shows the decisions, the line shows chance."
        + _left_out(result, shown),
        f"Precision-recall curves of {counted(len(shown), 'label')}; decisions have a precision of "
        f"{short(result.f1.overall.OP)} and a recall of {short(result.f1.overall.OR)} % over all labels.",
        Panels([_precision_recall(result, label) for label in shown], "recall, %", "precision, %"),
    )


def _precision_recall(result: Result, label: int) -> Panel:
    recall, precision = metrics.precision_recall(result.prediction.scores, result.targets, label)
    chance = 100 * float((result.targets[:, label] == 1).mean())
    decided = 100 * float(result.f1.recall[label]), 100 * float(result.f1.precision[label])
    return Panel(
        printable(result.labels[label]),
        _PERCENT,
        _PERCENT,
        [Line(_thinned(100 * recall, 100 * precision))],
        [] if np.isnan([result.ap[label], *decided]).any() else [Dot(*decided)],
        [((0, chance), (100, chance))],
    )


def score_distributions(result: Result) -> Figure:
    """Scores of images with and without each label, and the threshold if there is one."""
    shown = _most_frequent(result)
    any_threshold = any(threshold_of(result, label) is not None for label in shown)
    threshold = "The orange line is the threshold." if any_threshold else "No threshold separates the decisions."
    return Figure(
        "scores",
        f"Scores of images with the label (blue) and without it (grey), as a share of each group. {threshold}"
        + _left_out(result, shown),
        f"Histograms of the scores of {counted(len(shown), 'label')}, for images with and without the label.",
        Panels([_scores(result, label) for label in shown], "score", "share of images"),
    )


def _scores(result: Result, label: int) -> Panel:
    scores, target = result.prediction.scores[:, label].astype(np.float64), result.targets[:, label]
    # the tails would squeeze everything else into one bar
    low, high = map(float, np.quantile(scores, [0.001, 0.999]))
    edges = np.linspace(low, high if high > low else low + 1, 31)
    groups: tuple[tuple[int, Role], ...] = ((0, "muted"), (1, "main"))
    lines = [Line(_histogram(scores[target == present], edges), role, filled=True) for present, role in groups]
    top = max((y for line in lines for _, y in line.points), default=0.0) or 1.0
    cut = threshold_of(result, label)
    if cut is not None and edges[0] <= cut <= edges[-1]:
        lines.append(Line([(cut, 0), (cut, 1.05 * top)], "other"))
    x = Axis("", float(edges[0]), float(edges[-1]), 3)
    return Panel(printable(result.labels[label]), x, Axis("", 0, 1.05 * top, 0), lines)


def _histogram(values: Doubles, edges: Doubles) -> list[Point]:
    """The outline of a histogram: shares of `values` between `edges`."""
    if not len(values):
        return []
    heights = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
    steps = zip(np.repeat(edges, 2), [0, *np.repeat(heights, 2), 0], strict=True)
    return [(float(x), float(y)) for x, y in steps]


def confusions(result: Result) -> Figure:
    """Which labels are false positives on images of which other labels."""
    positions, shares = mistaken_for(result)
    shown = [c for c in best_first(result) if c in positions]
    order = [positions.index(c) for c in shown]
    shares = shares[np.ix_(order, order)]
    names = [printable(result.labels[c]) for c in shown]
    numbers = [[f"{100 * share:.0f}" if share >= 0.1 else "" for share in row] for row in shares]
    more = (
        "" if len(shown) == len(result.labels) else f" Shown are the {len(shown)} labels with the most false positives."
    )
    return Figure(
        "confusions",
        "How often the label of the column is a false positive on images with the label of the row, in percent of the "
        f"images that have the label of the row and lack that of the column.{more}",
        f"A grid of {len(shown)} by {len(shown)} labels. The table lists the most frequent confusions.",
        Grid(names, names, shares, _few(numbers, len(shown)), "other", "true label", "false positive"),
    )


def reliability_curves(curves: Sequence[tuple[str, metrics.Reliability]]) -> Figure:
    """Predicted probabilities against observed frequencies."""
    roles: tuple[Role, ...] = ("main", "other", "muted")
    lines = [
        Line(_points(100 * curve.said, 100 * curve.found), role, f"{name}, error {short(curve.error)} %", marked=True)
        for (name, curve), role in zip(curves, roles, strict=False)
    ]
    errors = "; ".join(f"{name}: {short(curve.error)} %" for name, curve in curves)
    percent = Axis("", 0, 100)
    return Figure(
        "reliability",
        "How often labels with a predicted probability are present; on the diagonal both agree. The expected "
        "calibration error is the mean distance from the diagonal.",
        f"Reliability curves. Expected calibration error: {errors}.",
        Panels(
            [Panel("", percent, percent, lines, rules=[((0, 0), (100, 100))])],
            "predicted probability, %",
            "observed frequency, %",
            large=True,
        ),
    )


def change_bars(comparison: Comparison) -> Figure:
    """Change of AP per label, with intervals."""
    order, labels = by_change(comparison), comparison.second.labels
    rows = []
    for c in order:
        change = comparison.ap[c]
        role = _role(change.value, change.low > 0 or change.high < 0)
        ends = (100 * change.value, 100 * change.low, 100 * change.high)
        rows.append(Bar(printable(labels[c]), points(change.value), *ends, role=role))
    axis = axis_around("change of average precision, points", [0, *(x for r in rows for x in (r.value, r.low, r.high))])
    better = sum(change.low > 0 for change in comparison.ap)
    worse = sum(change.high < 0 for change in comparison.ap)
    return Figure(
        "changes",
        "Change of average precision per label with 95 % interval; grey where the interval contains 0.",
        f"Changes of {counted(len(order), 'label')}: {better} with an interval above 0, {worse} below 0.",
        Bars(rows, axis, zero=True),
    )


def forest(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Figure:
    """mAP per row of an ablation, with intervals; a failed row shows why."""
    rows = [_row_bar(record, name) for record, name in zip(records, names, strict=True)]
    failed = sum(bool(record["error"]) for record in records)
    return Figure(
        "rows",
        "mAP per row with 95 % interval; blue where it is better than the first row with an adjusted p below "
        f"{SIGNIFICANT}, orange where it is worse, grey otherwise.",
        f"mAP of {counted(len(records) - failed, 'row')}; {failed} failed. The table has the numbers.",
        Bars(rows, axis_around("mAP, %", [x for row in rows for x in (row.value, row.low, row.high)])),
    )


def _row_bar(record: Mapping[str, Any], name: str) -> Bar:
    if record["error"]:
        return Bar(name, reason=f"failed: {printable(record['error'])}")
    if record["mAP"] is None:
        return Bar(name, short(np.nan))
    role = _role(record["change"] or 0.0, significant(record))
    low, high = (np.nan if record[key] is None else 100 * record[key] for key in ("mAP_low", "mAP_high"))
    return Bar(name, short(record["mAP"]), 100 * record["mAP"], low, high, role=role)


def significant(record: Mapping[str, Any]) -> bool:
    """Whether a row of an ablation differs from the row it is compared with."""
    return record["p_adjusted"] is not None and record["p_adjusted"] < SIGNIFICANT


def label_grid(
    labels: Sequence[str], names: Sequence[str], ap: Doubles, title: str, reasons: Mapping[int, str]
) -> Figure:
    """AP per label and row of an ablation.

    Args:
        labels: C names.
        names: names of the rows.
        ap: [rows, C], 0..1 or NaN.
        title: the data set.
        reasons: why a row has no values, by its position.
    """
    order = _best_on_average(ap)
    if len(order) > _COLUMNS:
        widest = np.argsort(-_spread(ap), kind="stable")[:_COLUMNS]
        order = [c for c in order if c in set(widest.tolist())]
    numbers = [["" if np.isnan(value) else f"{100 * value:.0f}" for value in row] for row in ap[:, order]]
    more = "" if len(order) == len(labels) else f" Shown are the {len(order)} labels that differ most between rows."
    return Figure(
        f"labels-{re.sub('[^a-z0-9]+', '-', title.lower())}",
        f"Average precision per label and row on {title}, in percent, the label with the highest mean first.{more}",
        f"A grid of {len(names)} rows by {len(order)} labels. See per_class.csv in each row's folder.",
        Grid(
            names,
            [printable(labels[c]) for c in order],
            ap[:, order],
            _few(numbers, len(order)),
            row_axis="row",
            column_axis="label",
            reasons=reasons,
        ),
    )


def _best_on_average(ap: Doubles) -> list[int]:
    """Positions of the columns by falling mean; columns without numbers last."""
    counts = (~np.isnan(ap)).sum(axis=0)
    means = np.nansum(ap, axis=0) / np.maximum(counts, 1)
    return [int(c) for c in np.argsort(np.where(counts, -means, 1.0), kind="stable")]


def _spread(ap: Doubles) -> Doubles:
    """[C] highest less lowest number of each column."""
    highest, lowest = np.nan_to_num(ap, nan=0.0).max(axis=0), np.nan_to_num(ap, nan=1.0).min(axis=0)
    return np.asarray(highest - lowest, dtype=np.float64)


def training_curve(history: Sequence[Epoch], best: int, loss: str, title: str) -> Figure:
    """Training loss and validation mAP, if any, by epoch; a ring marks the epoch that was kept."""
    validation = [(float(epoch.number), 100 * epoch.mAP) for epoch in history if epoch.mAP is not None]
    losses = [(float(epoch.number), epoch.loss) for epoch in history]
    panels = [_epochs(f"training loss ({loss})", losses, best, "main")]
    panels += [_epochs("validation mAP, %", validation, best, "other")] if validation else []
    return Figure(
        "training",
        "Training loss and validation mAP by epoch; the ring marks the epoch that was kept.",
        f"Loss of {counted(len(history), 'epoch')}; epoch {best} was kept.",
        Panels(panels, "epoch", large=True, title=title),
    )


def _epochs(name: str, points: Sequence[Point], best: int, role: Role) -> Panel:
    numbers, values = zip(*points, strict=True)
    x = Axis("", min(numbers) - 0.5, max(numbers) + 0.5, 8, whole=True)
    kept = Dot(best, dict(points)[best], role, ring=True)
    return Panel(name, x, axis_around("", values), [Line(points, role, marked=True)], [kept])


def _role(change: float, is_significant: bool) -> Role:
    """Blue for a significant gain, orange for a significant loss, grey otherwise."""
    return ("main" if change > 0 else "other") if is_significant else "muted"


def _few(numbers: list[list[str]], columns: int) -> list[list[str]]:
    """The numbers of a heat map, if there is space for them."""
    return numbers if columns <= _NUMBERED else []


def _most_frequent(result: Result) -> list[int]:
    """The _PANELS labels with the most positives, in the order of the table."""
    frequent = set(sorted(range(len(result.labels)), key=lambda c: -result.positives[c])[:_PANELS])
    return [c for c in best_first(result) if c in frequent]


def _left_out(result: Result, shown: Sequence[int]) -> str:
    more = len(result.labels) - len(shown)
    return f" Shown are the {len(shown)} labels with the most positives; the table has {more} more." if more else ""


def _points(x: Doubles, y: Doubles) -> list[Point]:
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _thinned(x: Doubles, y: Doubles) -> list[Point]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).astype(np.intp))
    return _points(x[kept], y[kept])
