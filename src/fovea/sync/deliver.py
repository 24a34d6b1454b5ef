"""Giving one result its run in MLflow: made if there is none, completed if something is missing."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fovea.errors import one_line
from fovea.sync.contents import Contents, has_report, note, of_version
from fovea.sync.files import Files
from fovea.sync.results import Found, Result
from fovea.tracking import delivery, runs
from fovea.tracking.evaluations import LATEST, Evaluation, show_evaluation
from fovea.tracking.recorded import OF_REPORT, OF_TRAINING
from fovea.tracking.training_run import Artifacts, store_files


@dataclass
class Outcome:
    """What became of a result: `done` names what was added to its run, `absent` has the md5 of files that the run lacks
    and no cache here has, by path. `state` is the run as it was left."""

    result: Result
    run_id: str | None = None
    made: bool = False
    done: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    state: str = ""
    problem: str = ""


def deliver(client: Any, found: Found, result: Result, cache: Callable[[], Path]) -> Outcome:
    """Make or complete the run of a result. Costs some 30 calls."""
    try:
        contents = Contents(result, [found.files(version, cache) for version in result.versions])
        contents.check()
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        return Outcome(result, problem="its dvc.lock and the results beside it cannot be read, they are damaged or of "
                                       f"another version of Fovea ({type(error).__name__}: {one_line(error)})")
    if not contents.files:
        return Outcome(result, problem="mlflow_run.json is not the one of its dvc.lock; `dvc repro`, or `dvc commit`")
    run = runs.find_training(client, result.run_id, result.token)
    made = run is None
    if made:
        began = result.holder.at - int(1000 * contents.seconds())
        run = client.get_run(delivery.make(client, result.token, contents.facts(), began).info.run_id)
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory(prefix="fovea-sync-") as folder:
        done = [*_training(client, run, contents, Path(folder)), *_evaluations(client, run, contents, Path(folder))]
    absent = {path: digest for files in contents.files for path, digest in files.absent.items()}
    state = delivery.state_of(client.get_run(run_id))
    return Outcome(result, run_id, made, [*dict.fromkeys(done)], absent, state)


def _training(client: Any, run: Any, contents: Contents, folder: Path) -> Iterator[str]:
    """Complete what a training logs; yields what was added."""
    facts = contents.facts()
    if runs.describe(client, run, contents.sections(), contents.data(), facts, contents.counts()):
        yield "parameters"
    tags = facts | {runs.TRAINING: contents.result.token}
    new = delivery.add_tags(client, run, {tag: value for tag, value in tags.items() if tag != delivery.EXPERIMENTS})
    names = delivery.add_experiments(client, run, contents.result.experiments)
    if new or names:
        yield f"restored in {', '.join(names)}" if names else "tags"
    if count := delivery.add_points(client, run, contents.points()):
        yield f"{count} points"
    if _add_files(client, run.info.run_id, OF_TRAINING, contents.trained, folder / "training"):
        yield "files"
    if delivery.end(client, run, max(contents.result.holder.at, run.info.start_time)):
        yield "its end"


def _evaluations(client: Any, run: Any, contents: Contents, folder: Path) -> Iterator[str]:
    """Complete what evaluate and report log; yields what was added."""
    evaluations, there = contents.evaluations(), delivery.evaluations_of(client, run)
    for key, (evaluation, files) in evaluations.items():
        child, new = delivery.add_evaluation(client, run, evaluation, there.get(key))
        if new:
            yield "test metrics"
        if _add_files(client, child.info.run_id, of_version(files), files, folder / key):
            yield "files"
        if (text := note(files)) and delivery.add_note(client, child, text):
            yield "note"
    shown = run.data.tags.get(LATEST)
    if evaluations and (shown in evaluations or shown not in there):  # else it is one that only another clone has
        latest = shown if shown in evaluations else [*evaluations][-1]
        yield from _show(client, run, *evaluations[str(latest)], contents, folder / str(latest))


def _show(
    client: Any, run: Any, evaluation: Evaluation, files: Files, contents: Contents, folder: Path
) -> Iterator[str]:
    """Complete what the run of a training shows of its latest evaluation."""
    if show_evaluation(client, run, evaluation):
        yield "test metrics"
    if not has_report(files):
        return
    if delivery.add_tags(client, run, contents.report_tags(files)):
        yield "tags"
    if _add_files(client, run.info.run_id, OF_REPORT, files, folder):
        yield "files"
    if (text := note(files)) and delivery.add_note(client, run, text):
        yield "note"


def _add_files(client: Any, run_id: str, artifacts: Artifacts, files: Files, folder: Path) -> bool:
    """Store files that a run does not have, as far as they are here; laid out below `folder` meanwhile."""
    missing = delivery.missing_files(client, run_id, artifacts)
    here = {name: [place for path in paths if (place := files.lay_out(path, folder))]
            for name, paths in missing.items()}
    store_files(client, run_id, here)
    return any(here.values())
