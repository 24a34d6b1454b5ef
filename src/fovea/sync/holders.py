"""What may hold results: commits of branches and tags, experiments of DVC, the workspace; and their files in git.

Git is asked a fixed number of times, however many commits there are.
"""

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fovea.errors import UserError, one_line
from fovea.revisions import experiments
from fovea.tracking.provenance import git

WORKSPACE = "workspace"


class Holder(NamedTuple):
    name: str             # seven digits of a commit, the name of an experiment, or "workspace"
    commit: str | None    # None for the workspace
    at: int               # Unix time in ms, of the commit
    baseline: str | None  # commit from which an experiment started; None for what is none


def find_holders(root: Path, paths: Sequence[str]) -> list[Holder]:
    """Every experiment, and every commit of a local or remote-tracking branch or of a tag in which one of `paths`
    changed; the oldest first. Nothing outside a git repository."""
    head = ["HEAD"] if git(root, "rev-parse", "--verify", "HEAD") else []  # it may be detached
    history = git(root, "log", "--full-history", "--format=%H %ct", *head, "--branches", "--remotes", "--tags", "--",
                  *paths)
    commits = [line.split() for line in (history or "").splitlines()]
    found = [Holder(commit[:7], commit, 1000 * int(time), None) for commit, time in commits]
    found += [Holder(each.name, each.commit, 1000 * each.at, each.baseline) for each in experiments(root)]
    return sorted(found, key=lambda holder: (holder.at, holder.name))


def find_objects(root: Path, names: Sequence[str]) -> list[str | None]:
    """Git's id of the file that each of `names`, such as "<commit>:./dvc.lock", stands for; None if there is none."""
    lines = _cat(root, "--batch-check=%(objectname) %(objecttype)", names).decode().splitlines()
    return [line.split()[0] if line.endswith(" blob") else None for line in lines]


def read_objects(root: Path, ids: Iterable[str]) -> dict[str, bytes]:
    """Contents of files by git's id of them."""
    wanted = sorted(set(ids))
    answer, found, start = _cat(root, "--batch=%(objectsize)", wanted), {}, 0
    for one in wanted:
        end = answer.index(b"\n", start)
        size = int(answer[start:end])
        found[one] = answer[end + 1 : end + 1 + size]
        start = end + 2 + size  # behind the line break that git adds
    return found


def object_id(content: bytes) -> str:
    """Git's id of a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _cat(root: Path, form: str, names: Sequence[str]) -> bytes:
    if not names:
        return b""
    try:
        done = subprocess.run(["git", "cat-file", form], cwd=root, capture_output=True, timeout=600, check=True,
                              input="".join(f"{name}\n" for name in names).encode())
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{root}: git cannot read its objects ({one_line(error)}); see `git fsck`") from None
    return done.stdout
