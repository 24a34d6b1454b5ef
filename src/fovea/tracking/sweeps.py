"""A sweep in MLflow: one parent run over the runs of its trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

from fovea.tracking import provenance, runs
from fovea.tracking.client import connect, find_experiment, log_params, log_values
from fovea.tracking.notes import PARENT, write_note
from fovea.tracking.training_run import Artifacts, going_on, store_files

SWEEP, SHOWN = "fovea.sweep", "fovea.sweep_shown"  # tags: what the sweep is of; the figures that it shows


def log_sweep(
    name: str, origin: Any, children: Sequence[str], params: Mapping[str, Any], values: Mapping[str, float],
    artifacts: Artifacts, note: str,
) -> str | None:
    """Record a sweep as the parent of the trainings `children`, by token or run; returns its id, None if the store
    can't be used.

    `origin` (plain values) and `name` are its key: the same sweep is one run, whose figures and files are written
    again only if they have changed. `params` are sections of params.yaml that all trainings share; `note`, Markdown,
    describes it. A training that several sweeps share belongs to the last; one that is not in this store is left out.
    """
    with going_on("this sweep"):
        client = connect()
        run_id = _parent(client, name, provenance.digest_of([name, origin]), params)
        _adopt(client, run_id, children)
        shown = provenance.digest_of([sorted(children), values])
        if client.get_run(run_id).data.tags.get(SHOWN) != shown:
            log_values(client, run_id, values)
            store_files(client, run_id, artifacts)
            write_note(client, run_id, note)
            client.set_tag(run_id, SHOWN, shown)
        client.set_terminated(run_id)
        return run_id
    return None


def _parent(client: Any, name: str, key: str, params: Mapping[str, Any]) -> str:
    """The run of the sweep `key`, found again or created."""
    experiment = find_experiment(client)
    found = client.search_runs([experiment], f"tags.`{SWEEP}` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    facts = provenance.git_facts(provenance.workspace_root()) | provenance.version_tags()
    run_id = str(client.create_run(experiment, tags={**facts, SWEEP: key}, run_name=name).info.run_id)
    log_params(client, run_id, params)
    return run_id


def _adopt(client: Any, run_id: str, children: Sequence[str]) -> None:
    for child in children:
        if found := runs.find_training(client, child, child):
            client.set_tag(found.info.run_id, PARENT, run_id)
            write_note(client, found.info.run_id)
