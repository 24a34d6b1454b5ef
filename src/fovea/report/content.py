"""What stands in a report: the figures and rows of each table, ready for the page."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fovea.report import figures
from fovea.report.pictures import Picture, originals
from fovea.report.results import Results

PARTS = {"train": "training", "val": "validation", "test": "test"}
METRICS = {
    "balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy", "auroc_macro": "AUROC, one-vs-rest, macro",
    "average_precision_macro": "Average precision, macro", "quadratic_weighted_kappa": "Quadratic weighted kappa",
    "log_loss": "Log loss",
}
PER_CLASS = {
    "precision": "Precision", "sensitivity": "Sensitivity", "specificity": "Specificity", "f1": "F1",
    "auroc": "AUROC", "average_precision": "Average precision",
}
MOST_REJECTED = 50  # rows shown; the table of rejected files has all


@dataclass(frozen=True)
class Chart:
    title: str
    description: str  # for those who don't see it
    caption: str
    svg: str


@dataclass(frozen=True)
class Mistake:
    picture: Picture
    predicted: str
    confidence: float  # probability of the predicted class
    chance: float      # probability of the actual class


@dataclass(frozen=True)
class Suspect:
    picture: Picture
    part: str
    suggested: str
    p_label: float
    p_suggested: float


def headline(results: Results) -> list[tuple[str, float | None]]:
    """The four figures of the test part to see first; with a positive class its sensitivity and specificity lead."""
    test = results.metrics["test"]
    first: list[tuple[str, float | None]] = [("Balanced accuracy", test["balanced_accuracy"])]
    last: list[tuple[str, float | None]] = [("AUROC, macro", test["auroc_macro"])]
    if results.positive is not None:
        mine = test["positive"]
        return [("Sensitivity", mine["sensitivity"]), ("Specificity", mine["specificity"]), *first,
                ("AUROC", mine["auroc"])]
    return [*first, ("Accuracy", test["accuracy"]), *last, ("Kappa, quadratic", test["quadratic_weighted_kappa"])]


def split_rows(results: Results) -> list[tuple[str, list[int], int]]:
    """Class, its images in each part, and in all."""
    rows = []
    for name in results.classes:
        counts = [int(results.split[part].get(name, 0)) for part in PARTS]
        rows.append((name, counts, sum(counts)))
    return rows


def reasons(rejected: pd.DataFrame) -> list[tuple[str, int]]:
    return [(str(reason), int(count)) for reason, count in rejected["reason"].value_counts().items()]


def metric_rows(results: Results) -> list[tuple[str, list[float | None]]]:
    """Name, test and validation value of each figure."""
    parts = [results.metrics["test"], results.metrics.get("val", {})]
    rows = []
    if results.positive is not None:
        rows = [(f"{PER_CLASS[key]} of {results.positive}", [part.get("positive", {}).get(key) for part in parts])
                for key in ("sensitivity", "specificity", "precision", "f1", "auroc", "average_precision")]
    return rows + [(label, [part.get(key) for part in parts]) for key, label in METRICS.items()]


def class_rows(results: Results) -> list[tuple[str, list[float | None], int]]:
    """Class, its figures of the test part, and its support."""
    return [(name, [row[key] for key in PER_CLASS], row["support"])
            for name, row in results.metrics["test"]["classes"].items()]


def average_rows(results: Results) -> list[tuple[str, list[float | None]]]:
    """Macro and weighted averages under the columns of `class_rows`, None where there is none."""
    test = results.metrics["test"]
    macro = [test.get(f"macro_{key}", test.get(f"{key}_macro")) for key in PER_CLASS]
    return [("macro average", macro), ("weighted average", [test.get(f"weighted_{key}") for key in PER_CLASS])]


def most_wrong(results: Results) -> list[Mistake]:
    """The test images with the highest probability of a wrong class, highest first."""
    test = results.predictions[results.predictions["split"] == "test"]
    wrong = test[test["label"] != test["prediction"]].copy()
    wrong["confidence"] = [row[f"p_{row['prediction']}"] for _, row in wrong.iterrows()]
    wrong = wrong.sort_values(["confidence", "image"], ascending=[False, True]).head(results.worst)
    return [Mistake(picture, row["prediction"], row["confidence"], row[f"p_{row['label']}"])
            for picture, (_, row) in zip(originals(results.cache, wrong["image"]), wrong.iterrows(), strict=True)]


def count_wrong(results: Results, parts: Collection[str] = ("test",)) -> tuple[int, int]:
    """Wrong and all predictions of some parts."""
    rows = results.predictions[results.predictions["split"].isin(list(parts))]
    return int((rows["label"] != rows["prediction"]).sum()), len(rows)


def suspects(results: Results) -> list[Suspect]:
    """The labels that are most likely wrong, worst first, as many as most confidently wrong images."""
    rows = results.suspicious.head(results.worst)
    return [Suspect(picture, PARTS[row["split"]], row["suggested"], row["p_label"], row["p_suggested"])
            for picture, (_, row) in zip(originals(results.cache, rows["image"]), rows.iterrows(), strict=True)]


def confusion(results: Results) -> np.ndarray:
    return np.array(results.metrics["test"]["confusion_matrix"])


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
    charts = [
        _chart("Loss by epoch", _course(history, "loss"), figures.loss_panel(history, kept)),
        _chart("Accuracy by epoch", _course(history, "accuracy"), figures.accuracy_panel(history, kept)),
    ]
    if history["val_loss"].notna().any():
        charts.append(_chart("Validation by epoch", _last(history), figures.validation_panel(history, kept)))
    if len(results.steps):
        loss = results.steps["loss"]
        text = f"Training loss from {loss.iloc[0]:.3f} to {loss.iloc[-1]:.3f} over {len(loss)} logged steps."
        charts.append(_chart("Training loss by step", text, figures.steps_panel(results.steps)))
    return charts


def test_charts(results: Results) -> list[Chart]:
    auroc, precision = curve_labels(results, "auroc"), curve_labels(results, "average_precision")
    height = figures.curves_height(auroc)
    value = "in brackets" if len(auroc) <= figures.MOST_CURVES else "of each class in the table above"
    return [
        _chart("ROC, one class against the rest", "Areas under the curves: " + ", ".join(auroc.values()) + ".",
               figures.roc_panel(results.roc, auroc), f"Area under the curve {value}. The diagonal is chance.", height),
        _chart("Precision and recall", "Average precisions: " + ", ".join(precision.values()) + ".",
               figures.precision_recall_panel(results.precision_recall, precision), f"Average precision {value}.",
               height),
    ]


def sections_as_yaml(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=60))
            for name, values in parameters.items()]


def _chart(title: str, description: str, panel: figures.Panel, caption: str = "", height: float = 3.1) -> Chart:
    name = title.split(",")[0].lower().replace(" ", "-")
    return Chart(title, description, caption or description, figures.as_svg(figures.draw(panel, height=height), name))


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
    last = [f"{label} {history[key].iloc[-1]:.3f}" for key, label in names.items()]
    return "At the last epoch: " + ", ".join(last) + "."
