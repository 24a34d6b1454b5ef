"""What MLflow is to get of one result, read from its files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fovea.sync.files import AUDIT, SPLIT, Files
from fovea.sync.results import Result
from fovea.tracking.delivery import EXPERIMENTS
from fovea.tracking.evaluations import Evaluation
from fovea.tracking.provenance import PACKAGES, read_version
from fovea.tracking.recorded import (
    HISTORY,
    INTERVALS,
    METRICS,
    MODEL,
    OF_EVALUATION,
    OF_REPORT,
    RUN,
    STEPS,
    SUMMARY,
    of_files,
)
from fovea.tracking.runs import RECORDED_SECTIONS, complete_facts
from fovea.tracking.training_run import Artifacts

REPORT = OF_REPORT["report"][0]


class Contents:
    """Of a result whose versions have these `files`, the oldest first: those in which training and dvc.lock agree."""

    def __init__(self, result: Result, files: list[Files]) -> None:
        self.result = result
        self.files = [each for each in files if each.is_made_from(RUN)]

    def check(self) -> None:
        """Read all once, so that what is damaged, or of another version of Fovea, raises here: LookupError, ValueError,
        TypeError or AttributeError, and not between two calls of MLflow."""
        if not self.files:
            return
        self.facts(), self.counts(), self.sections()["train"]["model"], list(self.points())
        for evaluation, files in self.evaluations().values():
            evaluation.values()
            if has_report(files):
                self.report_tags(files)

    @property
    def trained(self) -> Files:
        """Those of the training: what came before it may have run again since, without an effect on it."""
        return self.files[0]

    def evaluations(self) -> dict[str, tuple[Evaluation, Files]]:
        """Each evaluation by its key, with the latest files that have it; the latest comes last."""
        found: dict[str, tuple[Evaluation, Files]] = {}
        for files in self.files:
            if files.is_made_from(METRICS, RUN):
                one = Evaluation(files.json(METRICS), files.params().get("evaluate", {}), self._intervals(files))
                found.pop(one.key(), None)
                found[one.key()] = one, files
        return found

    def _intervals(self, files: Files) -> dict[str, Any]:
        return dict(files.json(INTERVALS)) if files.is_made_from(INTERVALS) else {}

    def sections(self) -> dict[str, Any]:
        """Sections of params.yaml that a training records, as its stages read them; `machine` as the model has it."""
        machine = self._model().get("machine")
        sections = self.trained.params() | ({"machine": machine} if machine else {})
        return {name: sections[name] for name in RECORDED_SECTIONS if name in sections}

    def data(self) -> Path:
        return Path("data/raw", str(self.trained.params()["dataset"]["name"]))

    def counts(self) -> dict[str, int]:
        """Images of each part."""
        return dict(self.trained.json(SPLIT).get("images", {}))

    def seconds(self) -> float:
        """That the training took; 0 where the model is not here."""
        return float(self._model().get("seconds", 0))

    def facts(self) -> dict[str, str]:
        """Tags as a training has them. The commit is the one from which an experiment started, else the one that
        holds the result: which one it was trained from is known to no file."""
        train, model, holder = self.trained.params()["train"], self._model(), self.result.holder
        facts = {"fovea.recipe": train.get("recipe") or "none", "fovea.quick": str(train.get("quick", False)).lower()}
        facts |= {"dataset.name": self.data().name, "device": model.get("device"), "git.commit": holder.commit,
                  "dataset.digest": model.get("data", {}).get("digest"), "dvc.baseline": holder.baseline,
                  "dataset.md5": read_version(self.trained.stages.values(), self.data())}
        versions = model.get("versions", {})
        facts |= {f"version.{name}": versions.get(name) for name in ("python", *PACKAGES)}
        if holder.baseline:
            facts |= {EXPERIMENTS: holder.name, "git.commit": holder.baseline}
        return complete_facts({tag: value for tag, value in facts.items() if value}, "sync")

    def points(self) -> Iterator[tuple[dict[str, float], int]]:
        """Of the curves; none where their files are not here."""
        history, steps = (self.trained.read(path) for path in (HISTORY, STEPS))
        return of_files(history or "", steps or "")

    def report_tags(self, files: Files) -> dict[str, str]:
        from fovea.report.audit import audit_tags  # imports pandas

        params = files.params()
        return audit_tags(files.json(AUDIT), params["split"]["shortcuts"]) if files.is_made_from(AUDIT) else {}

    def _model(self) -> dict[str, Any]:
        return dict(json.loads(self.trained.read(MODEL) or "{}"))


def of_version(files: Files) -> Artifacts:
    """The files of an evaluation, with its report if that is of it."""
    return {**OF_EVALUATION, **(OF_REPORT if has_report(files) else {})}


def has_report(files: Files) -> bool:
    """Whether the report in DVC is of the training and the figures beside it."""
    return files.is_of(REPORT, RUN, METRICS)


def note(files: Files) -> str | None:
    """The description of a run, where its report is of these figures and not lost."""
    return files.read(SUMMARY) if has_report(files) else None
