"""Drawing: charts as SVG files in the house style, with fixed colours and text as outlines."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt.report.charts import Axis, Bar, Bars, Chart, Grid, Line, Panel, Panels, Role
from zsprompt.report.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

TEXT, MUTED, GRID = "#22211f", "#66645e", "#dcdad3"
COLOURS: dict[Role, str] = {"main": "#2a6fb0", "other": "#ad4a14", "muted": MUTED}
"""The colour of each role; the light colours of the page are the same."""

HEAT = 0.45
"""The strongest colour behind text, as on the page: of bars, and of a cell with the value 1."""

WIDTH = 8.0
"""Width of a drawing in inches."""

_COLUMNS = 5  # small plots next to each other


def svg(chart: Chart) -> str:
    """The chart as an SVG document. The same chart is the same text."""
    from matplotlib import rc_context

    # a label may hold a dollar sign, so "$…$" is not mathematics
    fixed: dict[Any, Any] = {"svg.hashsalt": "zsprompt", "svg.fonttype": "path", "text.parse_math": False}
    buffer = io.StringIO()
    with rc_context(fixed | {"font.size": 9}), _all_glyphs():
        drawing = _drawn(chart)
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": "zsprompt"})
    return buffer.getvalue()


def _drawn(chart: Chart) -> Drawing:
    match chart:
        case Bars():
            return _bars(chart)
        case Grid():
            return _grid(chart)
        case Panels():
            return _panels(chart)


def _bars(chart: Bars) -> Drawing:
    count = len(chart.rows)
    drawing, axes = _one_axes(height=0.9 + 0.23 * count)
    for place, bar in enumerate(reversed(chart.rows)):
        _bar(axes, chart, bar, place)
    if chart.zero:
        axes.axvline(0, color=TEXT, linewidth=0.8)
    axes.set_yticks(range(count), [axis_name(bar.name) for bar in reversed(chart.rows)])
    axes.set(xlim=(chart.axis.low, chart.axis.high), ylim=(-0.7, count - 0.3), xlabel=chart.axis.name)
    axes.grid(axis="x", color=GRID)
    return drawing


def _bar(axes: Axes, chart: Bars, bar: Bar, place: int) -> None:
    if bar.reason:
        axes.text(chart.axis.low, place, f" {axis_name(bar.reason, 90)}", va="center", fontsize=7, color=MUTED)
        return
    colour = COLOURS[bar.role]
    if chart.filled and not isnan(bar.value):
        axes.barh(place, bar.value, height=0.7, color=colour, alpha=HEAT)
        axes.plot([bar.value, bar.value], [place - 0.35, place + 0.35], color=colour, linewidth=2)
    elif not isnan(bar.value):
        axes.plot(bar.value, place, "o", color=colour, markersize=4)
    if not isnan(bar.low):
        axes.plot([bar.low, bar.high], [place, place], color=TEXT if chart.filled else colour, linewidth=1.2)
    if not isnan(bar.mark):
        axes.plot(bar.mark, place, "|", color=COLOURS["other"], markersize=9, markeredgewidth=2)


def _grid(chart: Grid) -> Drawing:
    shape = len(chart.rows), len(chart.columns)
    rows, columns = (list(map(axis_name, names)) for names in (chart.rows, chart.columns))
    # names need about 0.07 inch per character; those of columns are slanted
    height = 1 + 0.24 * shape[0] + 0.06 * max(map(len, columns))
    drawing, axes = _one_axes(height=height, width=1 + 0.3 * shape[1] + 0.07 * max(map(len, rows)))
    image = np.zeros((*shape, 4))
    image[..., :3] = [int(COLOURS[chart.role][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    image[..., 3] = HEAT * np.nan_to_num(chart.values)
    axes.imshow(image, aspect="auto", interpolation="nearest")
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": TEXT}
    for row, numbers in enumerate(chart.numbers):
        for column, number in enumerate(numbers):
            axes.text(column, row, number, **centred)
    for row, reason in chart.reasons.items():
        axes.text(-0.4, row, axis_name(reason, 20 + 3 * shape[1]), va="center", fontsize=7, color=MUTED)
    axes.set_xticks(range(shape[1]), columns, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(shape[0]), rows)
    axes.set(xlabel=chart.column_axis, ylabel=chart.row_axis)
    return drawing


def _panels(chart: Panels) -> Drawing:
    drawing, panels = (_large if chart.large else _small)(len(chart.panels))
    for axes, panel in zip(panels, chart.panels, strict=False):
        _plain(axes)
        _panel(axes, panel, size=8 if not chart.large else 9)
    for axes in panels[len(chart.panels) :]:
        axes.axis("off")
    if chart.large:
        for axes in panels:
            axes.set(xlabel=chart.x, ylabel=chart.y)
    else:
        drawing.supxlabel(chart.x, fontsize=9, color=TEXT, y=0.05 / drawing.get_size_inches()[1])
        drawing.supylabel(chart.y, fontsize=9, color=TEXT, x=0.005)
    if chart.title:
        drawing.suptitle(chart.title, x=0.01, ha="left", fontsize="medium", color=TEXT)
    return drawing


def _small(count: int) -> tuple[Drawing, Sequence[Axes]]:
    from matplotlib.figure import Figure as Drawing

    rows = max(1, ceil(count / _COLUMNS))
    height = 0.8 + 1.5 * rows
    drawing = Drawing(figsize=(WIDTH, height))
    # fixed margins: the layout of matplotlib would take seconds for this number of axes
    margins = {"left": 0.08, "right": 0.99, "bottom": 0.55 / height, "top": 1 - 0.25 / height}
    panels = drawing.subplots(rows, _COLUMNS, squeeze=False, gridspec_kw=margins | {"wspace": 0.3, "hspace": 0.5})
    return drawing, list(panels.flat)


def _large(count: int) -> tuple[Drawing, Sequence[Axes]]:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(WIDTH if count > 1 else 4.6, 4.0), layout="constrained")
    return drawing, list(drawing.subplots(1, count, squeeze=False).flat)


def _panel(axes: Axes, panel: Panel, size: int) -> None:
    for start, end in panel.rules:
        axes.plot(*zip(start, end, strict=True), color=GRID, linewidth=1)
    for line in panel.lines:
        _line(axes, panel, line)
    for dot in panel.dots:
        ring: dict[str, Any] = {"markersize": 9, "fillstyle": "none"} if dot.ring else {"markersize": 4}
        axes.plot(dot.x, dot.y, "o", color=COLOURS[dot.role], clip_on=False, **ring)
    for axis, number in ((panel.x, axes.xaxis), (panel.y, axes.yaxis)):
        number.set_ticks([mark.value for mark in axis.marks], [mark.text for mark in axis.marks])
    axes.set(xlim=_ends(panel.x), ylim=_ends(panel.y))
    axes.set_title(axis_name(panel.name), fontsize=size, color=TEXT)
    if any(line.name and line.points for line in panel.lines):
        axes.legend(frameon=False, labelcolor=TEXT, loc="upper left")


def _ends(axis: Axis) -> tuple[float, float]:
    return axis.low, axis.high


def _line(axes: Axes, panel: Panel, line: Line) -> None:
    if not line.points:
        return
    x, y = zip(*line.points, strict=True)
    colour, mark = COLOURS[line.role], "o" if line.marked else None
    axes.plot(x, y, color=colour, linewidth=1.2, marker=mark, markersize=2.5, label=line.name or None)
    if line.filled:
        axes.fill_between(x, y, panel.y.low, color=colour, alpha=0.35, linewidth=0)


def _one_axes(*, height: float, width: float = WIDTH) -> tuple[Drawing, Axes]:
    """A drawing with one pair of axes; sizes in inches."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    axes = drawing.subplots()
    _plain(axes)
    return drawing, axes


def _plain(axes: Axes) -> None:
    """Style the axes: two muted spines."""
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=TEXT, labelsize=8)
    axes.xaxis.label.set_color(TEXT)
    axes.yaxis.label.set_color(TEXT)


@contextmanager
def _all_glyphs() -> Iterator[None]:
    """Ignore missing glyphs: a label may be in any script."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def axis_name(label: str, most: int = 44) -> str:
    """A label for an axis: one line, at most `most` characters."""
    text = printable(label)
    return text if len(text) <= most else text[: most - 1] + "…"
