"""MLflow as a team runs it: a server with users, its runs in PostgreSQL, its files in S3. All real, on loopback.

A minute of CPU, most of it the starts of the server and two trainings.
"""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fovea.errors import UserError
from fovea.promote.command import promote
from fovea.tracking import runs, training_run
from fovea.tracking.client import connect
from fovea.tracking.evaluations import log_evaluation
from fovea.tracking.registry import CHAMPION, PREVIOUS, fetch_model
from tests.import_closure import ROOT
from tests.project import SMALL, Project
from tests.registered import held_images, predicted, write_result
from tests.servers import free_port, until
from tests.small import write_cache
from tests.team import Team
from tests.test_tracking import METRICS, SECTIONS

POINTS = 1500  # of one curve; eight of them make the table larger than the disk in the test of a full one
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with Team.start() as servers:
        yield servers


@pytest.fixture(scope="module")
def users(team: Team) -> dict[str, dict[str, str]]:
    return {name: team.mlflow.add_user(name) for name in ("ada", "ben")}


@pytest.fixture(autouse=True)
def ada(users: dict[str, dict[str, str]], request: pytest.FixtureRequest, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What trainings of ada have in their environment: her name and password, and no key to the storage."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "AWS_", "DVC_EXP")):
            monkeypatch.delenv(name)
    environment = users["ada"] | {"DVC_ROOT": str(tmp_path), "MLFLOW_EXPERIMENT_NAME": request.node.name}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training_run, "_warned", set())
    return environment


def start() -> training_run.TrainingRun:
    return runs.start_training(SECTIONS, data="data/raw/demo", digest="ab" * 20, device="cpu")


def curve(run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in connect().get_metric_history(run_id, name)]


def in_processes(count: int, train: Any, *arguments: Any) -> tuple[list[Any], Any]:
    """`train(answers, *arguments)` in `count` processes at once; they, and the queue of what they answer.

    Forked, since importing MLflow takes each of them seconds.
    """
    connect()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=train, args=(answers, *arguments)) for _ in range(count)]
    for process in processes:
        process.start()
    return processes, answers


def log_when_all_are_ready(answers: Any, ready: Any) -> None:
    with start() as training:
        ready.wait()
        for step in range(POINTS):
            training.log({"samples/train_loss": 1 / (1 + step)}, step)
    answers.put(training.id)


def test_a_colleague_takes_the_champion_s_place_and_all_of_the_team_get_it(
    users: dict[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = held_images()
    for name, right in (("ada", 0.6), ("ben", 0.8)):
        for variable, value in users[name].items():
            monkeypatch.setenv(variable, value)
        with start() as training:
            pass
        write_result(tmp_path, images, predicted(images, right), {"run_id": training.id}, int(10 * right))
        assert promote("workspace", "team", "balanced_accuracy", 0, "")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", users["ada"]["MLFLOW_TRACKING_USERNAME"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", users["ada"]["MLFLOW_TRACKING_PASSWORD"])
    aliases = connect().get_registered_model("team").aliases
    assert {name: str(version) for name, version in aliases.items()} == {CHAMPION: "2", PREVIOUS: "1"}
    found = [fetch_model(f"models:/team@{alias}", tmp_path / alias).read_bytes() for alias in (PREVIOUS, CHAMPION)]
    assert found[0] != found[1]
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(UserError, match="it refuses this user or password; set MLFLOW_TRACKING_USERNAME"):
        fetch_model(f"models:/team@{CHAMPION}", tmp_path)


def test_eight_trainings_that_log_at_once_lose_no_point(capfd: pytest.CaptureFixture[str]) -> None:
    ready = multiprocessing.get_context("fork").Barrier(8)
    processes, answers = in_processes(8, log_when_all_are_ready, ready)
    ids = {answers.get(timeout=200) for _ in processes}
    for process in processes:
        process.join()
    assert len(ids) == 8 and capfd.readouterr().err == ""
    for run_id in ids:
        assert curve(run_id, "samples/train_loss") == [(step, 1 / (1 + step)) for step in range(POINTS)]
        assert connect().get_run(run_id).info.status == "FINISHED"


def log_until_told(answers: Any, enough: Any) -> None:
    with start() as training:
        step = 0
        while not enough.wait(0.01):
            step += 1
            training.log({"samples/train_loss": float(step)}, step)
    answers.put((training.id, step))


def test_a_server_killed_and_started_again_in_the_middle_loses_no_point(
    team: Team, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stored() -> int:
        return int(team.database.ask("select count(*) from metrics where key = 'samples/train_loss'"))

    monkeypatch.setattr(training_run, "SECONDS_BETWEEN_WRITES", 0.1)
    before, enough = stored(), multiprocessing.get_context("fork").Event()
    processes, answers = in_processes(2, log_until_told, enough)
    until(lambda: stored() > before + 20)
    team.mlflow.kill()
    at_kill = stored()
    team.mlflow.start()
    until(lambda: stored() > at_kill + 20)
    enough.set()
    for run_id, last in (answers.get(timeout=200) for _ in processes):
        assert curve(run_id, "samples/train_loss") == [(step, float(step)) for step in range(1, last + 1)]
        assert connect().get_run(run_id).info.status == "FINISHED"
    for process in processes:
        process.join()
    lines = sorted(capfd.readouterr().err.splitlines())
    assert [line[:34] for line in lines] == 2 * ["MLflow: the curves could be recorde"[:34]] + 2 * [
        "warning: MLflow: the curves could n"[:34]]


def test_points_wait_until_the_disk_of_the_server_has_space_again(
    team: Team, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_run, "SECONDS_BETWEEN_WRITES", 0.1)
    expected = [(step, float(step)) for step in range(3 * POINTS)]
    with start() as training:
        with team.database.full_disk(MEGABYTE):
            for step, value in expected[:-1]:
                training.log({"samples/train_loss": value}, step)
            until(lambda: training_run._warned)
        training.log({"samples/train_loss": expected[-1][1]}, expected[-1][0])
    assert curve(training.id or "", "samples/train_loss") == expected
    first, second = capfd.readouterr().err.splitlines()
    assert "its disk is full; free space there" in first and "recorded after all" in second


def train(folder: Path, environment: dict[str, str]) -> str:
    """The stage `train` over a small cache, which must succeed; what it says."""
    project = Project(folder)
    project.environment |= environment
    shutil.copy(ROOT / "params.yaml", folder)
    project.set_params({key: value for key, value in SMALL.items() if key.startswith("train.")})
    write_cache(folder / "data/cache")
    said = project.run(f"python {ROOT / 'stages/train.py'}").stderr
    assert "Traceback" not in said and environment["MLFLOW_TRACKING_PASSWORD"] not in said
    return said


def warnings(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("warning: ")]


def test_a_training_with_a_wrong_password_ends_well_and_says_so_in_one_line(
    tmp_path: Path, ada: dict[str, str]
) -> None:
    (line,) = warnings(train(tmp_path, ada | {"MLFLOW_TRACKING_PASSWORD": "not-hers-3f9c"}))
    assert "it refuses this user or password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in line


def test_a_training_whose_server_has_a_full_disk_ends_well_and_says_so_in_one_line(
    team: Team, tmp_path: Path, ada: dict[str, str]
) -> None:
    with team.mlflow.full_disk(MEGABYTE):  # it keeps a file that comes on its own disk until the storage has it
        (line,) = warnings(train(tmp_path, ada))
    assert "the files of the run" in line and "its disk may be full" in line


def test_a_host_that_does_not_exist_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://nowhere.invalid:{free_port()}")
    with start() as training:
        training.log({"samples/train_loss": 1.0}, 1)
    (line,) = capfd.readouterr().err.splitlines()
    assert "it does not answer; start that server or correct MLFLOW_TRACKING_URI" in line


def test_files_go_through_the_server_into_the_storage(team: Team, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    with start() as training:
        training.log_artifacts({"model": ["model.pt"]})
    assert [key for key in team.storage.keys("mlflow") if key.endswith(f"{training.id}/artifacts/model/model.pt")]
    back = connect().download_artifacts(training.id, "model/model.pt", str(tmp_path))
    assert Path(back).read_bytes() == b"weights"
    address = f"{team.storage.address}/mlflow"
    assert not requests.get(address, timeout=60).ok  # it is the key of the server that opens it


def test_a_colleague_may_evaluate_what_another_trained(
    users: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start() as training:
        pass
    for name, value in users["ben"].items():
        monkeypatch.setenv(name, value)
    assert log_evaluation(training.id, METRICS, SECTIONS["evaluate"]) is not None
    assert connect().get_run(training.id).data.metrics["test/accuracy"] == 0.8


def test_nobody_sees_a_run_without_a_password(team: Team) -> None:
    answer = requests.get(f"{team.mlflow.address}/api/2.0/mlflow/experiments/search?max_results=9", timeout=60)
    assert answer.status_code == 401


def test_no_password_stands_in_a_command_line_of_the_servers(team: Team) -> None:
    secrets = [team.database.password, team.mlflow.admin_password, team.storage.credentials["AWS_SECRET_ACCESS_KEY"]]
    for server in team:
        for process in server.processes():
            assert not any(secret in part for part in process.cmdline() for secret in secrets)
