"""What the experiments of a sweep found: a row for each, the spread of each metric, predictions out of fold."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fovea.errors import UserError
from fovea.evaluation.curves import roc_points
from fovea.evaluation.metrics import confusion_matrix, score
from fovea.evaluation.table import read_predictions, write_predictions
from fovea.files import replacing, write_json
from fovea.report.figures import draw, save_png
from fovea.report.panels import confusion_panel, curves_height, roc_panel
from fovea.revisions import read_at, read_tracked
from fovea.sweep.experiments import Experiment
from fovea.tables import write_table
from fovea.tracking.provenance import flatten_metrics

CURVE_POINTS = 500


@dataclass(frozen=True)
class Run:
    """A finished experiment. `metrics` is reports/metrics.json, `predictions` reports/predictions.csv."""

    experiment: Experiment
    commit: str
    run_id: str | None
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    training: str | None = None  # its token, by which MLflow has the run that `fovea sync` made


def read_run(root: Path, experiment: Experiment, commit: str) -> Run:
    """Raises UserError if the experiment's results are in neither git nor DVC's cache."""
    try:
        metrics, mlflow = (json.loads(_tracked_text(root, commit, path))
                           for path in ("reports/metrics.json", "mlflow_run.json"))
        predictions = read_predictions(io.BytesIO(read_at(commit, "reports/predictions.csv")))
    except LookupError as error:
        raise UserError(f"{experiment.name}: its results are gone ({error}); `dvc pull`, or `dvc exp remove "
                        f"{experiment.name}` and run again") from None
    return Run(experiment, commit, mlflow["run_id"], metrics, predictions, mlflow.get("training"))


def _tracked_text(root: Path, commit: str, path: str) -> str:
    text = read_tracked(root, commit, path)
    if text is None:
        raise LookupError(path)
    return text


def runs_table(runs: list[Run]) -> pd.DataFrame:
    """A row for each run: experiment, seed, fold, commit, run_id, and each metric such as test/balanced_accuracy."""
    rows = [{"experiment": run.experiment.name, "seed": run.experiment.seed, "fold": run.experiment.fold,
             "commit": run.commit, "run_id": run.run_id, **flatten_metrics(run.metrics)} for run in runs]
    return pd.DataFrame(rows)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Columns metric, mean, std (of a sample: n - 1), min, max, n of the metrics of `runs_table`.

    A run in which a metric is not defined does not count in its n; std is NaN for n = 1.
    """
    values = table.iloc[:, 5:].astype(float)
    figures = {"mean": values.mean(), "std": values.std(ddof=1), "min": values.min(), "max": values.max(),
               "n": values.count()}
    return pd.DataFrame(figures).rename_axis("metric").reset_index()


def out_of_fold(runs: list[Run]) -> pd.DataFrame:
    """Each image of the folds once, by the models that did not see it.

    Columns image, split, fold, label, prediction, p_<class>. Probabilities are the mean over seeds, the prediction is
    what `decided` makes of them: the likeliest class, of grades (`ordinal`) the median. Folds of validation have chosen
    the epoch, which favours them a little. Raises UserError if the runs are not of the same images.
    """
    from fovea.training.loss import decided  # imports torch, which takes seconds

    part = held_out(runs)
    tables = [run.predictions[run.predictions["split"] == part].assign(fold=run.experiment.fold) for run in runs]
    rows = pd.concat(tables, ignore_index=True)
    columns = [name for name in rows.columns if name.startswith("p_")]
    images = rows.groupby("image")
    seeds = len({run.experiment.seed for run in runs})
    if rows[columns].isna().any(axis=None) or (images.size() != seeds).any() or (images["fold"].nunique() != 1).any():
        raise UserError("sweep: its experiments are not of the same images, so the set in data/raw has changed between "
                        "them; `dvc exp remove` those of this sweep, or choose another name")
    table = images[["split", "fold", "label"]].first()
    chances = images[columns].mean()
    predicted = decided(runs[0].experiment.params["train"]["loss"]["name"], chances.to_numpy())
    table["prediction"] = np.array([name[2:] for name in columns], dtype=object)[predicted]
    return table.join(chances).reset_index()


def held_out(runs: list[Run]) -> str:
    """The part that the folds are of: "val" where all runs share a given test part, else "test"."""
    tested = {frozenset(run.predictions.loc[run.predictions["split"] == "test", "image"]) for run in runs}
    folds = len({run.experiment.fold for run in runs})
    return "val" if folds > 1 and len(tested) == 1 else "test"


def write_results(folder: Path, runs: list[Run]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Write the tables and figures of a sweep into `folder`; returns the summary and the metrics out of fold."""
    table, predictions = runs_table(runs), out_of_fold(runs)
    summary = summarise(table)
    classes = [name[2:] for name in predictions.columns if name.startswith("p_")]
    metrics = score(predictions, classes, runs[0].experiment.params["dataset"]["positive"])
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_table(temporary / "runs.csv", table)
        write_table(temporary / "summary.csv", summary)
        write_predictions(temporary / "out_of_fold.csv", predictions)
        write_json(temporary / "out_of_fold.json", metrics)
        _write_figures(temporary, predictions, classes)
    return summary, metrics


def _write_figures(folder: Path, predictions: pd.DataFrame, classes: list[str]) -> None:
    confusion = confusion_matrix(predictions, classes)
    panels = [confusion_panel(confusion, classes, normalised) for normalised in (False, True)]
    save_png(draw(*panels, height=4.2), folder / "out_of_fold-confusion.png")
    points = roc_points(predictions, classes, CURVE_POINTS)
    labels = {name: name for name in points["class"].unique()}
    save_png(draw(roc_panel(points, labels), height=curves_height(labels)), folder / "out_of_fold-roc.png")
