"""Single results that `fovea sync` meets: of another version, evaluated in another clone, in signed commits."""

import json
from hashlib import md5
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from fovea.revisions import cached, heading
from fovea.sync.deliver import deliver
from fovea.sync.files import Files
from fovea.sync.holders import find_holders
from fovea.sync.results import Found
from fovea.tracking import runs
from fovea.tracking.evaluations import LATEST, log_evaluation
from tests.project import Project
from tests.test_tracking import SECTIONS

RUN = '{"run_id": null, "training": "one"}'
METRICS = '{"test": {"accuracy": 0.5}}'


def write_result(folder: Path, params: dict[str, object]) -> None:
    """What a training and its evaluation leave, as DVC notes it."""
    digests = {path: md5(text.encode()).hexdigest() for path, text in
               (("mlflow_run.json", RUN), ("reports/metrics.json", METRICS))}
    run, metrics = ({"path": path, "md5": digest} for path, digest in digests.items())
    stages = {"train": {"cmd": "train", "params": {"params.yaml": params}, "outs": [run]},
              "evaluate": {"cmd": "evaluate", "deps": [run], "outs": [metrics]}}
    (folder / "reports").mkdir()
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    (folder / "mlflow_run.json").write_text(RUN)
    (folder / "reports/metrics.json").write_text(METRICS)


def test_a_result_of_another_version_is_named_and_holds_up_no_other(tmp_path: Path) -> None:
    write_result(tmp_path, {"train": {"model": "resnet18"}})
    found = Found(tmp_path)
    outcome = deliver(None, found, found.results["one"], lambda: tmp_path)  # MLflow is not asked
    assert outcome.run_id is None and "another version of Fovea (KeyError: 'dataset')" in outcome.problem


def test_an_evaluation_that_only_another_clone_has_stays_the_one_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_result(tmp_path, SECTIONS)
    with runs.start_training(SECTIONS, data="data/raw/demo", digest="ab", device="cpu", token="one") as training:
        pass
    log_evaluation(training.id, {"test": {"accuracy": 0.75}}, {})
    client, found = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), Found(tmp_path)
    before = client.get_run(str(training.id)).data
    outcome = deliver(client, found, found.results["one"], lambda: tmp_path)
    after = client.get_run(str(training.id)).data
    assert outcome.run_id == training.id and "test metrics" in outcome.done  # its own is one more child
    assert after.metrics["test/accuracy"] == 0.75 and after.tags[LATEST] == before.tags[LATEST]


def test_files_are_handed_to_mlflow_as_ones_that_the_next_report_may_replace(tmp_path: Path) -> None:
    """MLflow keeps the permissions of files in a folder, and DVC's are read-only."""
    listing, digest = json.dumps([{"md5": "ab" * 16, "relpath": "roc.png"}]), "cd" * 16 + ".dir"
    for name, text in (("ab" * 16, "drawn"), (digest, listing)):
        place = cached(tmp_path / "cache", name)
        place.parent.mkdir(parents=True)
        place.write_text(text)
        place.chmod(0o444)
    stages = {"report": {"cmd": "x", "outs": [{"path": "reports/figures", "md5": digest}]}}
    files = Files({"dvc.lock": yaml.safe_dump({"schema": "2.0", "stages": stages})}, lambda: tmp_path / "cache")
    assert files.lay_out("reports/figures", tmp_path / "out") == tmp_path / "out/reports/figures"
    drawn = tmp_path / "out/reports/figures/roc.png"
    assert drawn.read_text() == "drawn" and not drawn.is_symlink() and drawn.stat().st_mode & 0o200


GPG = """#!/bin/sh
case "$*" in
*--verify*) echo "gpg: Good signature" >&2; echo "[GNUPG:] GOODSIG 0 x" ;;
*) cat > /dev/null; printf -- "-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n"
   printf "\\n[GNUPG:] SIG_CREATED x\\n" >&2 ;;
esac
"""


def test_a_git_that_shows_signatures_hides_no_commit(tmp_path: Path) -> None:
    """With `log.showSignature` git prints a line more for each signed commit."""
    project = Project(tmp_path)
    write_result(tmp_path, SECTIONS)
    (tmp_path / "gpg").write_text(GPG)
    (tmp_path / "gpg").chmod(0o755)
    project.run("git init -q -b main")
    for setting in (f"gpg.program {tmp_path}/gpg", "commit.gpgSign true", "log.showSignature true"):
        project.run(f"git config {setting}")
    project.commit("Signed")
    assert "Good signature" in project.run("git log").stdout
    commit = project.run("git rev-parse HEAD").stdout.strip()
    assert [holder.commit for holder in find_holders(tmp_path, ["dvc.lock"])] == [commit]
    assert heading(tmp_path, "HEAD")[1] == "Signed"
