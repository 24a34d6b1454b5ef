"""One of the results that are compared: what it was made from, and what it predicts."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from hashlib import md5
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from fovea.errors import UserError
from fovea.evaluation.table import read_predictions
from fovea.lock import LOCK, PARAMS, Lock, differing_values, read_lock
from fovea.params.section import read_sections
from fovea.revisions import NotHereError, experiment_name, find_commit, heading, read_file
from fovea.tracking.provenance import flatten_params
from fovea.versions import Version, bytes_of_file, version_of

WORKSPACE = "workspace"
METRICS, INTERVALS = "reports/metrics.json", "reports/intervals.json"
PREDICTIONS, HISTORY = "reports/predictions.csv", "reports/history.csv"


def _kept_by_nobody(path: str) -> bytes:
    raise LookupError(f"no revision holds its {path}")


@dataclass(frozen=True)
class Side:
    name: str                         # by which it was asked for
    what: str                         # what that is
    lock: Lock
    metrics: dict[str, Any]           # of the test part, as evaluate left them
    intervals: dict[str, Any]         # likewise
    predictions: pd.DataFrame | None  # of the test part
    images: Version | None
    history: pd.DataFrame | None      # a row for each epoch
    missing: str = ""                 # why there are no predictions
    unknown: str = ""                 # why there are no images
    mixed: str = ""                   # which of its figures are not those of its dvc.lock
    read: Callable[[str], bytes] = _kept_by_nobody  # any of its files; raises LookupError if it is not there

    @property
    def classes(self) -> list[str]:
        return [] if self.predictions is None else [
            name.removeprefix("p_") for name in map(str, self.predictions.columns) if name.startswith("p_")]


def read_named(root: Path, name: str) -> Side:
    """The result in the workspace, or that of a branch, tag, commit or experiment.

    Raises LookupError if there is no such revision, UserError if it has no result.
    """
    if name == WORKSPACE:
        return read_workspace(root)
    return read_commit(root, name, find_commit(root, name))


def read_workspace(root: Path, name: str = WORKSPACE, what: str = "the files as they are") -> Side:
    """The result as it lies there. Raises UserError if there is none."""
    return _side(name, what, lambda path: bytes_of_file(str(root / path)), "")


def read_commit(root: Path, name: str, commit: str) -> Side:
    """The result of a commit, which goes by `name`. Raises UserError if it has none."""
    experiment = experiment_name(root, commit)
    short, subject, date = heading(root, commit)
    what = f"experiment {experiment}, {short} of {date}" if experiment else f"{short} of {date}, {subject}".rstrip(", ")
    fetch = f"`uv run dvc exp pull REMOTE {experiment}`" if experiment else "`uv run dvc pull --all-commits`"
    return _side(name, what, partial(read_file, root, commit), f"{fetch} gets it, where it was pushed")


def _side(name: str, what: str, read: Callable[[str], bytes], advice: str) -> Side:
    read, read_any = cache(read), read  # figures are also held against the lock; a model is large
    try:
        lock = read_lock(read(LOCK).decode("utf-8"))
    except LookupError:
        raise UserError(f"{name}: no finished run: it has no {LOCK}; `dvc repro` and git commit, or "
                        "`dvc exp run`, make one") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{name}: its {LOCK} cannot be read; restore it from git") from None
    metrics, intervals = (figures_of(name, path, read) for path in (METRICS, INTERVALS))
    predictions, missing = tried(lambda: of_test_part(read(PREDICTIONS)), advice)
    images, unknown = tried(lambda: version_of(name, read), advice)
    history = tried(lambda: pd.read_csv(io.BytesIO(read(HISTORY))), "")[0]
    return Side(name, what, lock, metrics, intervals, predictions, images, history, missing, unknown,
                mixed(lock, read), read_any)


def mixed(lock: Lock, read: Callable[[str], bytes]) -> str:
    """What of the figures is not what the lock speaks of, as after `git add dvc.lock` alone; "" if all is."""
    other = [path for path in (METRICS, INTERVALS, PREDICTIONS) if _is_other(lock, path, read)]
    if not other:
        return ""
    verb = "are" if other[1:] else "is"
    return (f"{', '.join(other)} {verb} not what {LOCK} speaks of, so parameters and figures may not belong together; "
            "`git add -A` takes all files of a result")


def _is_other(lock: Lock, path: str, read: Callable[[str], bytes]) -> bool:
    try:
        return path in lock.outputs and md5(read(path), usedforsecurity=False).hexdigest() != lock.outputs[path]
    except LookupError:
        return False


Found = TypeVar("Found")


def tried(read: Callable[[], Found], advice: str) -> tuple[Found | None, str]:
    """What was read, or why it was not."""
    try:
        return read(), ""
    except NotHereError as error:
        return None, f"{error}; {advice}"
    except LookupError as error:
        return None, str(error)


def of_test_part(table: bytes) -> pd.DataFrame:
    """Rows of the test part of reports/predictions.csv."""
    predictions = read_predictions(io.BytesIO(table))
    return predictions[predictions["split"] == "test"].reset_index(drop=True)


def figures_of(name: str, path: str, read: Callable[[str], bytes]) -> dict[str, Any]:
    """Those of the test part in metrics.json or intervals.json, {} without one. Raises UserError if it is none."""
    try:
        return dict(json.loads(read(path)).get("test", {}))
    except LookupError:
        return {}
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{name}: its {path} is not what `evaluate` writes; restore it from git") from None


def stale(root: Path, lock: Lock) -> str:
    """What in the workspace is not what its last run was made from; "" if all is."""
    now = flatten_params(read_sections(root / PARAMS))
    changed = [key for key in differing_values(lock.parameters, now) if key in lock.parameters]
    if not changed:
        return ""
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"{PARAMS} has changed since this result was made ({', '.join(changed[:3])}{more}); dvc repro"
