"""A result read back from MLflow, where no revision of the project holds it any more."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from fovea.errors import UserError
from fovea.tracking import store
from fovea.tracking.client import MISSING, connect
from fovea.tracking.evaluations import EVALUATION, LATEST
from fovea.tracking.notes import PARENT
from fovea.tracking.provenance import scrub
from fovea.tracking.runs import TRAINING
from fovea.tracking.sweeps import SWEEP
from fovea.tracking.trouble import trouble


class Logged(NamedTuple):
    name: str               # of the run
    params: dict[str, str]  # of its training and of the evaluation
    tags: dict[str, str]    # of its training
    files: Path             # folder with what `evaluate` logged
    token: str              # of its training; "" for an evaluation, of which that may have several


def read_logged(run_id: str, folder: Path) -> Logged:
    """The training `run_id` with its latest evaluation, or the evaluation `run_id`; its files go into `folder`.

    Raises LookupError if the store has no such run or no evaluation of it, UserError if the store can't be used.
    """
    from mlflow import MlflowException

    uri = store.store_uri()
    if (file := store.sqlite_file(uri)) and not file.is_file():
        raise LookupError("there is no MLflow store here")
    try:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # it would stand among the lines
        client = connect()
        training, evaluation = _runs(client, run_id)
        client.download_artifacts(evaluation.info.run_id, "evaluation", str(folder))
    except LookupError:
        raise
    except MlflowException as error:
        if error.error_code in MISSING:
            raise LookupError(f"{scrub(uri)} has no such run") from None
        raise _unusable(uri, error) from None
    except Exception as error:  # whatever SQLAlchemy, requests or the disk raise
        raise _unusable(uri, error) from None
    token = training.data.tags.get(TRAINING, "") if training.info.run_id == run_id else ""
    return Logged(training.info.run_name, training.data.params | evaluation.data.params, training.data.tags,
                  folder / "evaluation", token)


def _runs(client: Any, run_id: str) -> tuple[Any, Any]:
    """The run of the training and that of the evaluation."""
    run = client.get_run(run_id)
    if EVALUATION in run.data.tags:
        return client.get_run(run.data.tags[PARENT]), run
    if SWEEP in run.data.tags:
        raise LookupError("it is a sweep; name one of its child runs")
    key = run.data.tags.get(LATEST)
    found = key and client.search_runs(
        [run.info.experiment_id], f"tags.`{EVALUATION}` = '{key}' and tags.`{PARENT}` = '{run_id}'", max_results=1)
    if not found:
        raise LookupError("it has no evaluation; `dvc repro` goes on from there")
    return run, found[0]


def _unusable(uri: str, error: Exception) -> UserError:
    return UserError(f"MLflow: {scrub(uri)} cannot be read: {trouble(error, uri)}")
