"""Drawing: axes in the house style, and drawings as SVG for a page and for a file."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zsprompt.report.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# Each colour stands for a role; on a page the style sheet sets its light and dark colour.
TEXT, MUTED, GRID, MAIN, OTHER = "#22211f", "#76746e", "#dcdad3", "#2a6fb0", "#c4561d"
_ROLES = {TEXT: "--text", MUTED: "--muted", GRID: "--grid", MAIN: "--main", OTHER: "--other"}

WIDTH = 8.0
"""Width of a drawing in inches."""


@dataclass(frozen=True)
class Figure:
    """A drawing for a page and for a file.

    Attributes:
        name: file name without suffix.
        caption: one or two sentences about its content.
        alternative: text for readers who cannot see it.
        page: SVG with the colours of the page, text as text.
        file: SVG with fixed colours, text as outlines.
    """

    name: str
    caption: str
    alternative: str
    page: str
    file: str


def one_axes(*, height: float, width: float = WIDTH) -> tuple[Drawing, Axes]:
    """A drawing with one pair of axes; sizes in inches."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    axes = drawing.subplots()
    plain(axes)
    return drawing, axes


def plain(axes: Axes) -> None:
    """Style the axes: two muted spines."""
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=TEXT, labelsize=8)
    axes.xaxis.label.set_color(TEXT)
    axes.yaxis.label.set_color(TEXT)


def figure(name: str, caption: str, alternative: str, draw: Callable[[], Drawing]) -> Figure:
    """The drawing of `draw` as a Figure."""
    from matplotlib import rc_context

    # a label may hold a dollar sign, so "$…$" is not mathematics
    fixed: dict[Any, Any] = {"svg.hashsalt": "zsprompt", "text.parse_math": False, "font.size": 9}
    with rc_context(fixed), _all_glyphs():
        drawing = draw()
        if drawing.get_layout_engine():
            drawing.draw_without_rendering()  # the layout takes longest: once for both files
            drawing.set_layout_engine("none")
        page, file = (_svg(drawing, fonttype) for fonttype in ("none", "path"))
    return Figure(name, caption, alternative, _for_page(page), file)


def _svg(drawing: Drawing, fonttype: str) -> str:
    from matplotlib import rc_context

    buffer = io.StringIO()
    fixed: dict[Any, Any] = {"svg.fonttype": fonttype}
    with rc_context(fixed):
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": "zsprompt"})
    return buffer.getvalue()


def _for_page(svg: str) -> str:
    """An SVG element with the colours and fonts of the page."""
    for colour, role in _ROLES.items():
        svg = svg.replace(colour, f"var({role})")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', _opening, svg, count=1)


def _opening(tag: re.Match[str]) -> str:
    width, height = tag[1].split()[2:]
    # matplotlib refers to repeated shapes by xlink
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="{tag[1]}" style="width: calc({width}px * 1.25); aspect-ratio: {width} / {height}">'


@contextmanager
def _all_glyphs() -> Iterator[None]:
    """Ignore missing glyphs: a label may be in any script, and browsers have more fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def axis_name(label: str, most: int = 44) -> str:
    """A label for an axis: one line, at most `most` characters."""
    text = printable(label)
    return text if len(text) <= most else text[: most - 1] + "…"
