"""Files as they were in an earlier version of the project, whether git or DVC keeps them. Nothing is downloaded."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from fovea.lock import LOCK, read_lock
from fovea.tracking.provenance import git, workspace_root

EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2}/[0-9a-f]{38})/(.+)")  # other names there are DVC's own marks
STASHES = {"refs/stash": "stash", "refs/exps/celery/stash": "queue", "refs/exps/celery/failed": "failed in the queue"}


class NotHereError(LookupError):
    """A file that DVC knows but does not have on this machine."""


def read_at(revision: str, path: str) -> bytes:
    """`read_file` of a branch, tag, commit or experiment; raises LookupError if there is no such revision too."""
    root = workspace_root()
    return read_file(root, find_commit(root, revision), path)


def find_commit(root: Path, name: str) -> str:
    """The commit of a branch, tag, (short) commit or experiment. Of experiments of one name that on HEAD is meant.

    Raises LookupError with one line if there is none, or several.
    """
    if commit := git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
        return commit
    found = {each.baseline: each.commit for each in experiments(root) if each.name == name}
    if len(found) > 1 and (head := git(root, "rev-parse", "HEAD")) in found:
        return found[str(head)]
    if len(found) > 1:
        commits = ", ".join(commit[:7] for commit in found.values())
        raise LookupError(f"{len(found)} experiments have that name; give one of {commits}")
    if not found:
        raise LookupError("no branch, tag, commit or experiment has that name")
    return next(iter(found.values()))


def heading(root: Path, commit: str) -> tuple[str, str, str]:
    """Abbreviated name, first line of the message, which may be empty, and date of a commit."""
    short, subject, date = (git(root, "log", "-1", "--format=%h%n%s%n%cs", commit) or "\n\n").split("\n")
    return short, subject, date


def experiment_name(root: Path, commit: str) -> str | None:
    """The name of the experiment that this commit is, None if it is none."""
    return next((each.name for each in experiments(root) if each.commit == commit), None)


class Experiment(NamedTuple):
    """One that DVC holds."""

    name: str
    commit: str
    baseline: str  # commit that it started from
    at: int        # Unix time of `commit` in s


def experiments(root: Path) -> Iterator[Experiment]:
    listed = git(root, "for-each-ref", "--format=%(objectname) %(creatordate:unix) %(refname)", "refs/exps")
    for line in (listed or "").splitlines():
        commit, at, ref = line.split(" ", 2)
        if found := EXPERIMENT.fullmatch(ref):
            yield Experiment(found[2], commit, found[1].replace("/", ""), int(at))


def _refs(root: Path, *folders: str) -> Iterator[tuple[str, str]]:
    listed = git(root, "for-each-ref", "--format=%(objectname) %(refname)", *folders)
    for line in (listed or "").splitlines():
        commit, ref = line.split(" ", 1)
        yield ref, commit


def current_revisions(root: Path) -> Iterator[tuple[str, str]]:
    """Name and commit of every branch, tag and DVC experiment, of what waits in DVC's queue, and of git's stash.

    A detached HEAD is one as well. Nothing where `root` is in no git repository. Branches of remotes are not ours.
    """
    if git(root, "symbolic-ref", "--quiet", "HEAD") is None and (head := git(root, "rev-parse", "HEAD")):
        yield "HEAD", head
    for ref, commit in _refs(root, "refs/heads", "refs/tags"):
        yield ref.split("/", 2)[2], commit
    for each in experiments(root):
        yield each.name, each.commit
    for ref, name in STASHES.items():
        for commit in (git(root, "log", "--walk-reflogs", "--format=%H", ref) or "").split():
            yield f"{name} {commit[:7]}", commit


def read_tracked(root: Path, commit: str, path: str) -> str | None:
    """Text of a file below `root` that git has in that commit, None if it has none."""
    return git(root, "show", f"{commit}:./{path}")


def read_file(root: Path, commit: str, path: str) -> bytes:
    """Bytes of a file below `root` in a commit: from git, or by that commit's dvc.lock from DVC's cache.

    Raises LookupError with one line if neither knows it, `NotHereError` if DVC's cache on this machine lacks it.
    """
    done = subprocess.run(["git", "show", f"{commit}:./{path}"], cwd=root, capture_output=True, check=False)
    if done.returncode == 0:
        return done.stdout
    lock = read_tracked(root, commit, LOCK)
    if lock is None:
        raise LookupError(f"it has no {LOCK}")
    try:
        digest = read_lock(lock).outputs.get(path)
    except yaml.YAMLError:
        raise LookupError(f"its {LOCK} is no YAML") from None
    if not digest:
        raise LookupError(f"it has no {path}")
    try:
        return cached(cache_folder(root), digest).read_bytes()
    except FileNotFoundError:
        raise NotHereError(f"its {path} is not in DVC's cache on this machine") from None


def cache_folder(root: Path) -> Path:
    """DVC's local cache of files of the project in `root`."""
    from dvc.config import Config  # takes 0.2 s

    return Path(Config(str(root / ".dvc")).get("cache", {}).get("dir") or root / ".dvc/cache") / "files/md5"


def cached(cache: Path, digest: str) -> Path:
    """Where DVC's local cache keeps the file of this md5."""
    return cache / digest[:2] / digest[2:]
