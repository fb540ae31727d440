"""The dot-and-interval chart of the pages, as SVG to stand inside HTML."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maskmill.svg import COLOURS, MARKERS, draw_legend, shorten, svg_text

_WIDTH, _MOST = 22, 44
"""Characters of a line of a row's name, and of the whole of it; pages have whole names in their tables."""

_AXIS = 40
"""Characters of a line of the axis label."""


class Point(NamedTuple):
    """A mean and its interval (None where there is none) of a series, in a row of the chart."""

    row: str
    series: str
    mean: float | None
    low: float | None
    high: float | None


def draw_intervals(points: Sequence[Point], label: str, salt: str, zero_line: bool = False) -> str:
    """Draw means as dots with their intervals as bars, one row a class, one colour and shape an experiment: SVG text.

    label: of the horizontal axis. salt: sets the ids inside the SVG; different for each chart of a page.
    zero_line: mark zero, the value of no difference, and keep colours for it to be the second series and on.
    The same input gives the same text.
    """
    rows = list(dict.fromkeys(point.row for point in points))
    series = list(dict.fromkeys(point.series for point in points))
    names = [textwrap.fill(shorten(row, _MOST), _WIDTH) for row in rows]
    height = max(0.25 + 0.22 * len(series), *(0.1 + 0.17 * (1 + name.count("\n")) for name in names))
    figure = Figure(figsize=(5, 1.5 + len(rows) * height), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(series):
        shift = (index - (len(series) - 1) / 2) * 0.7 / len(series)
        _draw_series(axes, [p for p in points if p.series == name], rows, shift, index + zero_line)
    if zero_line:
        axes.axvline(0, color="#555555", linewidth=1, zorder=0)
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(textwrap.fill(label, _AXIS), parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))  # more would touch each other
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    draw_legend(figure)
    return svg_text(figure, salt)


def _draw_series(axes, points: Sequence[Point], rows: Sequence[str], shift: float, style: int) -> None:
    shown = [point for point in points if point.mean is not None]
    ends = [(p.mean, p.mean) if p.low is None else (p.low, p.high) for p in shown]
    axes.errorbar(
        [point.mean for point in shown],
        [rows.index(point.row) + shift for point in shown],
        xerr=[
            [max(0.0, point.mean - low) for point, (low, _) in zip(shown, ends, strict=True)],
            [max(0.0, high - point.mean) for point, (_, high) in zip(shown, ends, strict=True)],
        ],
        fmt=MARKERS[style % len(MARKERS)],
        color=COLOURS[style % len(COLOURS)],
        label=points[0].series,
        capsize=3,
        markersize=6,
        linewidth=1.5,
    )
