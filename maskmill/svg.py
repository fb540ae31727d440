"""Figures as SVG text to stand inside an HTML page."""

import io
import re
import warnings

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe & Ito (2008), those that show well on white; shapes differ too, for readers who see no colours.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


_LONG = 26
"""Characters above which a label fills a line of the legend."""

_LINE = 48
"""Characters that a line of the legend holds."""


def shorten(text: str, most: int = _LINE) -> str:
    """The text, with an ellipsis in its middle where it has more characters; ends tell names of sweeps apart."""
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


def draw_legend(figure: Figure) -> None:
    """Put the legend of all axes above them, in two columns where the labels are short; the figure grows with it."""
    labels = [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    columns = 2 if max(map(len, labels), default=0) <= _LONG else 1
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * max(0, lines - 2))
    legend = figure.legend(loc="outside upper left", frameon=False, ncols=columns)
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_text(shorten(text.get_text()))


def svg_text(figure: Figure, salt: str) -> str:
    """The figure as an <svg> element; equal figures give equal text.

    salt: sets the ids inside the SVG; different for each chart of a page.
    """
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the browser has fonts for any script
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    return re.sub(r' id="[A-Za-z][\w.]*_\d+"', "", drawing)  # nothing points at these, and charts share them
