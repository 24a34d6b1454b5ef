import multiprocessing
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.tracking import delivery, evaluations, provenance, runs, schema, store, training_run
from fovea.tracking.client import LONGEST_TAG, connect
from tests.servers import free_port

ROOT = Path(__file__).parent.parent
SECTIONS: dict[str, Any] = {
    "dataset": {"name": "demo", "labels": {"H (healthy)": "normal"}, "classes": ["0", "1"], "positive": None},
    "train": {"model": "resnet18", "full": {"lr": 0.001, "optimizer": {"name": "sgd", "nesterov": True}}},
    "evaluate": {"curve_points": 12},
    "machine": {"device": "auto"},
}
METRICS = {"test": {"accuracy": 0.8, "sensitivity": {"mild": 0.5}}, "val": {"accuracy": 0.7}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store all tests share, because creating its tables takes seconds."""
    return tmp_path_factory.mktemp("a project #1, 50%")


@pytest.fixture(autouse=True)
def experiment(project: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An experiment for each test, in a project without git."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    monkeypatch.chdir(project)
    monkeypatch.setattr(training_run, "_warned", set())
    return str(request.node.name)


def start(**options: Any) -> training_run.TrainingRun:
    return runs.start_training(SECTIONS, data="data/raw/demo", digest="ab" * 20, device="cpu", **options)


def finished() -> str:
    with start() as training:
        assert training.id is not None
    return training.id


def client() -> Any:
    return connect()


def parents(experiment: str) -> list[Any]:
    found = client().get_experiment_by_name(experiment)
    return list(client().search_runs([found.experiment_id]))


def children(experiment: str, parent: str) -> list[Any]:
    return [child for child in parents(experiment) if child.data.tags.get("mlflow.parentRunId") == parent]


def curve(run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client().get_metric_history(run_id, name)]


def files(run_id: str, folder: str | None = None) -> list[str]:
    return [file.path for file in client().list_artifacts(run_id, folder)]


def repository(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text("a: 1\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@x"]
    for command in (["init", "-q", "-b", "trunk"], ["add", "."], ["commit", "-qm", "m"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def test_a_training_is_one_finished_run(experiment: str) -> None:
    run_id = finished()
    assert [(found.info.run_id, found.info.status) for found in parents(experiment)] == [(run_id, "FINISHED")]


def test_a_run_carries_the_parameters_of_the_training_alone() -> None:
    params = client().get_run(finished()).data.params
    assert params["train.full.lr"] == "0.001" and params["machine.device"] == "auto"
    assert not any(name.startswith("evaluate") for name in params)


def test_curves_have_their_steps_and_leave_out_none() -> None:
    with start() as training:
        for epoch in (1, 2, 3):
            training.log({"val_loss": 1 / epoch, "val_auroc": None if epoch == 2 else 0.5}, epoch)
    assert curve(training.id or "", "val_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert curve(training.id or "", "val_auroc") == [(1, 0.5), (3, 0.5)]


def test_thousands_of_steps_all_arrive() -> None:
    with start() as training:
        for step in range(2500):
            training.log({"train/loss": float(step)}, step * 16)
    assert curve(training.id or "", "train/loss") == [(step * 16, float(step)) for step in range(2500)]


def test_points_are_written_while_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "SECONDS_BETWEEN_WRITES", 0.0)
    with start() as training:
        training.log({"lr": 0.1}, 1)
        give_up = time.monotonic() + 20
        while not curve(training.id or "", "lr") and time.monotonic() < give_up:
            time.sleep(0.05)
        assert curve(training.id or "", "lr") == [(1, 0.1)]


def test_an_exception_marks_the_run_failed_with_its_type_and_not_its_words() -> None:
    training = start()
    with pytest.raises(ZeroDivisionError), training:
        raise ZeroDivisionError("patient Smith")
    found = client().get_run(training.id)
    assert (found.info.status, found.data.tags["fovea.error"]) == ("FAILED", "ZeroDivisionError")
    assert "Smith" not in str(found.to_dictionary())


def test_sigterm_marks_the_run_killed_and_ends_the_process(experiment: str) -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from tests.test_tracking import start\n"
        "from fovea.errors import report_user_errors; report_user_errors()\n"
        "with start() as training:\n    training.log({'lr': 1.0}, 1); print(training.id, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        run_id = child.stdout.readline().strip()
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 128 + signal.SIGTERM
    found = client().get_run(run_id)
    assert found.info.status == "KILLED"
    assert curve(run_id, "lr") == [(1, 1.0)]


def test_a_resumed_run_goes_on_without_a_point_twice(experiment: str) -> None:
    first = start()
    with pytest.raises(KeyboardInterrupt), first:
        first.log({"val_loss": 3.0}, 1)
        first.log({"val_loss": 2.0}, 2)
        raise KeyboardInterrupt
    with start(resume=first.id) as second:
        second.log({"val_loss": 2.0}, 2)
        second.log({"val_loss": 1.0}, 3)
    assert second.id == first.id and len(parents(experiment)) == 1
    assert curve(second.id or "", "val_loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert client().get_run(second.id).info.status == "FINISHED"
    assert "fovea.error" not in client().get_run(second.id).data.tags


@pytest.mark.parametrize("at", ["created", "described"])
def test_a_run_that_was_killed_before_its_id_was_kept_is_found_by_its_training(
    experiment: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(runs, "log_input", kill)
        start(token=at, **({"started": kill} if at == "created" else {}))
    with start(token=at) as second:
        pass
    with start(token=f"not-{at}") as other:
        pass
    assert {run.info.run_id for run in parents(experiment)} == {second.id, other.id}
    run = client().get_run(second.id)
    assert run.data.params == client().get_run(other.id).data.params != {}
    assert len(run.inputs.dataset_inputs) == 1 and run.info.run_name.startswith("demo-")


def test_resuming_a_run_that_the_store_does_not_know_opens_a_new_one() -> None:
    with start(resume="0" * 32) as training:
        assert training.id not in (None, "0" * 32)


def test_of_two_clones_that_make_a_run_at_the_same_moment_one_does(experiment: str) -> None:
    first, second = (delivery.make(client(), f"twice-{experiment}", {}, 0).info.run_id for _ in range(2))
    assert first == second
    assert [run.info.run_id for run in parents(experiment)] == [first]


def test_files_lie_in_the_projects_folder(project: Path) -> None:
    (project / "model.pt").write_bytes(b"weights")
    with start() as training:
        training.log_artifacts({"model": ["model.pt"]})
    assert files(training.id or "", "model") == ["model/model.pt"]
    assert list((project / "mlartifacts").glob(f"{training.id}/artifacts/model/model.pt"))


def test_runs_are_found_by_the_version_of_the_image_set(project: Path, experiment: str) -> None:
    (project / "data/raw").mkdir(parents=True, exist_ok=True)
    (project / "data/raw/demo.dvc").write_text(f"outs:\n- md5: {'c' * 32}.dir\n  path: demo\n")
    run_id = finished()
    (project / "data/raw/demo.dvc").unlink()
    finished()
    found = client().get_experiment_by_name(experiment)
    query = f"datasets.name = 'demo' and datasets.digest = '{'c' * 32}.dir'"
    assert [one.info.run_id for one in client().search_runs([found.experiment_id], query)] == [run_id]
    assert client().get_run(run_id).data.tags["dataset.md5"] == f"{'c' * 32}.dir"


def test_a_run_of_a_dvc_experiment_has_its_name_and_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "muddy-moth")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "f" * 40)
    found = client().get_run(finished())
    assert found.info.run_name == "muddy-moth"
    assert (found.data.tags["dvc.experiment"], found.data.tags["dvc.baseline"]) == ("muddy-moth", "f" * 40)


def test_any_other_run_is_named_after_data_and_model() -> None:
    found = client().get_run(finished())
    assert found.info.run_name == f"demo-resnet18-{found.info.run_id[:6]}"


def test_a_shortened_recipe_shows_in_the_name() -> None:
    with start(tags={"fovea.quick": "true"}) as training:
        pass
    assert client().get_run(training.id).info.run_name.startswith("demo-resnet18-quick-")


def test_a_shortened_recipe_shows_in_the_name_of_an_experiment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-bee")
    with start(tags={"fovea.quick": "true"}) as training:
        pass
    assert client().get_run(training.id).info.run_name == "brave-bee-quick"


def test_an_evaluation_that_comes_again_is_recorded_once(experiment: str) -> None:
    run_id = finished()
    first = evaluations.log_evaluation(run_id, METRICS, SECTIONS["evaluate"])
    assert evaluations.log_evaluation(run_id, METRICS, SECTIONS["evaluate"]) == first is not None
    assert [child.info.run_id for child in children(experiment, run_id)] == [first]
    assert curve(run_id, "test/accuracy") == curve(first, "test/accuracy") == [(0, 0.8)]


def test_the_intervals_of_the_test_part_stand_beside_its_figures() -> None:
    run_id = finished()
    intervals = {"test": {"groups": 12, "accuracy": [0.7, 0.9], "kappa": None, "classes": {"mild": {"f1": [0, 1]}}},
                 "val": {"accuracy": [0.5, 0.8]}}
    child = evaluations.log_evaluation(run_id, METRICS, SECTIONS["evaluate"], intervals=intervals)
    for one in (run_id, child):
        found = {name: value for name, value in client().get_run(one).data.metrics.items() if "interval" in name}
        assert found == {"interval/accuracy_low": 0.7, "interval/accuracy_high": 0.9}


def test_a_changed_evaluation_is_another_child(experiment: str) -> None:
    run_id = finished()
    evaluations.log_evaluation(run_id, METRICS, {"curve_points": 12})
    evaluations.log_evaluation(run_id, METRICS, {"curve_points": 24})
    params = [child.data.params for child in children(experiment, run_id)]
    assert sorted(one["evaluate.curve_points"] for one in params) == ["12", "24"]


def test_the_run_shows_its_latest_evaluation_and_stays_finished() -> None:
    run_id = finished()
    other = {"test": {"accuracy": 0.9}, "val": {"accuracy": 0.6}}
    evaluations.log_evaluation(run_id, other, {"curve_points": 12})
    evaluations.log_evaluation(run_id, METRICS, {"curve_points": 12})
    found = client().get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"test/accuracy": 0.8, "test/sensitivity/mild": 0.5, "val_best/accuracy": 0.7}
    evaluations.log_evaluation(run_id, other, {"curve_points": 12})  # back again
    metrics = client().get_run(run_id).data.metrics
    assert metrics["test/accuracy"] == 0.9
    assert metrics["test/sensitivity/mild"] != 0.5  # NaN or 0: that evaluation has no such figure


def test_a_report_lies_with_its_evaluation_and_with_the_run(project: Path) -> None:
    run_id = finished()
    (project / "figures").mkdir(exist_ok=True)
    (project / "figures/roc.png").write_bytes(b"png")
    (project / "report.html").write_text("<p>")
    tags = {"fovea.shortcuts": "image size (AUROC 1.00)", "fovea.warnings": "2" * 9000}
    child = evaluations.log_report(run_id, METRICS, {"curve_points": 12}, {"report": ["report.html", "figures"]}, tags)
    for one in (run_id, child or ""):
        assert sorted(files(one, "report")) == ["report/figures", "report/report.html"]
        assert files(one, "report/figures") == ["report/figures/roc.png"]
    found = client().get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["fovea.shortcuts"] == "image size (AUROC 1.00)"
    assert found.data.tags["fovea.warnings"] == "2" * LONGEST_TAG


def test_a_server_that_is_down_costs_one_line_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://bob:secret@127.0.0.1:{free_port()}")
    with start() as training:
        training.log({"val_loss": 1.0}, 1)
        training.log_artifacts({"": ["absent"]})
    out, err = capfd.readouterr()
    assert training.id is None and out == ""
    assert len(err.splitlines()) == 1 and "MLFLOW_TRACKING_URI" in err
    assert "secret" not in err and "bob" not in err
    assert evaluations.log_evaluation(None, METRICS, {}) is None


def test_a_server_that_is_down_is_not_tried_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in store.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert start().id is None
    assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 2


def test_a_store_that_is_no_database_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.db").write_text("not a database, " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'notes.db'}")
    assert start().id is None
    assert capfd.readouterr().err.count("\n") == 1


def test_an_evaluation_of_a_run_that_this_store_lacks_is_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluations.log_evaluation("0" * 32, METRICS, {}) is None
    assert capfd.readouterr().err.count("warning: MLflow: ") == 1


def test_a_file_that_is_missing_leaves_the_run_finished(capfd: pytest.CaptureFixture[str]) -> None:
    with start() as training:
        training.log_artifacts({"model": ["absent.pt"]})
    assert client().get_run(training.id).info.status == "FINISHED"
    assert "absent.pt" in capfd.readouterr().err


def train_when_all_are_ready(ready: Any, answers: Any) -> None:
    ready.wait()
    with start() as training:
        training.log({"lr": 1.0}, 1)
    answers.put(training.id)


def test_four_processes_create_the_store_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client()  # what it imports takes seconds, which forked processes need not spend again
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=train_when_all_are_ready, args=(ready, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    ids = {answers.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        stored = {row[0] for row in database.execute("select run_uuid from runs where status = 'FINISHED'")}
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
        assert database.execute("select count(*) from experiments where name != 'Default'").fetchone() == (1,)
    assert stored == ids and len(stored) == 4


def test_a_relative_sqlite_address_means_the_project_not_the_current_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/my.db")
    assert store.store_uri() == f"sqlite:///{project.resolve()}/runs/my.db"


def test_doctor_reads_the_version_of_the_tables_and_where_files_lie(project: Path, experiment: str) -> None:
    finished()
    tables = schema.read_tables(store.store_uri())
    assert schema.age(tables.version) == "right" and schema.age("451aebb31d03") == "older"
    assert tables.files == (project / "mlartifacts").as_uri()


def test_the_ui_command_is_short_in_the_project_and_absolute_elsewhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.ui_command() == "uv run mlflow ui --backend-store-uri sqlite:///mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert store.ui_command() == f"uv run mlflow ui --backend-store-uri 'sqlite:///{project.resolve()}/mlflow.db'"


@pytest.mark.parametrize("uri", ["http://u:pa@ss@host:5000", "postgresql+psycopg2://u:p/a@ss@host/runs", "https://host?token=ss"])
def test_the_ui_command_holds_no_password(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "ss" not in store.ui_command().replace("--backend", "")


def test_a_server_decides_where_artifacts_lie() -> None:
    assert store.artifact_location("https://host:5000") is None


def test_params_have_stable_names_and_the_text_of_the_file() -> None:
    assert provenance.flatten_params(SECTIONS) == {
        "dataset.name": "demo",
        "dataset.labels": '{"H (healthy)":"normal"}',
        "dataset.classes": '["0","1"]',
        "dataset.positive": "null",
        "train.model": "resnet18",
        "train.full.lr": "0.001",
        "train.full.optimizer.name": "sgd",
        "train.full.optimizer.nesterov": "true",
        "evaluate.curve_points": "12",
        "machine.device": "auto",
    }


def test_a_long_value_is_cut_to_what_mlflow_keeps() -> None:
    values = [provenance.flatten_params({"a": {"b": "x" * 9000 + end}})["a.b"] for end in "yz"]
    assert max(map(len, values)) <= 6000 and values[0] != values[1]


def test_passwords_in_parameters_are_scrubbed() -> None:
    assert provenance.flatten_params({"train": {"weights": "https://u:pw@host/w.pt"}})["train.weights"] == "https://***@host/w.pt"


SECRET = "s3cr3t/K7+x"
WITH_SECRETS = [
    f"https://bob:{SECRET}@host/w.pt", f"postgresql+psycopg2://bob:{SECRET}@host:5432/runs",
    f"s3://AKIA{'A' * 16}:{SECRET}@b/k",
    f"https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA{'A' * 16}/x&X-Amz-Signature={SECRET}&versionId=3",
    f"https://host/w.pt?AWSAccessKeyId=A&Signature={SECRET}", f"az://c/k?sig={SECRET}", f"https://host/w.pt?token={SECRET}",
    f"--aws_secret_access_key={SECRET}", f'{{"aws_secret_access_key": "{SECRET}"}}', f"password: {SECRET}",
    f"Authorization: Bearer {SECRET}{'x' * 16}", f"ghp_{'K7x' * 12}", f"hf_{'K7x' * 12}", f"glpat-{'K7x' * 12}",
    "https://bob:s3cr3t'K7@host/w.pt",
]  # fmt: skip
INNOCENT = ["s3://bucket/fundus/left_eye.png", "git@github.com:lab/eyes.git", "https://host/w.pt?versionId=3&page=2",
            "tokens 7", "basic augmentation of a secretary", "key: value", "10:30 at the clinic", "C:\\eyes\\left"]


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_credentials_of_any_kind_are_hidden(text: str) -> None:
    assert not re.search(r"s3cr3t|K7|AKIA", provenance.scrub(text))
    assert provenance.scrub(provenance.scrub(text)) == provenance.scrub(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_credential_stays(text: str) -> None:
    assert provenance.scrub(text) == text


def test_no_credential_reaches_a_file_of_the_store(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever parameter, tag, name or note holds it."""
    sections = {"dataset": {"name": "demo", "sources": [{"images": one} for one in WITH_SECRETS]},
                "train": {"model": "resnet18", "weights": WITH_SECRETS[0]}, "machine": {"launcher": WITH_SECRETS[8]}}
    monkeypatch.setenv("DVC_EXP_NAME", WITH_SECRETS[6])
    training = runs.start_training(sections, data="data/raw/demo", digest=WITH_SECRETS[9],
                                   device=WITH_SECRETS[10], tags={"fovea.recipe": WITH_SECRETS[11]})
    with training:
        pass
    tags, note = {"fovea.shortcuts": WITH_SECRETS[1]}, " ".join(WITH_SECRETS)
    assert evaluations.log_report(training.id, METRICS, {"views": WITH_SECRETS[2]}, {}, tags, note) is not None
    assert client().get_run(training.id).data.params["train.weights"] == "https://***@host/w.pt"
    found = [path for path in project.rglob("*") if path.is_file() for one in (b"s3cr3t", b"K7x", b"AKIA")
             if one in path.read_bytes()]
    assert not found


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_classes_of_any_name_give_metrics_that_mlflow_takes(figures: dict[str, float]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    flat = provenance.flatten_metrics({"test": {"f1": figures}})
    assert sorted(flat.values()) == sorted(figures.values())
    for name in flat:
        _validate_metric_name(name)


def test_undefined_figures_and_texts_are_no_metrics() -> None:
    values = {"a": None, "b": float("nan"), "c": float("inf"), "d": "text", "e": [1, 2], "f": 1}
    assert provenance.flatten_metrics(values) == {"f": 1.0}


def test_git_facts_name_commit_and_branch(tmp_path: Path) -> None:
    facts = provenance.git_facts(repository(tmp_path))
    assert (len(facts["git.commit"]), facts["git.branch"], facts["git.dirty"]) == (40, "trunk", "false")


def test_a_changed_file_is_dirty(tmp_path: Path) -> None:
    (repository(tmp_path) / "params.yaml").write_text("a: 2\n")
    assert provenance.git_facts(tmp_path)["git.dirty"] == "true"


def test_what_dvc_writes_is_not_dirty(tmp_path: Path) -> None:
    lock = "stages:\n  train:\n    outs:\n    - path: reports/{name}.json\n      md5: x\n"
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/m.json").write_text("1")
    (tmp_path / "dvc.lock").write_text(lock.format(name="other"))
    (tmp_path / "reports/.gitignore").write_text("")
    repository(tmp_path)
    (tmp_path / "reports/.gitignore").write_text("/m.csv")
    (tmp_path / "dvc.lock").write_text(lock.format(name="m"))
    (tmp_path / "reports/m.json").unlink()
    assert provenance.git_facts(tmp_path)["git.dirty"] == "false"


def test_outside_git_there_are_no_git_facts(tmp_path: Path) -> None:
    assert provenance.git_facts(tmp_path) == {}


def test_the_version_that_a_stage_read_comes_before_the_added_one(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.dvc").write_text("outs:\n- md5: added\n  path: a\n")
    assert provenance.dvc_md5(Path("raw/a"), tmp_path) == "added"
    (tmp_path / "dvc.lock").write_text("stages:\n  ingest:\n    deps:\n    - path: raw/a\n      md5: read\n")
    assert provenance.dvc_md5(Path("raw/a"), tmp_path) == "read"
    assert provenance.dvc_md5(Path("raw/b"), tmp_path) is None


def test_mlflow_is_imported_by_tracking_alone_and_late() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    importers = [path for path, text in texts.items() if re.search(r"^\s*(from|import) mlflow", text, re.MULTILINE)]
    assert {path.parent.name for path in importers} == {"tracking"}
    code = "import sys; from fovea.tracking import runs, store; store.ui_command(); assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
