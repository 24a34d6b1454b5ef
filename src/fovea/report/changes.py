"""What a run changed since the commit that it started from: parameters, data, code, figures.

By both `dvc.lock`: that of the commit says what its results were made from, that of the workspace what these are, up to
the report itself. So a report says what it was written from, however the branch goes on, and says the same when it is
restored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.compare.difference import Difference, difference, sentence, what_changed
from fovea.compare.side import read_commit, read_workspace
from fovea.errors import UserError
from fovea.lock import LOCK
from fovea.revisions import heading, read_tracked

SHOWN = {"n", "balanced_accuracy"}  # of the test part


@dataclass(frozen=True)
class Changes:
    commit: str              # abbreviated, as git does it
    subject: str             # first line of its message, may be empty
    date: str
    metrics: dict[str, Any]  # of its test part; empty if the commit has none that the page can show
    difference: Difference


def since_commit(root: Path) -> Changes | None:
    """The run in `root` against the results of HEAD; None outside git, or if that commit has no dvc.lock, or has files
    that can't be read: the report is not the place to fail for it."""
    if read_tracked(root, "HEAD", LOCK) is None or not (root / LOCK).is_file():  # the latter where stages run by hand
        return None
    commit, subject, date = heading(root, "HEAD")
    try:
        before = read_commit(root, f"commit {commit}", "HEAD")
    except UserError:
        return None
    whole = before.metrics.keys() >= SHOWN and not before.mixed  # else of an earlier version, or of another result
    metrics = before.metrics if whole else {}
    return Changes(commit, subject, date, metrics, difference(before, read_workspace(root)))


def said(changes: Changes) -> str:
    """What changed, in a sentence or two."""
    text = f"Changed since commit {changes.commit}: {what_changed(changes.difference)}."
    return f"{text} {sentence(changes.difference, changes.metrics)}".rstrip()
