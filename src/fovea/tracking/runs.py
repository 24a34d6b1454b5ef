"""Trainings in MLflow: one run each, opened by `start_training`. No failure here stops a stage: it warns and goes on.

The files that DVC versions are the truth, the runs a view of them.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fovea.tracking import provenance
from fovea.tracking.client import MISSING, connect, experiments, find_experiment, log_input, log_params, write_points
from fovea.tracking.training_run import TrainingRun, going_on

RECORDED_SECTIONS = ("dataset", "ingest", "split", "augment", "train", "machine")
LONGEST_DIGEST = 36          # of an input: an md5 with ".dir" is just as long
TRAINING = "fovea.training"  # tag: the token of a training


def start_training(
    sections: Mapping[str, Any],
    *,
    data: Path | str,
    digest: str,
    device: str,
    tags: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
    token: str = "",
    resume: str | None = None,
    started: Callable[[str], None] = lambda run_id: None,
) -> TrainingRun:
    """Open the run of a training, or the one that it had before it was killed.

    `sections` is all of params.yaml as `read_sections` gives it; `data` the folder of the image set relative to the
    project, whose last part is its name; `digest` the manifest's; `counts` the images of each part. `resume` is the id
    of the run that goes on; points up to the last step of each of its curves are not logged again. `token` names the
    training: a run that was made just before a kill, so that `started` never got its id, is found by it.
    """
    with going_on("this training"):
        client = connect()
        facts = _facts(Path(data), digest, {"device": device, **(tags or {})})
        run = _resumed(client, resume, token)
        if new := run is None:
            run = client.create_run(find_experiment(client), tags=facts | ({TRAINING: token} if token else {}))
        run_id = run.info.run_id
        started(run_id)
        with going_on("the parameters"):  # from here on there is a run, which the stages after this one need
            if not run.inputs.dataset_inputs:  # written last
                describe(client, run, sections, Path(data), facts, counts or {})
        return TrainingRun(client, run_id, write_points, {} if new else _written(client, run), run.info.start_time)
    return TrainingRun()


def _facts(data: Path, digest: str, tags: dict[str, str]) -> dict[str, str]:
    """What the run of a training that begins here and now is tagged with."""
    root = provenance.workspace_root()
    version = provenance.dvc_md5(data, root)
    facts = provenance.git_facts(root) | provenance.baseline_branch() | provenance.experiment_tags()
    facts |= provenance.version_tags() | tags
    facts |= {"dataset.name": data.name, "dataset.digest": digest} | ({"dataset.md5": version} if version else {})
    return complete_facts(facts, Path(sys.argv[0]).name)


def complete_facts(facts: Mapping[str, str], script: str) -> dict[str, str]:
    """`facts` with those that MLflow's own columns show, without credentials."""
    of_git = {f"mlflow.source.{name}": facts[name] for name in ("git.commit", "git.branch") if name in facts}
    shown = {**facts, "mlflow.source.type": "LOCAL", "mlflow.source.name": script, **of_git}
    return {tag: provenance.scrub(value) for tag, value in shown.items()}


def describe(
    client: Any, run: Any, sections: Mapping[str, Any], data: Path, facts: Mapping[str, str], counts: Mapping[str, int]
) -> bool:
    """Give a run what it does not have of parameters, name and data set; whether anything was missing."""
    run_id, recorded = run.info.run_id, {name: sections[name] for name in RECORDED_SECTIONS if name in sections}
    new = log_params(client, run_id, recorded, run.data.params)
    if run.inputs.dataset_inputs:  # written last
        return new
    quick = "-quick" if facts.get("fovea.quick") == "true" else ""
    unnamed = f"{provenance.scrub(data.name)}-{sections['train']['model']}{quick}-{run_id[:6]}"
    client.update_run(run_id, name=facts["dvc.experiment"] + quick if "dvc.experiment" in facts else unnamed)
    version = facts.get("dataset.md5") or facts.get("dataset.digest") or "unknown"
    log_input(client, run_id, data, version[:LONGEST_DIGEST], counts)
    return True


def find_training(client: Any, run_id: str | None, token: str) -> Any:
    """The run of this id, else of the training `token`; None if this store has neither."""
    from mlflow import MlflowException

    if run_id is not None:
        try:
            if (run := client.get_run(run_id)).info.lifecycle_stage == "active":
                return run
        except MlflowException as error:
            if error.error_code not in MISSING:
                raise
    found = client.search_runs(experiments(client), f"tags.`{TRAINING}` = '{token}'", max_results=1) if token else []
    return found[0] if found else None


def _resumed(client: Any, run_id: str | None, token: str) -> Any:
    """The run of a training that goes on, as RUNNING again; None if it has none in this store."""
    run = find_training(client, run_id, token)
    if run is not None:
        client.update_run(run.info.run_id, status="RUNNING")
        if "fovea.error" in run.data.tags:
            client.delete_tag(run.info.run_id, "fovea.error")
    return run


def _written(client: Any, run: Any) -> dict[str, int]:
    """The last step of each curve of a run."""
    return {name: max(point.step for point in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics}
