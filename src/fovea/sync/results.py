"""The results that a project holds: a training each, with the versions of the project that hold it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fovea.sync.files import PATHS, Files
from fovea.sync.holders import WORKSPACE, Holder, find_holders, find_objects, object_id, read_objects
from fovea.tracking.provenance import digest_of, git
from fovea.tracking.recorded import RUN

NAME = re.compile(r"[\w-]+")               # of a run or a training, which stands in MLflow's filters
Version = tuple[str | None, ...]  # git's ids of the files at PATHS, None where there is none


@dataclass
class Result:
    """A training by its `token`, and what holds it, the oldest first. `run_id` is the run that it had where it ran."""

    token: str
    run_id: str | None
    versions: dict[Version, Holder] = field(default_factory=dict)  # each with the first that holds it
    experiments: dict[str, Holder] = field(default_factory=dict)   # of DVC, by name

    def add(self, version: Version, holder: Holder) -> None:
        self.versions.setdefault(version, holder)
        if holder.baseline:
            self.experiments[holder.name] = holder

    @property
    def holder(self) -> Holder:
        """What the result is called by: an experiment, else the oldest commit, else the workspace."""
        return next(iter({**self.experiments, **{each.name: each for each in self.versions.values()}}.values()))

    def fingerprint(self) -> str:
        """Changes with whatever in git is of this result."""
        return digest_of([sorted(map(list, self.versions), key=str), sorted(self.experiments)])


class Found:
    """The results in `root`, by token. `unknown` names what holds a training that no token or run tells."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results: dict[str, Result] = {}
        self.unknown: list[str] = []
        self._texts: dict[str, bytes] = {}
        self._collect(list(self._versions()))

    def files(self, version: Version, cache: Callable[[], Path]) -> Files:
        """The files of a version, which are read at once."""
        self._read(version)
        tracked = {path: self._texts[one].decode("utf-8", "replace")
                   for path, one in zip(PATHS, version, strict=True) if one}
        return Files(tracked, cache)

    def read_ahead(self, results: list[Result]) -> None:
        """Read the files of many versions from git in one call."""
        self._read(one for result in results for version in result.versions for one in version)

    def _versions(self) -> Iterator[tuple[Holder, Version]]:
        """What may hold results, and the files there; the workspace comes last."""
        holders = find_holders(self.root, PATHS)
        names = [f"{holder.commit}:./{path}" for holder in holders for path in PATHS]
        ids = iter(find_objects(self.root, names))
        yield from [(holder, tuple(next(ids) for _ in PATHS)) for holder in holders]
        head, here = git(self.root, "rev-parse", "--verify", "HEAD"), self.root / RUN
        at = int(1000 * here.stat().st_mtime) if here.is_file() else 0
        yield Holder(WORKSPACE, head, at, None), tuple(map(self._on_disk, PATHS))

    def _on_disk(self, path: str) -> str | None:
        if not (self.root / path).is_file():
            return None
        content = (self.root / path).read_bytes()
        self._texts[object_id(content)] = content
        return object_id(content)

    def _collect(self, versions: list[tuple[Holder, Version]]) -> None:
        place = PATHS.index(RUN)
        self._read(version[place] for _, version in versions)
        for holder, version in versions:
            if version[place] is None:
                continue
            run_id, token = _training(self._texts[str(version[place])])
            if key := token or run_id:
                self.results.setdefault(key, Result(key, run_id)).add(version, holder)
            else:
                self.unknown.append(holder.name)

    def _read(self, ids: "Iterator[str | None] | Version") -> None:
        self._texts |= read_objects(self.root, {one for one in ids if one and one not in self._texts})


def _training(record: bytes) -> tuple[str | None, str | None]:
    """The run and the token of an mlflow_run.json; one from before there were tokens has its run alone."""
    try:
        content = json.loads(record)
        run_id, token = (str(content.get(key) or "") for key in ("run_id", "training"))
    except (ValueError, AttributeError):
        return None, None
    return run_id if NAME.fullmatch(run_id) else None, token if NAME.fullmatch(token) else None
