"""What MLflow's client is asked for: its connection, and parameters, tags and points in the portions that it takes.

`import mlflow` takes 2.5 to 5 s, so it stands within the functions.
"""

import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fovea.tracking import provenance, store
from fovea.tracking.training_run import Point

LARGEST_BATCH = 1000  # points that MLflow takes at once
LARGEST_BATCH_OF_PARAMS = 100
LONGEST_TAG = 5000
# Codes of errors where there is no such run; a server with users does not tell that from one that is not allowed
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED")


def import_client() -> Any:
    """The class of MLflow's client, in an environment that suits it."""
    for name, value in store.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it announces each retry
    from mlflow import MlflowClient

    return MlflowClient


def connect() -> Any:
    """A client whose store is there and answers."""
    uri = store.store_uri()
    make = import_client()
    with store.exclusive(uri):
        client = make(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)  # creates the tables of a new database
    return client


def find_experiment(client: Any) -> str:
    """Id of the experiment MLFLOW_EXPERIMENT_NAME, or "fovea"; created if it is not there."""
    from mlflow import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fovea"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            kind = {"mlflow.experimentKind": "custom_model_development"}  # else the UI opens for language models
            return str(client.create_experiment(name, store.artifact_location(store.store_uri()), kind))
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def experiments(client: Any) -> list[str]:
    """Ids of all experiments of the store: a training may have run under another name than is set now."""
    found = page = client.search_experiments()
    while page.token:
        page = client.search_experiments(page_token=page.token)
        found = [*found, *page]
    return [each.experiment_id for each in found]


def set_tags(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    """Tag a run, without credentials, each value cut to what MLflow takes."""
    for tag, value in tags.items():
        client.set_tag(run_id, tag, provenance.scrub(value)[:LONGEST_TAG])


def log_params(client: Any, run_id: str, sections: Mapping[str, Any], there: Collection[str] = ()) -> bool:
    """Log parameters but those that are `there` by name, which MLflow lets nobody change; whether there were any."""
    from mlflow.entities import Param

    flat = provenance.flatten_params(sections)
    params = [Param(name, value) for name, value in flat.items() if name not in there]
    for first in range(0, len(params), LARGEST_BATCH_OF_PARAMS):
        client.log_batch(run_id, params=params[first : first + LARGEST_BATCH_OF_PARAMS])
    return bool(params)


def write_points(client: Any, run_id: str, points: Sequence[Point]) -> None:
    from mlflow.entities import Metric

    for first in range(0, len(points), LARGEST_BATCH):
        client.log_batch(run_id, metrics=[Metric(*point) for point in points[first : first + LARGEST_BATCH]])


def log_values(client: Any, run_id: str, values: Mapping[str, float]) -> None:
    now = int(time.time() * 1000)
    write_points(client, run_id, [(name, value, now, 0) for name, value in values.items()])


def log_input(client: Any, run_id: str, data: Path, digest: str, counts: Mapping[str, int]) -> None:
    from mlflow import MlflowException
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = provenance.scrub(provenance.text_of({"uri": data.as_posix()}))
    profile = provenance.text_of({"num_rows": sum(counts.values()), **counts}) if counts else None
    dataset = Dataset(name=data.name, digest=digest, source_type="local", source=source, profile=profile)
    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException as error:  # of trainings that bring an image set to a server at once, it takes one
        if error.error_code != "BAD_REQUEST":
            raise
        client.log_inputs(run_id, inputs)
