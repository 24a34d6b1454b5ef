"""Evaluations in MLflow: each a child of the run of its training, which shows the latest."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fovea.tracking import provenance
from fovea.tracking.client import connect, log_params, log_values, set_tags
from fovea.tracking.notes import PARENT, write_note
from fovea.tracking.runs import find_training
from fovea.tracking.training_run import Artifacts, going_on, store_files

SHOWN = {"test": "test", "val": "val_best"}        # part of metrics.json: its name in MLflow
INTERVAL = "interval"
EVALUATION, LATEST = "fovea.evaluation", "fovea.latest_evaluation"


@dataclass(frozen=True)
class Evaluation:
    """metrics.json, the section `evaluate` and intervals.json of one evaluation. The first two are what tells it from
    another of the same training."""

    metrics: Mapping[str, Any]
    params: Mapping[str, Any]
    intervals: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        return provenance.digest_of([self.metrics, self.params])

    def values(self) -> dict[str, float]:
        """What MLflow shows: `test/*`, `val_best/*`, and of the test part as a whole `interval/*_low`, `*_high`."""
        values = provenance.flatten_metrics({SHOWN.get(part, part): self.metrics[part] for part in self.metrics})
        return values | provenance.flatten_metrics({INTERVAL: _limits(self.intervals.get("test", {}))})


def log_evaluation(
    run_id: str | None, metrics: Mapping[str, Any], params: Mapping[str, Any], artifacts: Artifacts | None = None,
    intervals: Mapping[str, Any] | None = None, token: str = "",
) -> str | None:
    """Record an evaluation as a child of run `run_id` and show it on that run; returns the child's id.

    `metrics` is metrics.json, `params` the section `evaluate`; together they are the key: the same evaluation is
    recorded once, whenever it comes. The run shows `test/*` and `val_best/*` of the latest and stays as it ended, and
    of `intervals`, which is intervals.json, those of the test part as a whole, `interval/*_low` and `interval/*_high`.
    A run that this store does not have is looked for by the `token` of its training.
    """
    return _evaluation(run_id, token, Evaluation(metrics, params, intervals or {}), artifacts or {}, {}, {})


def log_report(
    run_id: str | None, metrics: Mapping[str, Any], params: Mapping[str, Any], artifacts: Artifacts,
    tags: Mapping[str, str] | None = None, note: str = "", intervals: Mapping[str, Any] | None = None, token: str = "",
) -> str | None:
    """Store the report with the evaluation that it shows, and with run `run_id`, in place of an earlier one.

    The run gets `tags`, each cut to what MLflow takes, and is described by `note`, Markdown.
    """
    evaluation = Evaluation(metrics, params, intervals or {})
    return _evaluation(run_id, token, evaluation, artifacts, artifacts, tags or {}, note)


def _evaluation(
    run_id: str | None, token: str, evaluation: Evaluation, artifacts: Artifacts, shown: Artifacts,
    tags: Mapping[str, str], note: str = "",
) -> str | None:
    with going_on("this evaluation"):
        client = connect() if run_id or token else None
        training = find_training(client, run_id, token) if client else None
        if training is None:
            print("warning: MLflow: the training was not recorded, so neither is its evaluation; `uv run fovea sync` "
                  "delivers both", file=sys.stderr)
            return None
        child = str(record_evaluation(client, training, evaluation).info.run_id)
        store_files(client, child, artifacts)
        show_evaluation(client, training, evaluation)
        store_files(client, training.info.run_id, shown)
        set_tags(client, training.info.run_id, tags)
        if note:
            write_note(client, training.info.run_id, note)
            write_note(client, child, note)
        return child
    return None


def _limits(intervals: Mapping[str, Any]) -> dict[str, float]:
    """Both ends of the intervals of a part as a whole; those of each class would be hundreds."""
    return {f"{name}_{end}": limit for name, pair in intervals.items() if isinstance(pair, list)
            for end, limit in zip(("low", "high"), pair, strict=True)}


def record_evaluation(client: Any, training: Any, evaluation: Evaluation) -> Any:
    """The run of an evaluation, a child of that of its training: found again, or made and finished."""
    tags = {PARENT: training.info.run_id, EVALUATION: evaluation.key()}
    same = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
    found = client.search_runs([training.info.experiment_id], same, max_results=1)
    name = f"evaluation-{evaluation.key()[:6]}"
    child = found[0] if found else client.create_run(training.info.experiment_id, tags=tags, run_name=name)
    if child.info.status != "FINISHED":
        log_params(client, child.info.run_id, {"evaluate": evaluation.params})
        log_values(client, child.info.run_id, evaluation.values())
        client.set_terminated(child.info.run_id)
    return child


def show_evaluation(client: Any, training: Any, evaluation: Evaluation) -> bool:
    """Give a training's run the figures of its latest evaluation; whether they were not there.

    MLflow deletes none: what only an earlier one had gets NaN.
    """
    values, there = evaluation.values(), training.data.metrics
    if training.data.tags.get(LATEST) == evaluation.key() and values.keys() <= there.keys():
        return False
    prefixes = tuple(f"{name}/" for name in (*SHOWN.values(), INTERVAL))
    gone = {name: float("nan") for name in there if name.startswith(prefixes) and name not in values}
    log_values(client, training.info.run_id, {**values, **gone})
    client.set_tag(training.info.run_id, LATEST, evaluation.key())
    return True
