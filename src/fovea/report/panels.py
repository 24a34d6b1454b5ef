"""The panels of a report's figures: each draws one plot into axes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fovea.report.figures import COLOURS, CURVES, Panel, shorten

DASHES = ("solid", "dashed", "dotted")
MOST_CURVES = len(CURVES) * len(DASHES)
MOST_CELL_TEXTS = 15  # classes up to which the cells of a confusion matrix show their numbers


def loss_panel(history: pd.DataFrame, kept: int | None) -> Panel:
    lines = {"training": "train_loss", "validation": "val_loss"}
    return lambda axes: _epochs(axes, history, lines, "loss", kept)


def accuracy_panel(history: pd.DataFrame, kept: int | None) -> Panel:
    lines = {"training": "train_accuracy", "validation": "val_accuracy"}
    return lambda axes: _epochs(axes, history, lines, "accuracy", kept)


def validation_panel(history: pd.DataFrame, kept: int | None) -> Panel:
    lines = {"balanced accuracy": "val_balanced_accuracy", "AUROC": "val_auroc", "kappa": "val_kappa"}
    return lambda axes: _epochs(axes, history, lines, "validation", kept, CURVES)


def histories_panel(histories: dict[str, pd.DataFrame], column: str, label: str) -> Panel:
    """One column of several histories by epoch, each under its name."""

    def panel(axes: Axes) -> None:
        for number, (name, history) in enumerate(histories.items()):
            colour, dashes = CURVES[number % len(CURVES)], DASHES[number // len(CURVES) % len(DASHES)]
            axes.plot(history["epoch"], history[column], color=colour, linestyle=dashes, label=shorten(name),
                      marker="o", markersize=2.5)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend_above(axes)

    return panel


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


def reliability_panel(before: pd.DataFrame, after: pd.DataFrame) -> Panel:
    """Tables of `calibration.reliability`; the rows of the predicted class, "", are drawn."""

    def panel(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS["rule"], linewidth=1)
        for table, label, colour in ((before, "as the model says", COLOURS["accent"]),
                                     (after, "after temperature scaling", COLOURS["muted"])):
            mine = table[table["class"] == ""]
            if len(mine):
                axes.plot(mine["confidence"], mine["observed"], color=colour, label=label, marker="o", markersize=3)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="probability of the predicted class",
                 ylabel="share that is right")
        _legend_above(axes)

    return panel


def decision_panel(points: pd.DataFrame, name: str) -> Panel:
    """The rows of class `name` of `decision.decision_curve`."""
    mine = points[points["class"] == name]

    def panel(axes: Axes) -> None:
        lines = {"model": COLOURS["accent"], "treat_all": COLOURS["muted"], "treat_none": COLOURS["ink"]}
        for column, colour in lines.items():
            label = {"model": "act on the model", "treat_all": "on everybody", "treat_none": "on nobody"}[column]
            axes.plot(mine["threshold"], mine[column], color=colour, label=label,
                      linestyle="solid" if column == "model" else "dashed")
        top = float(mine[["model", "treat_all"]].max().max())
        axes.set(xlabel="probability from which one acts", ylabel="net benefit",
                 ylim=(-0.25 * top - 0.02, 1.1 * top + 0.02))
        _legend_above(axes)

    return panel


def robustness_panel(table: pd.DataFrame) -> Panel:
    """Columns change, level and balanced_accuracy of `robustness.robustness`."""

    def panel(axes: Axes) -> None:
        for (name, mine), colour in zip(table.groupby("change", sort=False), CURVES, strict=False):
            axes.plot(mine["level"], mine["balanced_accuracy"], color=colour, label=str(name), marker="o", markersize=3)
        axes.set(xlabel="strength of the change, 0 is the image as it is", ylabel="balanced accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend_above(axes)

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


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0, columnspacing=1.2)
