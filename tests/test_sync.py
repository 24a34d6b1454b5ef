"""`fovea sync` over real experiments of DVC: trained while the server was down, restored, queued, in another clone.

One small project, whose pipeline runs once, trains once more, and evaluates once more: a minute of CPU.
"""

import csv
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from fovea.errors import UserError
from fovea.sync.command import sync
from fovea.tracking import runs
from fovea.tracking.delivery import EXPERIMENTS
from fovea.tracking.evaluations import log_evaluation
from fovea.tracking.notes import NOTE, PARENT
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project
from tests.servers import free_port
from tests.team import Team

SECRET = "hunter2-9f3c"
DOWN = f"http://bob:{SECRET}@127.0.0.1:{free_port()}"  # nobody answers there while experiments run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One training with its store, `down` without, `again` restored from it, `queued` evaluated by a worker."""
    project = Project.create(tmp_path_factory.mktemp("sync") / "project")
    write_fundus_lesions(project.folder / "data/raw/small")
    project.set_params({**SMALL, "train.full.epochs": 2})
    project.run("dvc add -q data/raw/small")
    project.run(f"dvc remote add -q -d shared {project.folder.parent / 'remote'}")  # DVC asks each revision for its own
    project.run("dvc repro")
    project.commit("One result")
    project.environment["MLFLOW_TRACKING_URI"] = DOWN
    project.run("dvc exp run -n down --temp -S train.batch_size=8")
    assert "Running stage" not in project.run("dvc exp run -n again --temp -S train.batch_size=8").stdout
    del project.environment["MLFLOW_TRACKING_URI"]
    project.run("dvc exp run --queue -n queued -S evaluate.curve_points=50")
    project.run_queue(1, {"queued"})
    return project


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)


class Said(NamedTuple):
    lines: list[str]
    warnings: list[str]


@pytest.fixture
def call(project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Calls `fovea sync` in a folder, without the seconds that starting it takes."""

    def run(folder: Path = project.folder, all_again: bool = False) -> Said:
        monkeypatch.chdir(folder)
        capfd.readouterr()
        sync(all_again)
        out, err = capfd.readouterr()
        return Said(out.splitlines(), [line for line in err.splitlines() if line.startswith("warning: ")])

    return run


@pytest.fixture(scope="module")
def first(project: Project) -> list[str]:
    """What the first call prints."""
    return project.run("fovea sync").stdout.splitlines()


def store(project: Project) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project.folder}/mlflow.db")


def trainings(client: MlflowClient) -> dict[str, Any]:
    """The runs of trainings by the DVC experiments that they are tagged with."""
    ids = [each.experiment_id for each in client.search_experiments()]
    found = [run for run in client.search_runs(ids) if PARENT not in run.data.tags]
    names = [", ".join(sorted(run.data.tags.get(EXPERIMENTS, "").split(", "))) for run in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def evaluations(client: MlflowClient, run: Any) -> list[Any]:
    return list(client.search_runs([run.info.experiment_id], f"tags.`{PARENT}` = '{run.info.run_id}'"))


def at(project: Project, experiment: str, path: str) -> str:
    return project.run(f"git show {project.experiments()[experiment]}:{path}").stdout


def artifacts(client: MlflowClient, run: Any, folder: str | None = None) -> set[str]:
    files = client.list_artifacts(run.info.run_id, folder)
    return {name for file in files for name in (artifacts(client, run, file.path) if file.is_dir else {file.path})}


def rows(project: Project) -> dict[str, list[Any]]:
    """Everything in the store's database that runs are of."""
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        tables = ("runs", "params", "metrics", "latest_metrics", "tags", "inputs", "datasets")
        return {table: sorted(database.execute(f"select * from {table}").fetchall(), key=str) for table in tables}


def test_a_training_without_a_store_gets_a_run_and_the_others_keep_theirs(project: Project, first: list[str]) -> None:
    assert [line.split()[0] for line in first[:-1]].count("made") == 1
    assert first[-1] == "2 results, 2 with a run in MLflow: 1 made, 1 completed"
    found = trainings(store(project))
    assert set(found) == {"queued", "again, down"}
    assert found["queued"].info.run_id == json.loads(project.text("mlflow_run.json"))["run_id"]


def test_a_run_that_was_made_is_as_the_training_would_have_made_it(project: Project, first: list[str]) -> None:
    client = store(project)
    found = trainings(client)
    usual, made = found["queued"], found["again, down"]
    assert made.info.status == "FINISHED" and made.info.run_name in ("down", "again")
    assert made.data.params == usual.data.params | {"train.batch_size": "8"}
    not_in_files = {"epoch/data_wait"} | {name for name in usual.data.metrics if name.startswith("system/")}
    of_test = {name for name in [*usual.data.metrics, *made.data.metrics] if name.startswith("interval/")}
    assert set(usual.data.metrics) - not_in_files - of_test == set(made.data.metrics) - of_test
    unknown = {"git.branch", "git.dirty", "mlflow.source.git.branch", "version.dvc", "mlflow.user"}  # to the files
    assert set(usual.data.tags) - unknown <= set(made.data.tags)
    same = ("device", "dataset.name", "dataset.md5", "dataset.digest", "version.torch", "fovea.recipe", "dvc.baseline")
    assert all(usual.data.tags[tag] == made.data.tags[tag] for tag in same)
    assert made.inputs.dataset_inputs[0].dataset.digest == usual.inputs.dataset_inputs[0].dataset.digest
    assert made.data.tags[NOTE].startswith("**Small**") and "[report](" in made.data.tags[NOTE]
    assert artifacts(client, made) == artifacts(client, usual)


def test_the_curves_are_those_of_the_files(project: Project, first: list[str]) -> None:
    client, made = store(project), trainings(store(project))["again, down"]
    history, steps = (read_out(project, "down", f"reports/{name}.csv") for name in ("history", "steps"))
    for curve, table, place, column in (("epoch/val_loss", history, "epoch", "val_loss"),
                                        ("samples/lr", steps, "samples", "lr")):
        points = sorted((point.step, point.value) for point in client.get_metric_history(made.info.run_id, curve))
        assert points == [(int(row[place]), float(row[column])) for row in table]
        assert len(points) > 1


def read_out(project: Project, experiment: str, path: str) -> list[dict[str, str]]:
    """Rows of a table that DVC versions."""
    digest = re.search(rf"path: {path}\n +hash: md5\n +md5: (\w+)", at(project, experiment, "dvc.lock"))
    assert digest
    place = project.folder / ".dvc/cache/files/md5" / digest[1][:2] / digest[1][2:]
    return list(csv.DictReader(place.read_text().splitlines()))


def test_the_test_metrics_and_intervals_are_those_of_the_files(project: Project, first: list[str]) -> None:
    client = store(project)
    made = trainings(client)["again, down"]
    metrics, intervals = (json.loads(at(project, "down", f"reports/{name}.json")) for name in ("metrics", "intervals"))
    for run in (made, *evaluations(client, made)):
        assert run.data.metrics["test/balanced_accuracy"] == metrics["test"]["balanced_accuracy"]
        assert run.data.metrics["val_best/log_loss"] == metrics["val"]["log_loss"]
        assert run.data.metrics["interval/accuracy_low"] == intervals["test"]["accuracy"][0]
    assert len(evaluations(client, made)) == 1


def test_another_evaluation_of_the_same_training_is_one_more_child(project: Project, first: list[str]) -> None:
    client = store(project)
    found = evaluations(client, trainings(client)["queued"])
    points = {run.data.params["evaluate.curve_points"] for run in found}
    assert len(found) == 2 and points == {"50", str(project.params()["evaluate"]["curve_points"])}


def test_a_second_call_changes_nothing_and_says_so(project: Project, first: list[str], call: Any) -> None:
    before = rows(project)
    for all_again in (False, True):
        assert call(all_again=all_again) == (["2 results, 2 with a run in MLflow: nothing changed"], [])
    assert rows(project) == before


@pytest.mark.parametrize(
    ("damage", "repaired"),
    [
        ("delete from metrics where key = 'epoch/val_loss' and step = 1", "1 points"),
        ("delete from tags where key = 'dataset.md5'", "tags"),
        ("update runs set status = 'RUNNING', end_time = null", "its end"),
        ("delete from params where key = 'train.full.lr'", "parameters"),
    ],
    ids=["point", "tag", "end", "parameter"],
)
def test_what_a_run_lost_comes_back(
    project: Project, first: list[str], call: Any, damage: str, repaired: str
) -> None:
    before, run = rows(project), trainings(store(project))["queued"].info.run_id
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        database.execute(f"{damage} {'and' if ' where ' in damage else 'where'} run_uuid = '{run}'")
    assert rows(project) != before
    lines = call(all_again=True).lines
    assert lines[0] == f"completed {run} for queued: {repaired}" and len(lines) == 2
    after = rows(project)
    assert {name: len(found) for name, found in after.items()} == {name: len(found) for name, found in before.items()}
    assert call().lines[-1].endswith("nothing changed")


def test_a_run_that_was_deleted_is_made_again(project: Project, first: list[str], call: Any) -> None:
    client = store(project)
    run = trainings(client)["again, down"]
    client.delete_run(run.info.run_id)
    assert call().lines[-1] == "2 results, 2 with a run in MLflow: 1 made, 0 completed"
    again = trainings(client)
    assert len(again) == 2 and again["again, down"].data.params == run.data.params


def test_a_server_that_failed_in_every_way_gets_everything_once_it_works(
    project: Project, first: list[str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    with pytest.raises(UserError, match="it does not answer") as error:
        call()
    assert SECRET not in str(error.value)
    with Team.start() as team:
        ada = team.mlflow.add_user("ada")
        for name, value in (ada | {"MLFLOW_TRACKING_PASSWORD": SECRET}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match="it refuses this user or password"):
            call()
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ada["MLFLOW_TRACKING_PASSWORD"])
        with team.mlflow.full_disk(2**20), pytest.raises(UserError, match="its disk may be full"):
            call()  # a model is larger than that
        assert call().lines[-1] == "2 results, 2 with a run in MLflow: 1 made, 1 completed"
        assert call().lines == ["2 results, 2 with a run in MLflow: nothing changed"]
        found = trainings(MlflowClient())
        assert set(found) == {"queued", "again, down"}
        kept = {key.partition("artifacts/")[2] for key in team.storage.keys("mlflow")}
        assert {"model/model.pt", "evaluation/predictions.csv", "report/report.html"} <= kept
        token = found["queued"].data.tags[runs.TRAINING]  # by which a stage that runs now finds the run
        assert log_evaluation(None, {"test": {"accuracy": 0.5}}, {}, token=token) is not None
    for secret in (SECRET, ada["MLFLOW_TRACKING_PASSWORD"]):
        assert not list(files_with(secret, project.folder))
        assert secret not in project.run("git log --all --reflog -p").stdout


def files_with(text: str, folder: Path) -> Iterator[Path]:
    """Files below `folder`, of MLflow's store and of all that git may see, that hold `text`."""
    for path in folder.rglob("*"):
        if path.is_file() and ".dvc/tmp" not in str(path) and text.encode() in path.read_bytes():
            yield path


@pytest.fixture(scope="module")
def clone(project: Project, first: list[str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone by a colleague, who has no file of DVC yet and a store of her own. `down` is a branch of the remote."""
    folder = tmp_path_factory.mktemp("clone")
    project.run("dvc exp branch down down-branch")
    project.run("dvc push -q --all-branches")
    subprocess.run(["git", "clone", "-q", str(project.folder), str(folder / "clone")], check=True)
    return Project(folder / "clone")


def test_a_clone_gets_runs_from_the_history_of_all_branches_and_hears_what_they_lack(
    clone: Project, call: Any
) -> None:
    lines, warnings = call(clone.folder)
    assert lines[-1] == "2 results, 2 with a run in MLflow: 2 made, 0 completed"
    assert len(warnings) == 2 and all("reports/history.csv" in line and "models/model.pt" in line for line in warnings)
    found = store(clone).search_runs(["1"], "tags.`fovea.training` LIKE '%'")
    assert all("test/accuracy" in run.data.metrics and "epoch/val_loss" not in run.data.metrics for run in found)
    assert call(clone.folder).warnings == warnings


def test_what_a_clone_lacked_is_completed_once_it_is_fetched(clone: Project, call: Any) -> None:
    call(clone.folder)
    clone.run("git branch -q down-branch origin/down-branch")  # DVC fetches for branches of our own
    clone.run("dvc fetch -q --all-branches")
    lines, warnings = call(clone.folder)
    assert lines[-1] == "2 results, 2 with a run in MLflow: 0 made, 2 completed" and warnings == []
    found = store(clone).search_runs(["1"], "tags.`fovea.training` LIKE '%'")
    assert all("epoch/val_loss" in run.data.metrics and NOTE in run.data.tags for run in found)
    assert call(clone.folder) == (["2 results, 2 with a run in MLflow: nothing changed"], [])


def test_a_result_that_is_not_the_one_of_its_lock_gets_no_run(clone: Project, call: Any) -> None:
    (clone.folder / "mlflow_run.json").write_text('{"run_id": null, "training": "by-hand"}')
    lines, warnings = call(clone.folder)
    assert lines[-1].startswith("3 results, 2 with a run") and len(warnings) == 1
    assert "mlflow_run.json is not the one of its dvc.lock" in warnings[0]
    (clone.folder / "mlflow_run.json").write_text('{"run_id": null}')
    assert "names no training" in call(clone.folder).warnings[0]
    clone.run("git checkout -q mlflow_run.json")


def test_outside_a_project_there_is_one_line(call: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape("dvc.yaml")):
        call(tmp_path)
