"""The figures of a report, drawn in named colours: as PNG on white, or as SVG that follows the page's light or dark.

Drawn without pyplot, which keeps global state. The same tables give the same bytes: no date, a fixed hash salt.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Panel = Callable[[Axes], None]

COLOURS = {  # each value once: in SVG it becomes var(--<name>), which the page sets for light and dark
    "paper": "#fefefe", "ink": "#1d2328", "muted": "#5a646e", "rule": "#dfe3e7", "accent": "#0a6c94",
    "curve-1": "#0072b2", "curve-2": "#c24e00", "curve-3": "#00805e", "curve-4": "#a8518a", "curve-5": "#8a6d00",
    "curve-6": "#3f4a9e", "curve-7": "#7a4a2b",
}
CURVES = tuple(COLOURS[f"curve-{number}"] for number in range(1, 8))

STYLE: Any = {  # of matplotlib's settings
    "font.size": 9, "font.family": "sans-serif", "text.parse_math": False,  # a class may be called $x$
    "text.color": COLOURS["ink"], "axes.labelcolor": COLOURS["muted"], "axes.edgecolor": COLOURS["rule"],
    "xtick.color": COLOURS["rule"], "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["muted"], "ytick.labelcolor": COLOURS["muted"],
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": COLOURS["rule"], "grid.linewidth": 0.7, "lines.linewidth": 1.6, "lines.solid_capstyle": "round",
    "legend.frameon": False, "legend.handlelength": 1.6, "figure.facecolor": COLOURS["paper"],
    "axes.facecolor": "none", "svg.hashsalt": "fovea", "svg.fonttype": "none",
}


def draw(*panels: Panel, height: float = 3.1) -> Figure:
    """The panels side by side, 4.4 inches wide each."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(panels), height), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
            panel(axes)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, dpi=200, metadata={"Software": None})


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an inline `<svg>` without size; `name` makes its ids unique within the page."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(text, format="svg", transparent=True, metadata=empty)
    svg = text.getvalue()
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true" focusable="false">', svg)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", svg).replace("xlink:href", "href")
    for colour, value in COLOURS.items():
        svg = svg.replace(value, f"var(--{colour})")
    return svg


def frame(figure: Figure) -> list[float]:
    """Where values of the first axes lie in the `<svg>` of `as_svg`: x of 0, y of 0, and the lengths of 1 in x and y.

    Valid once the figure was written, which lays it out. In points, y downwards.
    """
    scale = 72 / figure.dpi
    corners = figure.axes[0].transData.transform([(0, 0), (1, 1)]) * scale
    height = figure.get_figheight() * 72
    x, y = corners[0]
    return [float(x), float(height - y), float(corners[1, 0] - x), float(y - corners[1, 1])]


def shorten(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
