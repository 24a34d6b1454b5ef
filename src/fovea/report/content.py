"""What stands in a report: the figures and rows of each table, ready for the page."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fovea.evaluation.table import confidences
from fovea.report.pictures import Picture, originals
from fovea.report.results import Results
from fovea.tracking.provenance import scrub

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
MAIN = "Balanced accuracy"
MOST_REJECTED = 50  # rows shown; the table of rejected files has all


@dataclass(frozen=True)
class Figure:
    value: float | None
    interval: list[float] | None  # lower and upper limit, 95 %


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


def headline(results: Results) -> list[tuple[str, Figure]]:
    """The four figures of the test part to see first; with a positive class its sensitivity and specificity lead."""
    if results.positive is not None:
        keys = {"Sensitivity": ("positive", "sensitivity"), "Specificity": ("positive", "specificity"),
                MAIN: ("balanced_accuracy",), "AUROC": ("positive", "auroc")}
    else:
        keys = {MAIN: ("balanced_accuracy",), "Accuracy": ("accuracy",), "AUROC, macro": ("auroc_macro",),
                "Kappa, quadratic": ("quadratic_weighted_kappa",)}
    return [(label, figure(results, "test", *path)) for label, path in keys.items()]


def figure(results: Results, part: str, *path: str) -> Figure:
    """The figure under `path` in a part of metrics.json, with its interval; undefined if the part has none."""
    values: list[Any] = [results.metrics.get(part, {}), results.intervals.get(part, {})]
    for key in path:
        values = [value.get(key, {}) for value in values]
    return Figure(*(None if value == {} else value for value in values))


def split_rows(results: Results) -> list[tuple[str, list[int], int]]:
    """Class, its images in each part, and in all."""
    rows = []
    for name in results.classes:
        counts = [int(results.split[part].get(name, 0)) for part in PARTS]
        rows.append((name, counts, sum(counts)))
    return rows


def reasons(rejected: pd.DataFrame) -> list[tuple[str, int]]:
    return [(str(reason), int(count)) for reason, count in rejected["reason"].value_counts().items()]


def metric_rows(results: Results) -> list[tuple[str, list[Figure]]]:
    """Name, test and validation value of each figure."""
    rows: dict[str, tuple[str, ...]] = {METRICS[key]: (key,) for key in METRICS}
    if results.positive is not None:
        mine = ("sensitivity", "specificity", "precision", "f1", "auroc", "average_precision")
        rows = {f"{PER_CLASS[key]} of {results.positive}": ("positive", key) for key in mine} | rows
    return [(label, [figure(results, part, *path) for part in ("test", "val")]) for label, path in rows.items()]


def class_rows(results: Results) -> list[tuple[str, list[Figure], int]]:
    """Class, its figures of the test part, and its support."""
    return [(name, [figure(results, "test", "classes", name, key) for key in PER_CLASS], row["support"])
            for name, row in results.metrics["test"]["classes"].items()]


def average_rows(results: Results) -> list[tuple[str, list[Figure]]]:
    """Macro and weighted averages under the columns of `class_rows`, undefined where there is none."""
    ranked = {"auroc", "average_precision"}
    macro = [figure(results, "test", f"{key}_macro" if key in ranked else f"macro_{key}") for key in PER_CLASS]
    return [("macro average", macro),
            ("weighted average", [figure(results, "test", f"weighted_{key}") for key in PER_CLASS])]


def operating_rows(results: Results) -> list[dict[str, Any]]:
    """Rows of operating_points.csv: class, wanted, value, threshold, and sensitivity and specificity as `Figure`."""
    return [
        {**_named(row), "threshold": _defined(row["threshold"]),
         **{key: Figure(_defined(row[key]), _limits(row, key)) for key in ("sensitivity", "specificity")}}
        for row in results.operating_points.to_dict("records")
    ]


def subgroup_rows(results: Results) -> list[tuple[str, list[dict[str, Any]]]]:
    """Column, and its subgroups: value, n, groups, worst, compared, rest and balanced accuracy as `Figure`.

    A column in which all test images are alike has no rows.
    """
    if not len(results.subgroups):
        return []
    return [
        (str(column), [{**_named(row), "balanced_accuracy": Figure(_defined(row["balanced_accuracy"]),
                                                           _limits(row, "balanced_accuracy"))}
                       for row in table.to_dict("records")])
        for column, table in results.subgroups.groupby("column", sort=False) if len(table) > 1
    ]


def _named(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _limits(row: Mapping[Any, Any], key: str) -> list[float] | None:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return None if np.isnan(low) else [float(low), float(high)]


def most_wrong(results: Results) -> list[Mistake]:
    """The test images with the highest probability of a wrong class, highest first."""
    test = results.test
    wrong = test[test["label"] != test["prediction"]].copy()
    wrong["confidence"] = confidences(wrong, results.classes)
    wrong = wrong.sort_values(["confidence", "image"], ascending=[False, True]).head(results.params.worst)
    return [Mistake(picture, row["prediction"], row["confidence"], row[f"p_{row['label']}"])
            for picture, (_, row) in zip(originals(results.cache, wrong["image"]), wrong.iterrows(), strict=True)]


def count_wrong(results: Results, parts: Collection[str] = ("test",)) -> tuple[int, int]:
    """Wrong and all predictions of some parts."""
    rows = results.predictions[results.predictions["split"].isin(list(parts))]
    return int((rows["label"] != rows["prediction"]).sum()), len(rows)


def suspects(results: Results) -> list[Suspect]:
    """The labels that are most likely wrong, worst first, as many as most confidently wrong images."""
    rows = results.suspicious.head(results.params.worst)
    return [Suspect(picture, PARTS[row["split"]], row["suggested"], row["p_label"], row["p_suggested"])
            for picture, (_, row) in zip(originals(results.cache, rows["image"]), rows.iterrows(), strict=True)]


def confusion(results: Results) -> np.ndarray:
    return np.array(results.metrics["test"]["confusion_matrix"])


def sections_as_yaml(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """Each section as YAML, without credentials."""
    return [(name, scrub(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=60)))
            for name, values in parameters.items()]
