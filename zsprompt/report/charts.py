"""Charts: what a figure shows, as plain values. A page draws them as HTML (templates/charts.html), a file as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import ClassVar, Literal

from zsprompt._utils.arrays import Doubles

Role = Literal["main", "other", "muted"]
"""What a colour stands for; the style sheet of the page and the drawing of the file each have a colour for it."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A round number on an axis: its value, its place, 0..100 along the axis, and its text."""

    value: float
    place: float
    text: str


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with about `ticks` round numbers; `whole` keeps to whole numbers."""

    name: str
    low: float
    high: float
    ticks: int = 6
    whole: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0..100 along the axis; values outside lie at its ends."""
        share = float(value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    @property
    def marks(self) -> list[Tick]:
        """Its round numbers."""
        from matplotlib.ticker import MaxNLocator

        if not self.ticks:
            return []
        values = MaxNLocator(self.ticks, steps=(1, 2, 5, 10), integer=self.whole).tick_values(self.low, self.high)
        shown = [float(value) for value in values if self.low <= value <= self.high]
        return [Tick(value, self.place(value), f"{value:g}".replace("-", "−")) for value in shown]


def axis_around(name: str, values: Sequence[float]) -> Axis:
    """An axis on which all values lie, with a little space; NaN is no value. Without values it has no ticks."""
    numbers = [float(value) for value in values if isfinite(value)]
    if not numbers:
        return Axis(name, 0, 1, ticks=0)
    low, high = min(numbers), max(numbers)
    space = 0.04 * (high - low) or 1.0
    return Axis(name, low - space, high + space)


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart; numbers in the unit of the axis, NaN where there is none.

    Attributes:
        name: name of the row.
        text: its value for readers.
        value: its value.
        low: lower end of its interval.
        high: upper end of its interval.
        mark: a value to compare it with.
        role: its colour.
        reason: why it has no value.
    """

    name: str
    text: str = ""
    value: float = nan
    low: float = nan
    high: float = nan
    mark: float = nan
    role: Role = "main"
    reason: str = ""


@dataclass(frozen=True)
class Bars:
    """Rows from top to bottom; `filled` draws bars, else dots. `zero` draws a line at 0."""

    kind: ClassVar[str] = "bars"
    rows: Sequence[Bar]
    axis: Axis
    filled: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Grid:
    """A heat map.

    Attributes:
        rows: names from top to bottom.
        columns: names from left to right.
        values: [rows, columns], 0..1 or NaN.
        numbers: the number in each cell, "" for none; empty for a grid without numbers.
        role: its colour.
        row_axis: what the rows are.
        column_axis: what the columns are.
        reasons: why a row has no values, by its position.
    """

    kind: ClassVar[str] = "grid"
    rows: Sequence[str]
    columns: Sequence[str]
    values: Doubles
    numbers: Sequence[Sequence[str]] = ()
    role: Role = "main"
    row_axis: str = ""
    column_axis: str = ""
    reasons: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A line through points; `filled` fills the area between it and the lower edge, `marked` marks each point."""

    points: Sequence[Point]
    role: Role = "main"
    name: str = ""
    filled: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Dot:
    """A single point; `ring` draws a ring around it."""

    x: float
    y: float
    role: Role = "other"
    ring: bool = False


@dataclass(frozen=True)
class Panel:
    """A small plot.

    Attributes:
        name: its title.
        x: its horizontal axis.
        y: its vertical axis.
        lines: lines in the order of drawing.
        dots: points above the lines.
        rules: grey lines that give orientation, as pairs of points.
    """

    name: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    dots: Sequence[Dot] = ()
    rules: Sequence[tuple[Point, Point]] = ()

    def path(self, points: Sequence[Point]) -> str:
        """The points as an SVG path in a box of 100 by 100."""
        steps = (f"{self.x.place(x):g} {100 - self.y.place(y):g}" for x, y in points)
        return "M" + "L".join(steps) if points else ""


@dataclass(frozen=True)
class Panels:
    """Small plots with the same kinds of axes, named by `x` and `y`; `large` for one or two of them."""

    kind: ClassVar[str] = "panels"
    panels: Sequence[Panel]
    x: str
    y: str = ""
    large: bool = False
    title: str = ""


Chart = Bars | Grid | Panels


@dataclass(frozen=True)
class Figure:
    """A chart with its words.

    Attributes:
        name: file name without suffix.
        caption: one or two sentences about its content.
        alternative: text for readers who cannot see it.
        chart: what it shows.
    """

    name: str
    caption: str
    alternative: str
    chart: Chart
