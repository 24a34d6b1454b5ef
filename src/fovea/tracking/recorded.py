"""What MLflow gets of a result, by its files: the same whether a stage logs it or `fovea sync` does so later."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RUN, METRICS, INTERVALS = "mlflow_run.json", "reports/metrics.json", "reports/intervals.json"
MODEL, HISTORY, STEPS = "models/model.json", "reports/history.csv", "reports/steps.csv"
SUMMARY = "reports/summary.md"
OF_TRAINING = {"model": ["models/model.pt", MODEL], "": [HISTORY, STEPS]}  # folder within the run: files of the project
OF_EVALUATION = {"evaluation": ["models/prediction.pt", *(f"reports/{name}" for name in (
    "metrics.json", "intervals.json", "calibration.json", "operating_points.csv", "subgroups.csv", "predictions.csv",
    "suspicious_labels.csv", "explanations.json"))]}  # fmt: skip
OF_REPORT = {"report": ["reports/report.html", "reports/figures", SUMMARY]}
COUNTED = ("epoch", "samples")  # columns of history.csv that are no figures


def of_epoch(
    row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], data_wait: float = math.nan
) -> Iterator[tuple[dict[str, float], int]]:
    """Points of one epoch as (value by curve, place on the axis): its row of history.csv, its rows of steps.csv.

    `data_wait` is the share of its time in which the model waited for data; no file has that.
    """
    figures = {name: value for name, value in row.items() if isinstance(value, float)} | {"data_wait": data_wait}
    yield {f"epoch/{name}": value for name, value in figures.items() if math.isfinite(value)}, int(row["epoch"])
    for step in steps:
        yield {"samples/train_loss": float(step["loss"]), "samples/lr": float(step["lr"])}, int(step["samples"])


def of_files(history: str, steps: str) -> Iterator[tuple[dict[str, float], int]]:
    """The points of a whole training, from the texts of history.csv and steps.csv."""
    of_steps: dict[str, list[dict[str, str]]] = {}
    for step in csv.DictReader(io.StringIO(steps)):
        of_steps.setdefault(step["epoch"], []).append(step)
    for texts in csv.DictReader(io.StringIO(history)):
        yield from of_epoch(_row(texts), of_steps.get(texts["epoch"], []))


def _row(texts: Mapping[str, str]) -> dict[str, Any]:
    """A row of history.csv with its types; what is not defined is empty there."""
    figures = {name: float(text) for name, text in texts.items() if text and name not in ("phase", *COUNTED)}
    return figures | {name: int(texts[name]) for name in COUNTED}
