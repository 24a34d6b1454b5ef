"""Runs in MLflow; the only module that imports it. No failure here stops a stage: it warns and goes on.

One run per training, opened by `start_training`. Each distinct evaluation of it is a child run, `log_evaluation` and
`log_report`; the run itself shows the latest. The files that DVC versions are the truth, the runs a view of them.

MLflow is imported inside the functions: it takes 2.5 to 5 s.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fovea.tracking import provenance, store
from fovea.tracking.store import ui_command
from fovea.tracking.training_run import Artifacts, Point, TrainingRun, going_on, store_files

__all__ = ["Artifacts", "TrainingRun", "log_evaluation", "log_report", "start_training", "ui_command"]

RECORDED_SECTIONS = ("dataset", "ingest", "split", "augment", "train", "machine")
LARGEST_BATCH = 1000                               # points that MLflow takes at once
LARGEST_BATCH_OF_PARAMS = 100
LONGEST_TAG = 5000
LONGEST_DIGEST = 36                                # of an input: an md5 with ".dir" is just as long
SHOWN = {"test": "test", "val": "val_best"}        # part of metrics.json: its name in MLflow
EVALUATION, LATEST, PARENT = "fovea.evaluation", "fovea.latest_evaluation", "mlflow.parentRunId"
TRAINING = "fovea.training"  # tag: the token of a training


def start_training(
    sections: Mapping[str, Any],
    *,
    data: Path | str,
    digest: str,
    device: str,
    tags: Mapping[str, str] | None = None,
    token: str = "",
    resume: str | None = None,
    started: Callable[[str], None] = lambda run_id: None,
) -> TrainingRun:
    """Open the run of a training, or the one that it had before it was killed.

    `sections` is all of params.yaml as `read_sections` gives it; `data` the folder of the image set relative to the
    project, whose last part is its name; `digest` the manifest's. `resume` is the id of the run that goes on; points up
    to the last step of each of its curves are not logged again. `token` names the training: a run that was made just
    before a kill, so that `started` never got its id, is found by it.
    """
    with going_on("this training"):
        client = _connect()
        facts = _facts(sections, Path(data), digest, {"device": device, **(tags or {})})
        run = _known(client, resume, token)
        if new := run is None:
            run = client.create_run(_experiment(client), tags=facts | ({TRAINING: token} if token else {}))
        run_id = run.info.run_id
        started(run_id)
        with going_on("the parameters"):  # from here on there is a run, which the stages after this one need
            if not run.inputs.dataset_inputs:  # written last
                _describe(client, run_id, sections, Path(data), facts)
        return TrainingRun(client, run_id, _write_points, {} if new else _written(client, run))
    return TrainingRun()


def _facts(sections: Mapping[str, Any], data: Path, digest: str, tags: dict[str, str]) -> dict[str, str]:
    """What a run is tagged with."""
    root = provenance.workspace_root()
    version = provenance.dvc_md5(data, root)
    facts = provenance.git_facts(root) | provenance.experiment_tags() | provenance.version_tags() | tags
    facts |= {"dataset.name": data.name, "dataset.digest": digest} | ({"dataset.md5": version} if version else {})
    facts |= {"mlflow.source.type": "LOCAL", "mlflow.source.name": Path(sys.argv[0]).name}
    facts |= {"mlflow.source.git.commit": facts["git.commit"]} if "git.commit" in facts else {}
    return {tag: provenance.scrub(value) for tag, value in facts.items()}


def _describe(client: Any, run_id: str, sections: Mapping[str, Any], data: Path, facts: Mapping[str, str]) -> None:
    quick = "-quick" if facts.get("fovea.quick") == "true" else ""
    unnamed = f"{data.name}-{sections['train']['model']}{quick}-{run_id[:6]}"
    client.update_run(run_id, name=facts["dvc.experiment"] + quick if "dvc.experiment" in facts else unnamed)
    _log_params(client, run_id, {name: sections[name] for name in RECORDED_SECTIONS if name in sections})
    version = facts.get("dataset.md5") or facts["dataset.digest"]
    _log_input(client, run_id, data, version[:LONGEST_DIGEST])


def _known(client: Any, run_id: str | None, token: str) -> Any:
    """The run of this id or token as RUNNING again; None if it is not in this store, or deleted."""
    from mlflow import MlflowException

    if run_id is None and token:
        found = client.search_runs([_experiment(client)], f"tags.`{TRAINING}` = '{token}'", max_results=1)
        run_id = found[0].info.run_id if found else None
    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    if "fovea.error" in run.data.tags:
        client.delete_tag(run_id, "fovea.error")
    return run


def _written(client: Any, run: Any) -> dict[str, int]:
    """The last step of each curve of a run."""
    return {name: max(point.step for point in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics}


def log_evaluation(
    run_id: str | None, metrics: Mapping[str, Any], params: Mapping[str, Any], artifacts: Artifacts | None = None
) -> str | None:
    """Record an evaluation as a child of run `run_id` and show it on that run; returns the child's id.

    `metrics` is metrics.json, `params` the section `evaluate`; together they are the key: the same evaluation is
    recorded once, whenever it comes. The run shows `test/*` and `val_best/*` of the latest and stays as it ended.
    """
    return _evaluation(run_id, metrics, params, artifacts or {}, {}, {})


def log_report(
    run_id: str | None, metrics: Mapping[str, Any], params: Mapping[str, Any], artifacts: Artifacts,
    tags: Mapping[str, str] | None = None,
) -> str | None:
    """Store the report with the evaluation that it shows, and with run `run_id`, in place of an earlier one.

    The run gets `tags`, each cut to what MLflow takes.
    """
    return _evaluation(run_id, metrics, params, artifacts, artifacts, tags or {})


def _evaluation(
    run_id: str | None, metrics: Mapping[str, Any], params: Mapping[str, Any], artifacts: Artifacts, shown: Artifacts,
    tags: Mapping[str, str],
) -> str | None:
    if run_id is None:
        print("warning: MLflow: the training was not recorded, so neither is its evaluation", file=sys.stderr)
        return None
    values = provenance.flatten_metrics({SHOWN.get(part, part): metrics[part] for part in metrics})
    with going_on("this evaluation"):
        client = _connect()
        parent = client.get_run(run_id)
        key = provenance.digest_of([metrics, params])
        child = _child(client, parent, key)
        if child.info.status != "FINISHED":
            _log_params(client, child.info.run_id, {"evaluate": params})
            _log_values(client, child.info.run_id, values)
            client.set_terminated(child.info.run_id)
        store_files(client, child.info.run_id, artifacts)
        _show_latest(client, parent, key, values)
        store_files(client, run_id, shown)
        for tag, value in tags.items():
            client.set_tag(run_id, tag, value[:LONGEST_TAG])
        return str(child.info.run_id)
    return None


def _child(client: Any, parent: Any, key: str) -> Any:
    """The run of the evaluation `key`, found again or created."""
    tags = {PARENT: parent.info.run_id, EVALUATION: key}
    same = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
    found = client.search_runs([parent.info.experiment_id], same, max_results=1)
    if found:
        return found[0]
    return client.create_run(parent.info.experiment_id, tags=tags, run_name=f"evaluation-{key[:6]}")


def _show_latest(client: Any, parent: Any, key: str, values: Mapping[str, float]) -> None:
    """Give the parent the metrics `values`. MLflow deletes none: what only an earlier one had gets NaN."""
    if parent.data.tags.get(LATEST) == key:
        return
    prefixes = tuple(f"{name}/" for name in SHOWN.values())
    gone = {name: float("nan") for name in parent.data.metrics if name.startswith(prefixes) and name not in values}
    _log_values(client, parent.info.run_id, {**values, **gone})
    client.set_tag(parent.info.run_id, LATEST, key)


def _log_params(client: Any, run_id: str, sections: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(name, value) for name, value in provenance.flatten_params(sections).items()]
    for first in range(0, len(params), LARGEST_BATCH_OF_PARAMS):
        client.log_batch(run_id, params=params[first : first + LARGEST_BATCH_OF_PARAMS])


def _write_points(client: Any, run_id: str, points: Sequence[Point]) -> None:
    from mlflow.entities import Metric

    for first in range(0, len(points), LARGEST_BATCH):
        client.log_batch(run_id, metrics=[Metric(*point) for point in points[first : first + LARGEST_BATCH]])


def _log_values(client: Any, run_id: str, values: Mapping[str, float]) -> None:
    now = int(time.time() * 1000)
    _write_points(client, run_id, [(name, value, now, 0) for name, value in values.items()])


def _log_input(client: Any, run_id: str, data: Path, digest: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = provenance.text_of({"uri": data.as_posix()})
    dataset = Dataset(name=data.name, digest=digest, source_type="local", source=source)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _connect() -> Any:
    """A client whose store is there and answers."""
    for name, value in store.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it announces each retry
    from mlflow import MlflowClient

    uri = store.store_uri()
    with store.exclusive(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)  # creates the tables of a new database
    return client


def _experiment(client: Any) -> str:
    """Id of the experiment MLFLOW_EXPERIMENT_NAME, or "fovea"; created if it is not there."""
    from mlflow import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "fovea"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, store.artifact_location(store.store_uri())))
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
