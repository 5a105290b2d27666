"""Figures of results, as SVG for a page (light and dark) and for a paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt import metrics
from zsprompt._utils.arrays import Bools, Doubles
from zsprompt._utils.text import counted
from zsprompt.adapters import Epoch
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.result import Result
from zsprompt.report.drawing import GRID, MAIN, MUTED, OTHER, TEXT, WIDTH, Figure, axis_name, one_axes, plain
from zsprompt.report.drawing import figure as make_figure
from zsprompt.report.mistakes import mistaken_for, threshold_of
from zsprompt.report.terminal import printable, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_PANELS = 40  # maximum number of labels in a grid of small plots; more would make the page slow
_POINTS = 150  # maximum number of points per curve: more are not visible
_COLUMNS = 5


def run_figures(result: Result, probabilities: Sequence[tuple[str, metrics.Reliability]]) -> list[Figure]:
    """All figures of one run; `probabilities` are named reliability curves."""
    figures = [ap_bars(result), precision_recall_curves(result), confusions(result), score_distributions(result)]
    return [*figures, reliability_curves(probabilities)] if probabilities else figures


def ap_bars(result: Result) -> Figure:
    """Average precision per label with its interval, and chance."""
    order = [int(c) for c in np.argsort(np.nan_to_num(result.ap, nan=-1.0), kind="stable")]
    chance = metrics.prevalence(result.targets)

    def draw() -> Drawing:
        figure, axes = one_axes(height=0.9 + 0.22 * len(order))
        places = np.arange(len(order))
        values = 100 * np.nan_to_num(result.ap[order])
        low, high = (100 * np.nan_to_num(result.ap_interval[order].T) - values) * np.array([[-1], [1]])
        axes.barh(places, values, height=0.7, color=MAIN)
        spread = np.clip(np.stack([low, high]), 0, None)
        axes.errorbar(values, places, xerr=spread, fmt="none", ecolor=TEXT, elinewidth=1, capsize=2)
        axes.plot(100 * np.nan_to_num(chance[order]), places, "|", color=OTHER, markersize=9, markeredgewidth=2)
        axes.set_yticks(places, [axis_name(result.labels[c]) for c in order])
        axes.set(xlim=(0, 100), ylim=(-0.7, len(order) - 0.3), xlabel="average precision, %")
        axes.grid(axis="x", color=GRID)
        return figure

    best, worst = result.labels[order[-1]], result.labels[order[0]]
    return make_figure(
        "average-precision",
        "Average precision per label with 95 % intervals; the orange marks show a random order.",
        f"Average precision of {counted(len(order), 'label')}, from {printable(best)} with "
        f"{short(result.ap[order[-1]])} to {printable(worst)} with {short(result.ap[order[0]])} %. "
        "The table below has the numbers.",
        draw,
    )


def precision_recall_curves(result: Result) -> Figure:
    """A small precision-recall curve per label, with a point for the decisions."""
    shown = _most_frequent(result)

    def one(axes: Axes, label: int) -> None:
        recall, precision = metrics.precision_recall(result.prediction.scores, result.targets, label)
        kept = _thinned(len(recall))
        axes.plot(100 * recall[kept], 100 * precision[kept], color=MAIN, linewidth=1.2)
        axes.axhline(100 * (result.targets[:, label] == 1).mean(), color=GRID, linewidth=1)
        axes.plot(100 * result.f1.recall[label], 100 * result.f1.precision[label], "o", color=OTHER, markersize=4)
        axes.set(xlim=(0, 102), ylim=(0, 105), xticks=(0, 50, 100), yticks=(0, 50, 100))

    return make_figure(
        "precision-recall",
        "Precision against recall in percent; the dot shows the decisions, the line shows chance."
        + _left_out(result, shown),
        f"Precision-recall curves of {counted(len(shown), 'label')}; decisions have a precision of "
        f"{short(result.f1.overall.OP)} and a recall of {short(result.f1.overall.OR)} % over all labels.",
        lambda: _panels(result, shown, one, "recall, %", "precision, %"),
    )


def score_distributions(result: Result) -> Figure:
    """Scores of images with and without each label, and the threshold if there is one."""
    shown = _most_frequent(result)
    any_threshold = any(threshold_of(result, label) is not None for label in shown)

    def one(axes: Axes, label: int) -> None:
        scores, target = result.prediction.scores[:, label].astype(np.float64), result.targets[:, label]
        # the tails would squeeze everything else into one bar
        low, high = np.quantile(scores, [0.001, 0.999])
        edges = np.linspace(low, high if high > low else low + 1, 31)
        for present, colour in ((0, MUTED), (1, MAIN)):
            _histogram(axes, np.clip(scores[target == present], edges[0], edges[-1]), edges, colour)
        cut = threshold_of(result, label)
        if cut is not None and edges[0] <= cut <= edges[-1]:
            axes.axvline(cut, color=OTHER, linewidth=1.2)
        axes.set(yticks=(), ylim=(0, None))
        axes.locator_params(axis="x", nbins=3)

    threshold = "The orange line is the threshold." if any_threshold else "No threshold separates the decisions."
    return make_figure(
        "scores",
        f"Scores of images with the label (blue) and without it (grey), as a share of each group. {threshold}"
        + _left_out(result, shown),
        f"Histograms of the scores of {counted(len(shown), 'label')}, for images with and without the label.",
        lambda: _panels(result, shown, one, "score", "share of images"),
    )


def confusions(result: Result) -> Figure:
    """Which labels are false positives on images of which other labels."""
    shown, shares = mistaken_for(result)

    def draw() -> Drawing:
        figure, axes = one_axes(height=1.5 + 0.24 * len(shown), width=min(WIDTH, 3 + 0.3 * len(shown)))
        image = np.zeros((len(shown), len(shown), 4))
        image[..., :3] = [int(OTHER[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        image[..., 3] = np.nan_to_num(shares)
        axes.imshow(image, aspect="auto", interpolation="nearest")
        for row, column in np.argwhere(np.nan_to_num(shares) >= 0.1) if len(shown) <= 25 else ():
            axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=TEXT)
        names = [axis_name(result.labels[c]) for c in shown]
        axes.set_xticks(range(len(shown)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(shown)), names)
        axes.set(xlabel="false positive", ylabel="true label")
        return figure

    more = (
        "" if len(shown) == len(result.labels) else f" Shown are the {len(shown)} labels with the most false positives."
    )
    return make_figure(
        "confusions",
        "How often the label at the bottom is a false positive on images with the label on the left, in percent of the "
        f"images that have the left label and lack the bottom one.{more}",
        f"A grid of {len(shown)} by {len(shown)} labels. The table below lists the most frequent confusions.",
        draw,
    )


def reliability_curves(curves: Sequence[tuple[str, metrics.Reliability]]) -> Figure:
    """Predicted probabilities against observed frequencies."""

    def draw() -> Drawing:
        figure, axes = one_axes(height=4.2, width=5.2)
        axes.plot([0, 100], [0, 100], color=GRID, linewidth=1)
        for (name, curve), colour, mark in zip(curves, (MAIN, OTHER, MUTED), "os^", strict=False):
            label = f"{name}, error {short(curve.error)} %"
            axes.plot(100 * curve.said, 100 * curve.found, f"-{mark}", color=colour, markersize=4, label=label)
        axes.set(
            xlim=(0, 100),
            ylim=(0, 100),
            xlabel="predicted probability, %",
            ylabel="observed frequency, %",
            aspect="equal",
        )
        axes.legend(frameon=False, labelcolor=TEXT, loc="upper left")
        axes.grid(color=GRID)
        return figure

    errors = "; ".join(f"{name}: {short(curve.error)} %" for name, curve in curves)
    return make_figure(
        "reliability",
        "How often labels with a predicted probability are present; on the diagonal both agree. The expected "
        "calibration error is the mean distance from the diagonal.",
        f"Reliability curves. Expected calibration error: {errors}.",
        draw,
    )


def change_bars(comparison: Comparison) -> Figure:
    """Change of AP per label, with intervals."""
    values = np.array([label.value for label in comparison.ap])
    order = [int(c) for c in np.argsort(np.nan_to_num(values), kind="stable")]
    labels = comparison.second.labels

    def draw() -> Drawing:
        figure, axes = one_axes(height=0.9 + 0.22 * len(order))
        for place, c in enumerate(order):
            change = comparison.ap[c]
            if np.isnan(change.value):
                continue
            significant = change.low > 0 or change.high < 0
            colour = (MAIN if change.value > 0 else OTHER) if significant else MUTED
            axes.plot([100 * change.low, 100 * change.high], [place, place], color=colour, linewidth=1.2)
            axes.plot(100 * change.value, place, "o", color=colour, markersize=4)
        axes.axvline(0, color=TEXT, linewidth=0.8)
        axes.set_yticks(range(len(order)), [axis_name(labels[c]) for c in order])
        axes.set(ylim=(-0.7, len(order) - 0.3), xlabel="change of average precision, points")
        axes.grid(axis="x", color=GRID)
        return figure

    better = sum(change.low > 0 for change in comparison.ap)
    worse = sum(change.high < 0 for change in comparison.ap)
    return make_figure(
        "changes",
        "Change of average precision per label with 95 % interval; grey where the interval contains 0.",
        f"Changes of {counted(len(order), 'label')}: {better} with an interval above 0, {worse} below 0.",
        draw,
    )


def forest(records: Sequence[dict[str, Any]], names: Sequence[str]) -> Figure:
    """mAP per row of an ablation, with intervals."""
    done = [(record, name) for record, name in zip(records, names, strict=True) if record["mAP"] is not None]

    def draw() -> Drawing:
        figure, axes = one_axes(height=0.9 + 0.24 * len(done))
        for place, (record, _) in enumerate(reversed(done)):
            low, high = record["mAP_low"], record["mAP_high"]
            significant = record["p_adjusted"] is not None and record["p_adjusted"] < 0.05
            colour = MUTED if not significant else MAIN if record["change"] > 0 else OTHER
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.2)
            axes.plot(100 * record["mAP"], place, "o", color=colour, markersize=4)
        axes.set_yticks(range(len(done)), [axis_name(name) for _, name in reversed(done)])
        axes.set(ylim=(-0.7, len(done) - 0.3), xlabel="mAP, %")
        axes.grid(axis="x", color=GRID)
        return figure

    return make_figure(
        "rows",
        "mAP per row with 95 % interval; blue where it is better than the first row with an adjusted p below 0.05, "
        "orange where it is worse, grey otherwise.",
        f"mAP of {counted(len(done), 'row')}; the table has the numbers.",
        draw,
    )


def label_grid(labels: Sequence[str], names: Sequence[str], ap: Doubles, title: str) -> Figure:
    """AP per label (columns) and row of an ablation; `ap` is [rows, C], 0..1 or NaN."""

    def draw() -> Drawing:
        figure, axes = one_axes(height=1.6 + 0.24 * len(names), width=min(14.0, 4 + 0.3 * len(labels)))
        image = np.zeros((*ap.shape, 4))
        image[..., :3] = [int(MAIN[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        image[..., 3] = 0.85 * np.nan_to_num(ap)
        axes.imshow(image, aspect="auto", interpolation="nearest")
        for row, column in np.argwhere(~np.isnan(ap)) if len(labels) <= 30 else ():
            number = f"{100 * ap[row, column]:.0f}"
            axes.text(column, row, number, ha="center", va="center", fontsize=7, color=TEXT)
        axes.set_xticks(range(len(labels)), [axis_name(label) for label in labels], rotation=60, ha="right")
        axes.set_yticks(range(len(names)), [axis_name(name) for name in names])
        return figure

    return make_figure(
        f"labels-{re.sub('[^a-z0-9]+', '-', title.lower())}",
        f"Average precision per label and row on {title}, in percent.",
        f"A grid of {len(names)} rows by {len(labels)} labels. See per_class.csv in each row's folder.",
        draw,
    )


def training_curve(history: Sequence[Epoch], best: int, loss: str, title: str) -> Figure:
    """Training loss and validation mAP, if any, by epoch; a ring marks the epoch that was kept."""
    numbers = [epoch.number for epoch in history]
    validation = [(epoch.number, 100 * epoch.mAP) for epoch in history if epoch.mAP is not None]

    def draw() -> Drawing:
        from matplotlib.figure import Figure as Drawing
        from matplotlib.ticker import MaxNLocator

        drawing = Drawing(figsize=(WIDTH if validation else WIDTH / 2, 2.9), layout="constrained")
        panels = drawing.subplots(1, 2 if validation else 1, squeeze=False)[0]
        lines = [(f"training loss ({loss})", [(n, e.loss) for n, e in zip(numbers, history, strict=True)], MAIN)]
        lines += [("validation mAP, %", validation, OTHER)] if validation else []
        for axes, (name, points, colour) in zip(panels, lines, strict=True):
            plain(axes)
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=2.5, linewidth=1.2)
            kept = dict(points)[best]
            axes.plot(best, kept, "o", color=colour, markersize=9, fillstyle="none")
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y", color=GRID)
        drawing.suptitle(title, x=0.01, ha="left", fontsize="medium", color=TEXT)
        return drawing

    return make_figure(
        "training",
        "Training loss and validation mAP by epoch; the ring marks the epoch that was kept.",
        f"Loss of {counted(len(history), 'epoch')}; epoch {best} was kept.",
        draw,
    )


def _panels(result: Result, shown: Sequence[int], one: Callable[[Axes, int], None], x: str, y: str) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    rows = ceil(len(shown) / _COLUMNS)
    height = 0.8 + 1.5 * rows
    figure = Drawing(figsize=(WIDTH, height))
    # fixed margins: the layout of matplotlib would take seconds for this number of axes
    margins = {"left": 0.08, "right": 0.99, "bottom": 0.55 / height, "top": 1 - 0.25 / height}
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, gridspec_kw=margins | {"wspace": 0.3, "hspace": 0.5})
    for axes, label in zip(panels.flat, shown, strict=False):
        plain(axes)
        one(axes, label)
        axes.set_title(axis_name(result.labels[label]), fontsize=8, color=TEXT)
    for axes in panels.flat[len(shown) :]:
        axes.axis("off")
    figure.supxlabel(x, fontsize=9, color=TEXT, y=0.05 / height)
    figure.supylabel(y, fontsize=9, color=TEXT, x=0.005)
    return figure


def _histogram(axes: Axes, values: Doubles, edges: Doubles, colour: str) -> None:
    if not len(values):
        return
    heights = np.histogram(values, edges)[0] / len(values)
    axes.stairs(heights, edges, color=colour, fill=True, alpha=0.35)
    axes.stairs(heights, edges, color=colour, linewidth=1)


def _most_frequent(result: Result) -> list[int]:
    """The _PANELS labels with the most positives, by AP, the lowest first."""
    frequent = sorted(range(len(result.labels)), key=lambda c: -result.positives[c])[:_PANELS]
    return sorted(frequent, key=lambda c: float(np.nan_to_num(result.ap[c], nan=2.0)))


def _left_out(result: Result, shown: Sequence[int]) -> str:
    more = len(result.labels) - len(shown)
    return f" Shown are the {len(shown)} labels with the most positives; the table has {more} more." if more else ""


def _thinned(count: int) -> Bools:
    kept = np.zeros(count, dtype=np.bool_)
    kept[np.unique(np.linspace(0, count - 1, min(count, _POINTS)).astype(np.intp))] = True
    return kept
