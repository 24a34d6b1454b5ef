"""What the current revisions of the project were made from, by which the store's contents are recognised."""

import json
from collections.abc import Iterable, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from fovea.errors import UserError
from fovea.lock import LOCK
from fovea.params.every import SCHEMAS
from fovea.params.section import read_sections
from fovea.revisions import current_revisions, read_tracked
from fovea.store import library_version
from fovea.tracking.provenance import read_stages

WORKSPACE = "workspace"
INGESTED = "reports/ingest.json"


class Stage(NamedTuple):
    """What a result of a stage was made from, code as md5 by path, and its outputs, likewise; none if it is to run."""

    params: Mapping[str, Any]
    code: Mapping[str, str]
    outs: Mapping[str, str]


class Revision(NamedTuple):
    name: str
    stages: Mapping[str, Stage]
    archives: frozenset[str]  # digests of those that its images lie in


def read_revisions(root: Path) -> list[Revision]:
    """The workspace as it would run now and as it last ran, and every other current revision as it last ran.

    Raises UserError if what one of them needs cannot be told.
    """
    files = (_text(root / path) for path in (LOCK, INGESTED))
    revisions = [_would_run(root), _ran(WORKSPACE, *files)]
    for name, commit in current_revisions(root):
        revisions.append(_ran(name, *(read_tracked(root, commit, path) for path in (LOCK, INGESTED))))
    return revisions


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _would_run(root: Path) -> Revision:
    code = {path.relative_to(root).as_posix(): md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            for folder in ("src", "stages") for path in (root / folder).rglob("*.py")}
    sections = read_sections(root / "params.yaml")
    return Revision(WORKSPACE, {name: Stage(_params(name, sections), code, {}) for name in SCHEMAS}, frozenset())


def _ran(name: str, lock: str | None, ingested: str | None) -> Revision:
    """By its dvc.lock: what its results were made from, even if its code has gone on since."""
    try:
        archives = json.loads(ingested or "{}").get("archives", {}).values()
        return Revision(name, {key: _stage(key, entry) for key, entry in read_stages(lock or "").items()},
                        frozenset(archives))
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{name}: its {LOCK} or {INGESTED} cannot be read ({line}), so what it needs is not known; "
                        "correct it, or delete that branch, tag or experiment") from None


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    code, outs = ({item["path"]: item.get("md5", "") for item in entry.get(key, [])} for key in ("deps", "outs"))
    return Stage(_params(name, entry.get("params", {}).get("params.yaml", {})), code, outs)


def _params(name: str, sections: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section of a stage as its origins have it; as it stands if it is of another schema than ours."""
    section = sections.get(name, {})
    try:
        return SCHEMAS[name].model_validate(section).model_dump(mode="json")
    except (KeyError, ValidationError):
        return dict(section)


def users(origin: Mapping[str, Any], stage: str, revisions: Iterable[Revision]) -> list[Revision]:
    """The revisions whose `stage` would use what has this origin."""
    return [one for one in revisions if stage in one.stages and agrees(origin, one.stages[stage])]


def agrees(origin: Mapping[str, Any], stage: Stage) -> bool:
    """Whether all that `origin` names is the same in the stage: as its code had it, so older code is understood."""
    return (
        origin.get("params", {}).items() <= stage.params.items()
        and origin.get("code", {}).items() <= stage.code.items()
        and all(library_version(name) == found for name, found in origin.get("libraries", {}).items())
    )


def read_origin(path: Path) -> dict[str, Any]:
    """What was left at `path` by who made it; empty if it is not there any more."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
