"""Everything that a report shows, as the stages left it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from fovea.cache.read import Cache
from fovea.params.report import ReportParams
from fovea.params.train import TrainParams
from fovea.report.changes import Changes


@dataclass(frozen=True)
class Results:
    """Tables and summaries of one run through the pipeline; nothing is computed again that a stage has computed."""

    params: ReportParams
    parameters: dict[str, Any]       # sections of the parameter file
    train: TrainParams
    commands: dict[str, str]         # stage: command line
    ingest: dict[str, Any]
    rejected: pd.DataFrame           # image, reason
    split: dict[str, Any]
    audit: dict[str, Any]
    augment: dict[str, Any]
    history: pd.DataFrame            # one row per epoch
    steps: pd.DataFrame              # one row per logged step
    predictions: pd.DataFrame
    suspicious: pd.DataFrame         # of predictions: labels that are most likely wrong, worst first
    metrics: dict[str, Any]          # part: figures
    intervals: dict[str, Any]        # part: [lower, upper] or None under the names of the figures
    calibration: dict[str, Any]
    operating_points: pd.DataFrame
    subgroups: pd.DataFrame
    roc: pd.DataFrame                # class, fpr, tpr, threshold
    precision_recall: pd.DataFrame   # class, recall, precision, threshold
    reliability: tuple[pd.DataFrame, pd.DataFrame]  # before and after temperature scaling
    decision: pd.DataFrame           # class, threshold and net benefits
    robustness: pd.DataFrame | None  # None unless it was asked for
    explained: pd.DataFrame          # image, label, prediction, p, kind, file
    explanations: dict[str, Any]     # layer, pointing
    changes: Changes | None          # since the commit that the run started from; None without one that has results
    model: dict[str, Any]
    run: dict[str, Any]              # run_id
    cache: Cache

    @property
    def name(self) -> str:
        """Name of the image set."""
        return str(self.parameters["dataset"]["name"])

    @property
    def classes(self) -> list[str]:
        return list(self.model["classes"])

    @property
    def positive(self) -> str | None:
        positive: str | None = self.model["positive"]
        return positive

    @property
    def test(self) -> pd.DataFrame:
        """Predictions of the test part."""
        return self.predictions[self.predictions["split"] == "test"]
