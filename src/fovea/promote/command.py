"""`fovea promote`: register the model of a run, and let it take the champion's place if that does no harm."""

import base64
import json
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg

from fovea.classifier.classifier import save_classifier
from fovea.compare.command import read_side
from fovea.compare.side import WORKSPACE
from fovea.errors import UserError
from fovea.evaluation.paired import COMPARED
from fovea.promote.candidate import Candidate, read_candidate
from fovea.promote.decision import LOWER_IS_BETTER, Verdict, decide
from fovea.tables import printable
from fovea.tracking.provenance import workspace_root
from fovea.tracking.registry import CHAMPION, PREVIOUS, Packaged, Registered, Registry

RESULT = "fovea.result"  # tag: where a version comes from
FACTS = ("dataset.", "git.", "version.", "dvc.experiment")  # tags of the run that its version has too


def promote(name: str, model: str, by: str, margin: float, force: str) -> bool:
    """Whether the result `name` is the champion of the registered model `model` now.

    It is registered in any case, once. Raises UserError if it can't be.
    """
    if by not in COMPARED:
        raise UserError(f"--by {by}: no such figure; there are {', '.join(COMPARED)}")
    registry = Registry(model)
    with tempfile.TemporaryDirectory() as folder:
        candidate = read_candidate(read_side(workspace_root(), name), Path(folder))
        challenger = registry.find(candidate.key) or _register(registry, candidate, Path(folder))
    champion = registry.holder(CHAMPION)
    if champion is None or champion.version == challenger.version:
        if champion is None:
            registry.crown(challenger, None)
        print(f"champion    {_who(challenger)}{'' if champion else ', the first one'}")
        return True
    verdict = decide(candidate.rows, registry.rows(champion), by, margin)
    decision = _decision(verdict, force)
    registry.describe(challenger, _outcome(champion, verdict, by, decision, force))
    if moved := decision != "refused":
        _require_still(registry, champion)
        registry.crown(challenger, champion)
    print("\n".join(_lines(challenger, champion, verdict, by, decision)))
    return moved


def _require_still(registry: Registry, champion: Registered) -> None:
    """The challenger was held against this one and no other."""
    now = registry.holder(CHAMPION)
    if now is None or now.version != champion.version:
        raise UserError(f"meanwhile {now or 'nothing'} has become the champion; promote again, to compare with it")


def _register(registry: Registry, candidate: Candidate, folder: Path) -> Registered:
    run = registry.find_run(candidate.run_id, candidate.training)
    if run is None:
        raise UserError(f"{candidate.side.name}: this MLflow store has no run of its training; `uv run fovea sync` "
                        "makes one")
    classifier, record = candidate.classifier, candidate.classifier.record
    file = folder / "classifier.pt"
    save_classifier(file, classifier)
    facts = {tag: value for tag, value in run.data.tags.items() if tag.startswith(FACTS)}
    preprocessing = {**record["square"], "crop_of_training": record["crop"], "scaling": record["scaling"],
                     "views": classifier.prediction.views}
    described = {"classes": classifier.classes, "preprocessing": preprocessing, "metrics": candidate.figures}
    tags = {tag: json.dumps(value, ensure_ascii=False) for tag, value in described.items() if tag != "metrics"}
    tags |= {f"test/{figure}": f"{value:.6g}" for figure, value in candidate.figures.items()}
    packaged = Packaged(file, candidate.rows, record["model"], classifier.classes, example(),
                        {**described, "facts": facts})
    found = "" if candidate.side.name == WORKSPACE else f", {candidate.side.what}"
    return registry.add(candidate.key, run, packaged, {**facts, **tags, RESULT: f"run {run.info.run_name}{found}"})


def example() -> str:
    """Base64 of a picture that no patient has given: a disc that fades."""
    y, x = np.mgrid[:64, :64] / 31.5 - 1
    bright = np.clip(1 - np.hypot(x, y), 0, None)[..., None] * np.array([220, 140, 90])
    return base64.b64encode(simplejpeg.encode_jpeg(bright.astype(np.uint8))).decode()


def _who(one: Registered) -> str:
    return f"{one}: {printable(one.tags.get(RESULT, 'not of fovea promote'))}"


def _decision(verdict: Verdict, force: str) -> str:
    if verdict.harmless:
        return "promoted"
    return "forced" if force else "refused"


def _lines(challenger: Registered, champion: Registered, verdict: Verdict, by: str, decision: str) -> list[str]:
    """A readable block of what was compared, and what comes of it."""
    lines = [f"champion    {_who(champion)}", f"challenger  {_who(challenger)}"]
    if rows := verdict.rows:
        compared, *others = rows.values()
        left = f"; {sum(others)} others are left out" if any(others) else ""
        lines.append(f"test images {compared} that both have with the same label{left}")
    if verdict.figure:
        lines.append(f"difference  {by} {_difference(verdict, by)}")
    lines.append(f"decision    {decision}: {verdict.why}")
    if decision == "refused":
        lines.append(f"            {champion} stays the champion; --force \"why\" replaces it all the same")
    else:
        lines.append(f"            {challenger} is @{CHAMPION} now, {champion} is @{PREVIOUS}")
    return lines


def _difference(verdict: Verdict, by: str) -> str:
    figure = verdict.figure
    assert figure is not None
    if figure["difference"] is None:
        return "not defined"
    low_high = figure["interval"]
    shown = f" (95 % {low_high[0]:+.3f} to {low_high[1]:+.3f})" if low_high else ""
    lower = ", lower is better" if by in LOWER_IS_BETTER else ""
    return f"{figure['one']:.3f} against {figure['other']:.3f}, {figure['difference']:+.3f}{shown}{lower}"


def _outcome(champion: Registered, verdict: Verdict, by: str, decision: str, force: str) -> dict[str, str]:
    """Tags of a challenger."""
    difference = f"{by} {_difference(verdict, by)} on {verdict.rows['compared']} images" if verdict.figure else "none"
    found = {"fovea.decision": f"{decision}: {verdict.why}", "fovea.difference": difference,
             "fovea.against": f"version {champion.version}"}
    return found | ({"fovea.forced": force} if decision == "forced" else {})
