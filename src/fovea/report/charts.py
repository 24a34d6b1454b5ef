"""The charts of a page: an SVG each, and the values that a reader finds under the pointer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fovea.report import figures, panels
from fovea.report.results import Results

MOST_POINTS = 200  # of a curve, that the pointer finds: closer ones can't be told apart on a screen
DIGITS = 4


@dataclass(frozen=True)
class Chart:
    title: str
    description: str  # for those who don't see it
    caption: str
    svg: str
    values: dict[str, Any]  # `frame` of figures.frame, `fields`: names of the numbers, `curves`: name and rows of each


def kept_epoch(results: Results) -> int | None:
    """The epoch whose weights were kept, if the history has it."""
    epoch = results.model["best"]["epoch"]
    return int(epoch) if epoch in set(results.history["epoch"]) else None


def curve_labels(results: Results, figure: str) -> dict[str, str]:
    """Classes whose curves are drawn, with their area; of two classes, the positive alone."""
    rows = results.metrics["test"]["classes"]
    names = [results.positive] if results.positive is not None else results.classes
    drawn = set(results.roc["class"])
    return {name: f"{figures.shorten(name)} ({rows[name][figure]:.3f})" for name in names if name in drawn}


def training_charts(results: Results) -> list[Chart]:
    history, kept = results.history, kept_epoch(results)
    fields = {name: ["epoch", name] for name in ("loss", "accuracy", "value")}
    charts = [
        chart("Loss by epoch", _course(history, "loss"), panels.loss_panel(history, kept), fields["loss"]),
        chart("Accuracy by epoch", _course(history, "accuracy"), panels.accuracy_panel(history, kept),
              fields["accuracy"]),
    ]
    if history["val_loss"].notna().any():
        charts.append(chart("Validation by epoch", _last(history), panels.validation_panel(history, kept),
                            fields["value"]))
    if len(results.steps):
        loss = results.steps["loss"]
        text = f"Training loss from {loss.iloc[0]:.3f} to {loss.iloc[-1]:.3f} over {len(loss)} logged steps."
        charts.append(chart("Training loss by step", text, panels.steps_panel(results.steps), ["step", "loss"]))
    return charts


def test_charts(results: Results) -> list[Chart]:
    auroc, precision = curve_labels(results, "auroc"), curve_labels(results, "average_precision")
    height = panels.curves_height(auroc)
    value = "in brackets" if len(auroc) <= panels.MOST_CURVES else "of each class in the table above"
    return [
        chart("ROC, one class against the rest", "Areas under the curves: " + ", ".join(auroc.values()) + ".",
              panels.roc_panel(results.roc, auroc), ["1 - specificity", "sensitivity", "threshold"],
              f"Area under the curve {value}. The diagonal is chance.", height, _thresholds(results.roc, auroc)),
        chart("Precision and recall", "Average precisions: " + ", ".join(precision.values()) + ".",
              panels.precision_recall_panel(results.precision_recall, precision),
              ["sensitivity", "precision", "threshold"], f"Average precision {value}.", height,
              _thresholds(results.precision_recall, precision)),
    ]


def trust_charts(results: Results) -> list[Chart]:
    """Reliability, the decision curve of the positive class, and robustness where it was computed."""
    before, after = results.reliability
    overall = before[before["class"] == ""]
    charts = []
    if len(overall):
        (low, right_low), (high, right_high) = overall[["confidence", "observed"]].iloc[[0, -1]].to_numpy()
        text = f"From {right_low:.2f} right at a probability of {low:.2f} to {right_high:.2f} at {high:.2f}."
        charts.append(chart("Reliability", text, panels.reliability_panel(before, after), ["probability", "right"],
                            "On the diagonal a probability means what it says; below it the model is too sure.", 4.2))
    if results.positive is not None:
        text = f"Net benefit of acting on the model, on everybody and on nobody, for {results.positive}."
        charts.append(chart("Decision curve", text, panels.decision_panel(results.decision, results.positive),
                            ["threshold", "net benefit"], f"{text} Acting on the model is worth it where its line is "
                            "the highest.", 4.2))
    if results.robustness is not None:
        charts.append(chart("Under small changes of the images", _hardest(results.robustness),
                            panels.robustness_panel(results.robustness), ["level", "balanced accuracy"], "", 4.2))
    return charts


def chart(
    title: str, description: str, panel: figures.Panel, fields: list[str], caption: str = "", height: float = 3.1,
    third: Sequence[np.ndarray] = (),
) -> Chart:
    """`third` has a third number for each point of each curve, in the order in which they are drawn."""
    figure = figures.draw(panel, height=height)
    svg = figures.as_svg(figure, title.split(",")[0].lower().replace(" ", "-"))
    values = {"frame": [round(value, 2) for value in figures.frame(figure)], "fields": fields,
              "curves": _curves(figure, third)}
    return Chart(title, description, caption or description, svg, values)


def _curves(figure: Figure, third: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """The drawn lines that have a name, as rows of numbers; null for what is undefined."""
    axes = figure.axes[0]
    lines = [line for line in axes.lines if line.get_transform() == axes.transData  # not the mark of the kept epoch
             and not str(line.get_label()).startswith("_")]  # nor chance
    curves = []
    for number, line in enumerate(lines):
        columns = [line.get_xdata(), line.get_ydata(), *third[number : number + 1]]
        rows = np.column_stack([np.asarray(column, float) for column in columns])
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_POINTS).round().astype(int))]
        curves.append({"name": str(line.get_label()), "rows": [
            [None if np.isnan(value) else round(float(value), DIGITS) for value in row]
            for row in rows if not np.isnan(row[:2]).any()]})
    return curves


def _thresholds(points: pd.DataFrame, labels: Mapping[str, str]) -> list[np.ndarray]:
    return [points.loc[points["class"] == name, "threshold"].to_numpy(float) for name in labels]


def _course(history: pd.DataFrame, metric: str) -> str:
    """Where the training and validation curves begin and end, in words."""
    texts = []
    for part, name in (("train", "Training"), ("val", "validation")):
        values = history[f"{part}_{metric}"].dropna()
        if len(values):
            texts.append(f"{name} {metric} from {values.iloc[0]:.3f} to {values.iloc[-1]:.3f}")
    return ", ".join(texts) + f" over {len(history)} epochs."


def _last(history: pd.DataFrame) -> str:
    names = {"val_balanced_accuracy": "balanced accuracy", "val_auroc": "AUROC", "val_kappa": "kappa"}
    last = [f"{label} {history[key].iloc[-1]:.3f}" for key, label in names.items() if pd.notna(history[key].iloc[-1])]
    return "At the last epoch: " + ", ".join(last) + "."


def _hardest(table: pd.DataFrame) -> str:
    """Which change costs most, in words."""
    plain = table.loc[table["level"] == 0, "balanced_accuracy"].iloc[0]
    worst = table.iloc[int(table["balanced_accuracy"].argmin())]
    if worst["balanced_accuracy"] >= plain:
        return f"No change takes it below the {plain:.3f} of the images as they are."
    return f"{worst['change']} takes it from {plain:.3f} to {worst['balanced_accuracy']:.3f}, the most of all changes."
