"""Recipes, folds and seeds in DVC's queue, by two workers at once: each with its run, and none trained twice."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from fovea.tracking.delivery import EXPERIMENTS, RESTORED
from fovea.tracking.notes import PARENT
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project

FOLD = "-S split.folds=2 -S split.fold=1"
SEEDS = {"slow": "1,2", "fast": "1"}  # of each recipe; DVC makes an experiment for each


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three experiments of a commit that has no result itself, as docs/experiments.md queues them."""
    project = Project.create(tmp_path_factory.mktemp("queue"))
    write_fundus_lesions(project.folder / "data/raw/small")
    project.set_params(SMALL)
    for name, lr in (("slow", 0.001), ("fast", 0.002)):
        write_recipe(project, name, lr)
    project.run("dvc add -q data/raw/small")
    project.commit("No result yet")
    for name, seeds in SEEDS.items():
        project.run(f"fovea recipe {name}")
        project.run(f"dvc exp run --queue -n {name} {FOLD} -S train.seed={seeds}")
    project.run("git checkout -q .")
    project.run_queue(2, {"fast", "slow-1", "slow-2"})
    return project


def write_recipe(project: Project, name: str, lr: float) -> None:
    params = {section: values for section, values in project.params().items() if section != "machine"}
    params["train"]["full"]["lr"] = lr
    with (project.folder / f"recipes/{name}.yaml").open("w", encoding="utf-8") as file:
        yaml.safe_dump({"summary": name, "layout": "", "params": params}, file, sort_keys=False)


def trainings(project: Project) -> list[Any]:
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return [run for run in found if PARENT not in run.data.tags]


def test_each_experiment_of_a_grid_has_one_finished_run_with_its_name_and_parameters(project: Project) -> None:
    found = trainings(project)
    assert len(found) == 3
    assert sorted(run.data.tags[EXPERIMENTS] for run in found) == sorted(project.experiments())
    points = {tuple(run.data.params[name] for name in ("train.full.lr", "train.seed", "split.fold")) for run in found}
    assert points == {("0.001", "1", "1"), ("0.001", "2", "1"), ("0.002", "1", "1")}
    assert all(run.info.status == "FINISHED" and "test/balanced_accuracy" in run.data.metrics for run in found)
    assert project.run("fovea sync").stdout.splitlines() == ["3 results, 3 with a run in MLflow: nothing changed"]


def test_what_an_experiment_of_the_queue_printed_can_be_read(project: Project) -> None:
    assert "train: kept epoch" in project.run("dvc queue logs fast").stdout


def test_what_was_trained_under_another_name_is_restored_and_mlflow_says_so(project: Project) -> None:
    before = {run.info.run_id for run in trainings(project)}
    done = project.run(f"dvc exp run --temp -n again {FOLD} -S train.seed=2 -S train.recipe=slow")
    assert "Running stage 'train'" not in done.stdout
    said = project.run("fovea sync").stdout.splitlines()
    assert len(said) == 2 and said[0].endswith("restored in again")
    after = trainings(project)
    assert {run.info.run_id for run in after} == before
    [run] = [run for run in after if RESTORED in run.data.tags]
    names = run.data.tags[EXPERIMENTS].split(", ")
    assert run.data.tags[RESTORED] == names[1] == "again" and names[0] == "slow-2"
    assert (run.data.params["train.seed"], run.data.params["split.fold"]) == ("2", "1")


def test_the_workspace_stays_as_it_was(project: Project) -> None:
    assert project.run("git status --porcelain").stdout == "" and not Path(project.folder, "models/model.pt").exists()


def test_an_applied_experiment_is_the_run_that_it_was(project: Project) -> None:
    project.run("dvc exp apply fast")
    assert project.repro() == []
    assert project.run("fovea sync").stdout.splitlines() == ["3 results, 3 with a run in MLflow: nothing changed"]
