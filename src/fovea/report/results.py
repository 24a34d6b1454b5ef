"""Everything that a report shows, as the stages left it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from fovea.cache.read import Cache
from fovea.params.train import TrainParams


@dataclass(frozen=True)
class Results:
    """Tables and summaries of one run through the pipeline; nothing is computed again that a stage has computed."""

    title: str
    examples: int                    # example images per class
    worst: int                       # most confidently wrong images, and labels to look at again
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
    roc: pd.DataFrame                # class, fpr, tpr
    precision_recall: pd.DataFrame   # class, recall, precision
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
