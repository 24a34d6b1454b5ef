"""The result of an MLflow run: that of the revision which holds it, else what was logged with the run."""

import re
import tempfile
from pathlib import Path

from fovea.compare import side
from fovea.compare.side import Side
from fovea.lock import Lock
from fovea.revisions import current_revisions, read_tracked
from fovea.tracking.provenance import git
from fovea.versions import bytes_of_file

RUN = "mlflow_run.json"
RUN_ID = re.compile(r"[0-9a-f]{32}")


def read_run(root: Path, run_id: str) -> Side:
    """Raises LookupError if neither a revision nor the MLflow store knows the run, UserError if it can't be read."""
    name = f"run {run_id[:8]}"
    return _held(root, name, run_id, run_id) or _from_store(root, name, run_id)


def _held(root: Path, name: str, run_id: str, text: str) -> Side | None:
    """The result whose mlflow_run.json holds `text`, the id of the run or the token of its training."""
    own = root / RUN
    if own.is_file() and text in own.read_text(encoding="utf-8"):
        return side.read_workspace(root, name, f"MLflow run {run_id}, in the workspace")
    commit = _commit_of(root, text)
    return side.read_commit(root, name, commit) if commit else None


def _commit_of(root: Path, text: str) -> str | None:
    """The newest revision with `text`, else the commit of the history that brought it."""
    current = [commit for _, commit in current_revisions(root)]
    holding = (git(root, "grep", "-l", "-F", text, *current, "--", RUN) or "") if current else ""
    if commits := [line.partition(":")[0] for line in holding.splitlines()]:
        return (git(root, "rev-list", "--no-walk=sorted", *commits) or "").split()[0]
    for commit in (git(root, "log", "--all", "--format=%H", f"-S{text}", "--", RUN) or "").split():
        if text in (read_tracked(root, commit, RUN) or ""):  # another that is listed took it away
            return commit
    return None


def _from_store(root: Path, name: str, run_id: str) -> Side:
    """As MLflow has it; if `fovea sync` made the run, the result that holds its training, by the token."""
    from fovea.tracking.results import read_logged  # imports MLflow, which takes seconds

    with tempfile.TemporaryDirectory() as folder:
        logged = read_logged(run_id, Path(folder))
        if logged.token and (held := _held(root, name, run_id, logged.token)):
            return held

        def read(path: str) -> bytes:
            return bytes_of_file(str(logged.files / Path(path).name))

        metrics, intervals = (side.figures_of(name, path, read) for path in (side.METRICS, side.INTERVALS))
        predictions, missing = side.tried(lambda: side.of_test_part(read(side.PREDICTIONS)), "")
    parameters = {key: value for key, value in logged.params.items() if not key.startswith("machine.")}
    images = Path("data/raw", logged.tags["dataset.name"]).as_posix()
    data = {images: logged.tags.get("dataset.md5", "")}
    what = f"MLflow run {logged.name}, from its store: no revision holds it"
    return Side(name, what, Lock(parameters, data, None, {}), metrics, intervals, predictions, None, None,
                missing and "MLflow has no predictions of it", "MLflow keeps no list of its images")
