"""A sweep in MLflow: one parent run over the runs of its trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

from fovea.tracking import provenance, runs
from fovea.tracking.training_run import Artifacts, going_on, store_files

SWEEP, SHOWN = "fovea.sweep", "fovea.sweep_shown"  # tags: what the sweep is of; the figures that it shows


def log_sweep(
    name: str, origin: Any, children: Sequence[str], params: Mapping[str, Any], values: Mapping[str, float],
    artifacts: Artifacts,
) -> str | None:
    """Record a sweep as the parent of the training runs `children`; returns its id, None if the store can't be used.

    `origin` (plain values) and `name` are its key: the same sweep is one run, whose figures and files are written
    again only if they have changed. `params` are sections of params.yaml that all trainings share. A training that
    several sweeps share belongs to the last; one that is not in this store is left out.
    """
    with going_on("this sweep"):
        client = runs._connect()
        run_id = _parent(client, name, provenance.digest_of([name, origin]), params)
        _adopt(client, run_id, children)
        shown = provenance.digest_of([sorted(children), values])
        if client.get_run(run_id).data.tags.get(SHOWN) != shown:
            runs._log_values(client, run_id, values)
            store_files(client, run_id, artifacts)
            client.set_tag(run_id, SHOWN, shown)
        client.set_terminated(run_id)
        return run_id
    return None


def _parent(client: Any, name: str, key: str, params: Mapping[str, Any]) -> str:
    """The run of the sweep `key`, found again or created."""
    experiment = runs._experiment(client)
    found = client.search_runs([experiment], f"tags.`{SWEEP}` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    facts = provenance.git_facts(provenance.workspace_root()) | provenance.version_tags()
    run_id = str(client.create_run(experiment, tags={**facts, SWEEP: key}, run_name=name).info.run_id)
    runs._log_params(client, run_id, params)
    return run_id


def _adopt(client: Any, run_id: str, children: Sequence[str]) -> None:
    from mlflow import MlflowException

    for child in children:
        try:
            client.set_tag(child, runs.PARENT, run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
