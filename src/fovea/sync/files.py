"""The files of one version of the project: from git, or from DVC's cache by the md5 that its dvc.lock has."""

import json
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import md5
from pathlib import Path
from typing import Any

from fovea.revisions import cached
from fovea.tracking.provenance import read_stages
from fovea.tracking.recorded import INTERVALS, METRICS, RUN

LOCK, PARAMS, SPLIT, AUDIT = "dvc.lock", "params.yaml", "reports/split.json", "reports/audit.json"
PATHS = (RUN, LOCK, METRICS, INTERVALS, SPLIT, AUDIT, "reports/calibration.json", "reports/explanations.json")  # git's
PRINTS = "report"  # stage that lists the sections of all others, to print them


class Files:
    """`tracked` holds texts by path, those of PATHS that there are; `cache` gives the folder of DVC's files."""

    def __init__(self, tracked: Mapping[str, str], cache: Callable[[], Path]) -> None:
        self.tracked, self._cache = tracked, cache
        self.absent: dict[str, str] = {}  # md5 of the files that were asked for and are in no cache here, by path

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Of its dvc.lock. Raises what a damaged one makes YAML raise."""
        return read_stages(self.tracked.get(LOCK, ""))

    @cached_property
    def outs(self) -> dict[str, str]:
        return {out["path"]: out.get("md5", "") for stage in self.stages.values() for out in stage.get("outs", [])}

    def params(self) -> dict[str, Any]:
        """The sections of params.yaml as the stages read them, which may differ from the file beside them."""
        sections: dict[str, Any] = {}
        for name in sorted(self.stages, key=lambda name: name != PRINTS):  # what made a file comes after who prints it
            sections |= self.stages[name].get("params", {}).get(PARAMS, {})
        return sections

    def is_made_from(self, path: str, *sources: str) -> bool:
        """Whether the file at `path` is the one of dvc.lock, and made there from the very `sources` that are here."""
        return self._is(path, self.outs) and self.is_of(path, *sources)

    def is_of(self, path: str, *sources: str) -> bool:
        """Whether the stage that wrote `path` has read the very `sources` that are here; false if none wrote it."""
        makers = [stage for stage in self.stages.values() if any(out["path"] == path for out in stage.get("outs", []))]
        read = {dep["path"]: dep.get("md5") for stage in makers for dep in stage.get("deps", [])}
        return bool(makers) and all(self._is(source, read) for source in sources)

    def _is(self, path: str, digests: Mapping[str, str | None]) -> bool:
        text = self.tracked.get(path)
        return text is not None and digests.get(path) == md5(text.encode(), usedforsecurity=False).hexdigest()

    def json(self, path: str) -> Any:
        """What a tracked JSON file holds; nothing if it is not there."""
        return json.loads(self.tracked.get(path, "{}"))

    def read(self, path: str) -> str | None:
        """Text of a file in DVC's cache; None if it is not there."""
        place = self._place(path)
        return place.read_text(encoding="utf-8") if place else None

    def lay_out(self, path: str, folder: Path) -> Path | None:
        """A file or folder of the version under its name in `folder`, a copy that may be written over, unlike DVC's;
        None, noted in `absent`, if it is not there."""
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return target
        if path in self.tracked:
            target.write_text(self.tracked[path], encoding="utf-8")
            return target
        parts = self._parts(path)
        for name, digest in parts.items():
            if not cached(self._cache(), digest).is_file():
                self.absent[path] = digest
                return None
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cached(self._cache(), digest), target / name)  # not read-only, as MLflow's would be then
        return target if parts else None

    def _parts(self, path: str) -> dict[str, str]:
        """md5 of the files below `path`, by their paths there; of `path` itself, by "", if it is a file, or if DVC's
        cache does not have the list of a folder. None for what no stage writes."""
        digest, listing = self.outs.get(path), self._place(path)
        if digest and digest.endswith(".dir") and listing:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        return {"": digest} if digest else {}

    def _place(self, path: str) -> Path | None:
        """Where DVC's cache has what a stage wrote at `path`."""
        digest = self.outs.get(path)
        place = cached(self._cache(), digest) if digest else None
        return place if place and place.is_file() else None
