"""A result that may be registered: its files, its test rows, and what is to be known of it."""

import json
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fovea.classifier.classifier import Classifier, load_classifier
from fovea.compare.side import Side
from fovea.errors import UserError
from fovea.lock import LOCK, SILENT
from fovea.promote.decision import test_rows
from fovea.tracking.provenance import digest_of, read_stages
from fovea.versions import MANIFEST

MODEL, PREDICTION, RUN = "models/model.pt", "models/prediction.pt", "mlflow_run.json"


@dataclass(frozen=True)
class Candidate:
    side: Side
    classifier: Classifier
    rows: pd.DataFrame  # of `test_rows`, groups as arbitrary numbers: theirs may be those of patients
    run_id: str | None  # of its training in MLflow
    training: str       # token of its training

    @property
    def key(self) -> str:
        """Tells this model with this evaluation from any other."""
        found = self.classifier.prediction
        beside = [found.model, found.views, found.temperature, found.points, found.reference.limits]
        return digest_of([beside, self.rows.to_csv(index=False, float_format="%.9g")])

    @property
    def figures(self) -> dict[str, float]:
        """Of its test part as a whole."""
        return {name: value for name, value in self.side.metrics.items() if isinstance(value, int | float)}


def read_candidate(side: Side, folder: Path) -> Candidate:
    """The result `side`, whose files are put into `folder`. Raises UserError with what it lacks."""
    if side.mixed:
        raise UserError(f"{side.name}: {side.mixed}")
    if side.predictions is None or side.images is None:
        raise UserError(f"{side.name}: {side.missing or side.unknown}; without its test images it can't be compared")
    for path in (MODEL, PREDICTION):
        (folder / Path(path).name).write_bytes(_read(side, path))
    _require_of_one_run(side)
    run = json.loads(_read(side, RUN))
    rows = test_rows(side.predictions, side.images.images)
    if rows.empty:
        raise UserError(f"{side.name}: it has no test images, so nothing tells how good it is")
    numbers = pd.factorize(rows["group"])[0].astype(str)  # no digests: a number of a patient is found by trying all
    hidden = rows.assign(group=np.where(rows["group"] == "", "", numbers))
    classifier = load_classifier(folder / Path(MODEL).name, torch.device("cpu"))
    return Candidate(side, classifier, hidden, run["run_id"], run.get("training", ""))


def _require_of_one_run(side: Side) -> None:
    """Such as after `dvc repro ingest`, where the manifest has other images than those that were predicted."""
    stages = [stage for name, stage in read_stages(_read(side, LOCK).decode()).items() if name not in SILENT]
    for path in (MODEL, PREDICTION, MANIFEST):
        digest = md5(_read(side, path), usedforsecurity=False).hexdigest()
        if any(item["path"] == path and item.get("md5") != digest
               for stage in stages for kind in ("deps", "outs") for item in stage.get(kind, [])):
            raise UserError(f"{side.name}: its {path} is not of the run that its {LOCK} speaks of; dvc repro")


def _read(side: Side, path: str) -> bytes:
    try:
        return side.read(path)
    except LookupError as error:
        raise UserError(f"{side.name}: {error}; dvc pull --all-commits, or dvc exp pull, gets what was "
                        "pushed") from None
