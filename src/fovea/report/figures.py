"""The figures of a report, drawn in named colours: as PNG on white, or as SVG that follows the page's light or dark.

Drawn without pyplot, which keeps global state. The same tables give the same bytes: no date, a fixed hash salt.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Panel = Callable[[Axes], None]

COLOURS = {  # each value once: in SVG it becomes var(--<name>), which the page sets for light and dark
    "paper": "#fefefe", "ink": "#1d2328", "muted": "#5a646e", "rule": "#dfe3e7", "accent": "#0a6c94",
    "curve-1": "#0072b2", "curve-2": "#c24e00", "curve-3": "#00805e", "curve-4": "#a8518a", "curve-5": "#8a6d00",
    "curve-6": "#3f4a9e", "curve-7": "#7a4a2b",
}
CURVES = tuple(COLOURS[f"curve-{number}"] for number in range(1, 8))
DASHES = ("solid", "dashed", "dotted")
MOST_CURVES = len(CURVES) * len(DASHES)
MOST_CELL_TEXTS = 15  # classes up to which the cells of a confusion matrix show their numbers

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


def loss_panel(history: pd.DataFrame, kept: int | None) -> Panel:
    lines = {"training": "train_loss", "validation": "val_loss"}
    return lambda axes: _epochs(axes, history, lines, "loss", kept)


def accuracy_panel(history: pd.DataFrame, kept: int | None) -> Panel:
    lines = {"training": "train_accuracy", "validation": "val_accuracy"}
    return lambda axes: _epochs(axes, history, lines, "accuracy", kept)


def validation_panel(history: pd.DataFrame, kept: int | None) -> Panel:
    lines = {"balanced accuracy": "val_balanced_accuracy", "AUROC": "val_auroc", "kappa": "val_kappa"}
    return lambda axes: _epochs(axes, history, lines, "validation", kept, CURVES)


def _epochs(axes: Axes, history: pd.DataFrame, lines: dict[str, str], label: str, kept: int | None,
            colours: tuple[str, ...] = (COLOURS["muted"], COLOURS["accent"])) -> None:
    """Columns of the history by epoch, those that have values; `kept` and the change of phase are marked."""
    shown = {name: column for name, column in lines.items() if history[column].notna().any()}
    for (name, column), colour in zip(shown.items(), colours, strict=False):
        axes.plot(history["epoch"], history[column], color=colour, label=name, marker="o", markersize=2.5)
    for epoch in history["epoch"][history["phase"].ne(history["phase"].shift()) & history["phase"].shift().notna()]:
        axes.axvline(epoch - 0.5, color=COLOURS["muted"], linewidth=0.8, linestyle="dotted", label="frozen | full")
    if kept is not None:
        axes.axvline(kept, color=COLOURS["accent"], linewidth=0.8, linestyle="dashed", label=f"kept, epoch {kept}")
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_above(axes)


def steps_panel(steps: pd.DataFrame) -> Panel:
    """The training loss as logged, and its mean over a twentieth of the points."""

    def panel(axes: Axes) -> None:
        window = max(len(steps) // 20, 1)
        axes.plot(steps["step"], steps["loss"], color=COLOURS["muted"], alpha=0.4, linewidth=0.8, label="as logged")
        smooth = steps["loss"].rolling(window, min_periods=1, center=True).mean()
        axes.plot(steps["step"], smooth, color=COLOURS["accent"], label=f"mean of {window}")
        axes.set(xlabel="step", ylabel="training loss")
        _legend_above(axes)

    return panel


def roc_panel(points: pd.DataFrame, labels: dict[str, str]) -> Panel:
    def panel(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS["rule"], linewidth=1)
        _curves(axes, points, labels, "fpr", "tpr")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity")

    return panel


def precision_recall_panel(points: pd.DataFrame, labels: dict[str, str]) -> Panel:
    def panel(axes: Axes) -> None:
        _curves(axes, points, labels, "recall", "precision")
        axes.set(xlabel="sensitivity (recall)", ylabel="precision")

    return panel


def _curves(axes: Axes, points: pd.DataFrame, labels: dict[str, str], x: str, y: str) -> None:
    """One curve for each class in `labels`, named by its text; beyond MOST_CURVES they are alike and not named."""
    many = len(labels) > MOST_CURVES
    drawstyle = "steps-pre" if x == "recall" else "default"  # average precision is the area under the steps
    for number, (name, label) in enumerate(labels.items()):
        mine = points[points["class"] == name]
        colour = COLOURS["accent"] if len(labels) == 1 or many else CURVES[number % len(CURVES)]
        axes.plot(mine[x], mine[y], color=colour, linestyle=DASHES[number // len(CURVES) % len(DASHES)],
                  alpha=0.3 if many else 1, linewidth=0.8 if many else 1.6, label=label, drawstyle=drawstyle)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    figure = axes.figure
    if labels and not many and isinstance(figure, Figure):
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=legend_columns(labels))


def legend_columns(labels: dict[str, str]) -> int:
    return 2 if max(map(len, labels.values())) <= 24 else 1


def curves_height(labels: dict[str, str]) -> float:
    """Inches for a square plot and the legend below it."""
    if not labels or len(labels) > MOST_CURVES:
        return 4.2
    return 4.2 + 0.18 * -(-len(labels) // legend_columns(labels))


def confusion_panel(confusion: np.ndarray, classes: list[str], normalised: bool) -> Panel:
    """Counts (classes, classes), rows actual; `normalised` divides each row by its sum."""
    values = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1) if normalised else confusion

    def panel(axes: Axes) -> None:
        shades = LinearSegmentedColormap.from_list("fovea", [COLOURS["paper"], COLOURS["accent"]])
        top = 1.0 if normalised else max(float(values.max()), 1.0)
        axes.imshow(values, cmap=shades, vmin=0, vmax=top)
        axes.grid(False)
        names = [shorten(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) * len(names) > 48 else 0)
        axes.set_yticks(range(len(classes)), names)
        axes.set(xlabel="predicted", ylabel="actual")
        for (row, column), value in np.ndenumerate(values) if len(classes) <= MOST_CELL_TEXTS else ():
            axes.text(column, row, f"{value:.2f}" if normalised else str(value), ha="center", va="center",
                      color=COLOURS["paper"] if value >= 0.88 * top else COLOURS["ink"])

    return panel


def shorten(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0, columnspacing=1.2)
