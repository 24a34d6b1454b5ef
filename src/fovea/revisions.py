"""Files as they were in an earlier version of the project, whether git or DVC keeps them."""

import re
from collections.abc import Iterator
from pathlib import Path

import dvc.api
from dvc.exceptions import DvcException
from scmrepo.exceptions import SCMError

from fovea.tracking.provenance import git


def read_at(revision: str, path: str) -> bytes:
    """Bytes of `path` at a branch, tag, commit or experiment of DVC.

    Raises LookupError with one line if there is no such revision, or no such file in it.
    """
    try:
        return bytes(dvc.api.read(path, rev=revision, mode="rb"))
    except (DvcException, SCMError, OSError) as error:
        raise LookupError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")  # other names there are DVC's own marks
STASHES = {"refs/stash": "stash", "refs/exps/celery/stash": "queue", "refs/exps/celery/failed": "failed in the queue"}


def current_revisions(root: Path) -> Iterator[tuple[str, str]]:
    """Name and commit of every branch, tag and DVC experiment, of what waits in DVC's queue, and of git's stash.

    A detached HEAD is one as well. Nothing where `root` is in no git repository. Branches of remotes are not ours.
    """
    if git(root, "symbolic-ref", "--quiet", "HEAD") is None and (head := git(root, "rev-parse", "HEAD")):
        yield "HEAD", head
    listed = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags", "refs/exps")
    for line in (listed or "").splitlines():
        commit, ref = line.split(" ", 1)
        experiment = EXPERIMENT.fullmatch(ref)
        if experiment or not ref.startswith("refs/exps/"):
            yield experiment[1] if experiment else ref.split("/", 2)[2], commit
    for ref, name in STASHES.items():
        for commit in (git(root, "log", "--walk-reflogs", "--format=%H", ref) or "").split():
            yield f"{name} {commit[:7]}", commit


def read_tracked(root: Path, commit: str, path: str) -> str | None:
    """Text of a file below `root` that git has in that commit, None if it has none."""
    return git(root, "show", f"{commit}:./{path}")
