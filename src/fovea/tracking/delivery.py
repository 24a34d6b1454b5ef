"""Runs of trainings that are over: made or completed from the files of their results. MLflow's client is passed in.

What is there already stays as it is, so that each function here may be called again. Each says whether it added
anything; unlike those of `runs`, they raise what goes wrong.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from fovea.tracking import provenance, runs
from fovea.tracking.client import LONGEST_TAG, experiments, find_experiment, log_values, set_tags, write_points
from fovea.tracking.evaluations import EVALUATION, Evaluation, record_evaluation
from fovea.tracking.notes import NOTE, PARENT, WRITTEN, write_note
from fovea.tracking.training_run import Artifacts

EXPERIMENTS, RESTORED = "dvc.experiment", "dvc.restored"  # tags: all experiments; those that did not train
MADE = "fovea.made"  # tag: when sync made the run, Unix time in ns
SEPARATOR = ", "  # of their names, in which git allows no blank
Points = Iterable[tuple[Mapping[str, float], int]]  # value by curve, place on the axis


def states(client: Any, run_ids: Sequence[str]) -> dict[str, str]:
    """Digests of what runs show, by id, in one call; a run that is deleted or not of this store has none."""
    listed = ", ".join(f"'{run_id}'" for run_id in run_ids)
    found = client.search_runs(experiments(client), f"attributes.run_id IN ({listed})") if run_ids else []
    return {run.info.run_id: state_of(run) for run in found}


def state_of(run: Any) -> str:
    """Digest of all that a run shows, its description and its place below another run excepted."""
    tags = {name: value for name, value in run.data.tags.items() if name not in (NOTE, WRITTEN, PARENT)}
    return provenance.digest_of([run.info.status, run.data.params, run.data.metrics, tags])


def evaluations_of(client: Any, run: Any) -> dict[str, Any]:
    """The evaluations of a training by their keys."""
    children = client.search_runs([run.info.experiment_id], f"tags.`{PARENT}` = '{run.info.run_id}'")
    return {child.data.tags[EVALUATION]: child for child in children if EVALUATION in child.data.tags}


def make(client: Any, token: str, facts: Mapping[str, str], began: int) -> Any:
    """A run for a training that has none. `began` is Unix time in ms. Of those that several clones make at the same
    moment the first stays, by the clocks of their machines."""
    tags = {**facts, runs.TRAINING: token, MADE: str(time.time_ns())}
    run_id = client.create_run(find_experiment(client), began, tags).info.run_id
    same = client.search_runs(experiments(client), f"tags.`{runs.TRAINING}` = '{token}'")
    first = min(same, key=lambda run: (int(run.data.tags.get(MADE, 0)), run.info.run_id))
    if first.info.run_id != run_id:
        client.delete_run(run_id)
    return first


def add_tags(client: Any, run: Any, tags: Mapping[str, str]) -> bool:
    """Those that are not there; one that is keeps its value."""
    new = {tag: value for tag, value in tags.items() if tag not in run.data.tags}
    set_tags(client, run.info.run_id, new)
    return bool(new)


def add_experiments(client: Any, run: Any, names: Iterable[str]) -> list[str]:
    """Add names of DVC experiments to those that the run has; returns the new ones. What trained has named itself, or
    is the one that the run was made for: the training of all others was restored."""
    there, restored = ([name for name in run.data.tags.get(tag, "").split(SEPARATOR) if name]
                       for tag in (EXPERIMENTS, RESTORED))
    new = [name for name in names if name not in there]
    while new and len(SEPARATOR.join([*there, *new])) > LONGEST_TAG:
        new.pop()
    if new:
        client.set_tag(run.info.run_id, EXPERIMENTS, SEPARATOR.join([*there, *new]))
        client.set_tag(run.info.run_id, RESTORED, SEPARATOR.join([*restored, *new]))
    return new


def add_points(client: Any, run: Any, points: Points) -> int:
    """Log the points that the run does not have; returns how many. They all get the time at which it began, so that
    MLflow keeps one that comes twice once."""
    run_id, at = run.info.run_id, run.info.start_time
    wanted = [(name, value, at, place) for values, place in points for name, value in values.items()]
    there = {(name, point.step) for name in {name for name, *_ in wanted} & run.data.metrics.keys()
             for point in client.get_metric_history(run_id, name)}
    new = [point for point in wanted if (point[0], point[3]) not in there]
    write_points(client, run_id, new)
    return len(new)


def add_evaluation(client: Any, training: Any, evaluation: Evaluation, child: Any) -> tuple[Any, bool]:
    """The run of an evaluation, `child` if it is not None, with all figures; whether any was missing."""
    if child is None or child.info.status != "FINISHED":
        return record_evaluation(client, training, evaluation), True
    missing = {name: value for name, value in evaluation.values().items() if name not in child.data.metrics}
    log_values(client, child.info.run_id, missing)
    return child, bool(missing)


def missing_files(client: Any, run_id: str, artifacts: Artifacts) -> dict[str, list[str]]:
    """Those of `artifacts`, by their names, that the run does not have."""
    missing: dict[str, list[str]] = {}
    for folder, paths in artifacts.items():
        there = {PurePosixPath(file.path).name for file in client.list_artifacts(run_id, folder or None)}
        missing[folder] = [str(path) for path in paths if PurePosixPath(path).name not in there]
    return {folder: paths for folder, paths in missing.items() if paths}


def add_note(client: Any, run: Any, text: str) -> bool:
    if NOTE in run.data.tags:
        return False
    write_note(client, run.info.run_id, text)
    return True


def end(client: Any, run: Any, ended: int) -> bool:
    """Mark a run that lost its store before it ended as FINISHED, at `ended`, Unix time in ms."""
    if run.info.status == "FINISHED":
        return False
    client.set_terminated(run.info.run_id, "FINISHED", ended)
    return True
