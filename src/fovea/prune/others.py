"""Which databases, unpacked archives, features and checkpoints of the store a current revision needs."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fovea.ingest.address import ARCHIVE
from fovea.ingest.archives import archive_digest
from fovea.prune.found import Found, contents
from fovea.prune.needs import WORKSPACE, Revision, read_origin, users


def find_databases(folder: Path, stage: str, what: str, revisions: list[Revision]) -> Iterator[Found]:
    """Databases `<name>-<key>.db` of what code of `stage` found, with their origins `.json` and SQLite's own files."""
    files = defaultdict(list)
    for path in contents(folder):
        files[path.name.partition(".")[0]].append(path)
    for name, paths in files.items():
        origin = read_origin(folder / f"{name}.json")
        needed_by = {one.name for one in users(origin, stage, revisions)} if origin else set()
        yield Found(f"{folder.name}/{name}", what, paths, sorted(needed_by))


def find_archives(folder: Path, raw: Path, revisions: list[Revision]) -> Iterator[Found]:
    """Archives by the digest of their file; those of the set in `raw` are needed, even if ingest has not ended yet.

    What else lies there was being unpacked when something ended it.
    """
    needed_by = defaultdict(set)
    for one in revisions:
        for digest in one.archives:
            needed_by[digest].add(one.name)
    paths = {path: path.name.partition("-")[0] for path in contents(folder)}
    if not needed_by.keys() >= set(paths.values()):  # reads the archives
        for path in raw.rglob("*"):
            if ARCHIVE.search(f"{path.name}!") and path.is_file():
                needed_by[archive_digest(path)].add(WORKSPACE)
    for path, digest in paths.items():
        yield Found(f"{folder.name}/{path.name[:16]}", "an archive, unpacked", [path], sorted(needed_by[digest]))


def find_trainings(folder: Path, what: str, revisions: list[Revision]) -> Iterator[Found]:
    """Folders that a training left with an `origin.json`: features of its backbone, or what it would go on from.

    All features of a backbone stay for a revision that has it, even those of rows of another one.
    """
    for path in contents(folder):
        origin = read_origin(path / "origin.json")
        name = f"{what} of {origin['params']['model']}" if origin else "of unknown origin"
        needed_by = {one.name for one in users(origin, "train", revisions)} if origin else set()
        yield Found(f"{folder.name}/{path.name}", name, [path], sorted(needed_by))
