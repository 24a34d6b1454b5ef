"""`fovea sweep recipes/NAME.yaml`: the variants of a recipe in a real DVC repository, by a pipeline of a second."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from fovea.cli import app
from fovea.recipes import choose, read_recipe, recipe_names, resolve
from fovea.sweep.experiments import _params_with, plan_recipe
from fovea.sweep.settings import settings_between
from fovea.tracking.provenance import flatten_params
from fovea.tracking.runs import start_training
from tests.import_closure import ROOT
from tests.project import Project

OUTS = ["reports/predictions.csv", "reports/history.csv"]
PIPELINE = {"stages": {"all": {
    "cmd": "python all.py", "deps": ["all.py", "data/raw/retinopathy"], "params": ["dataset", "augment", "train"],
    "outs": OUTS, "metrics": [{path: {"cache": False}} for path in ("reports/metrics.json", "mlflow_run.json")],
}}}  # fmt: skip
STAGE = """
import json, os, pathlib, yaml
train = yaml.safe_load(open("params.yaml"))["train"]
accuracy = {"resnet18": 0.7, "resnet50": 0.8}[train["model"]] - 0.1 * (train["weights"] == "none")
accuracy = round(accuracy, 1)
if (pathlib.Path(os.environ["DVC_ROOT"]) / "fail").exists() and train["model"] == "resnet50":
    raise SystemExit("error: no more")
pathlib.Path("reports").mkdir(exist_ok=True)
with open("reports/predictions.csv", "w") as file:
    print("image,split,label,prediction,p_0,p_1,p_2,p_3,p_4", file=file)
    for image in range(10):
        print(f"{image},test,{image % 5},0,0.6,0.1,0.1,0.1,0.1", file=file)
with open("reports/history.csv", "w") as file:
    print("epoch,train_accuracy,val_accuracy", 1, 2, sep=f",{accuracy},{accuracy}\\n", end=f",{accuracy},{accuracy}\\n",
          file=file)
json.dump({"test": {"accuracy": accuracy}}, open("reports/metrics.json", "w"))
token = f"{train['model']}-{train['weights']}"
json.dump({"run_id": None, "training": token}, open("mlflow_run.json", "w"))
"""
VARIANTS = ["resnet18", "resnet18-scratch", "resnet50", "resnet50-scratch"]
EXPERIMENTS = [f"retinopathy-{variant}" for variant in VARIANTS]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The settings of a fresh clone, with the images of the recipe in neither git nor DVC."""
    files = {"dvc.yaml": yaml.safe_dump(PIPELINE), "all.py": STAGE, "data/raw/retinopathy/a.jpeg": "a",
             "params.yaml": (ROOT / "params.yaml").read_text(encoding="utf-8"),
             "recipes/retinopathy.yaml": (ROOT / "recipes/retinopathy.yaml").read_text(encoding="utf-8"),
             ".dvc/config": "",
             ".gitignore": "/data/raw\n/.dvc/tmp\n/.dvc/cache\n/mlflow.db*\n/mlartifacts\n/.cache\n/fail\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    project = Project(tmp_path)
    project.run("git init -q -b main")
    project.commit("A pipeline of one stage")
    yield project


def sweep(project: Project, check: bool = True) -> tuple[list[str], str, str]:
    """The experiments that were run, what was printed, and stderr."""
    done = project.run("fovea sweep recipes/retinopathy.yaml", check)
    started = [line for line in done.stdout.splitlines() if line.startswith("sweep: ")]
    return [line.split()[1].rstrip(",") for line in started], done.stdout, done.stderr


def test_all_variants_are_trained_once_and_drawn_as_published(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "fail").touch()
    ran, _, stderr = sweep(project, check=False)
    assert ran == EXPERIMENTS[:3] and "retinopathy-resnet50 failed, see above; finished experiments are kept" in stderr
    (project.folder / "fail").unlink()
    monkeypatch.setenv("DVC_ROOT", str(project.folder))
    with start_training({"train": {"model": "resnet18"}}, data="data/raw/retinopathy", digest="ab", device="cpu",
                        token="resnet18-none") as training:  # as `fovea sync` makes one
        pass
    monkeypatch.delenv("DVC_ROOT")
    project.run(f"git branch {EXPERIMENTS[0]}")  # has no result
    ran, printed, _ = sweep(project)
    assert ran == EXPERIMENTS[2:]
    lines = [line.split() for line in printed.splitlines() if line.startswith("retinopathy-")]
    assert [[line[0], line[1], line[-1]] for line in lines] == [
        [EXPERIMENTS[0], "0.700", "0.814"], [EXPERIMENTS[1], "0.600", "0.734"],
        [EXPERIMENTS[2], "0.800", "-"], [EXPERIMENTS[3], "0.700", "-"]]  # fmt: skip

    folder = project.folder / "reports/sweeps/retinopathy"
    drawn = [f"accuracy-{model}.png" for model in ("resnet18", "resnet50")]
    assert {path.name for path in folder.iterdir()} == {
        "runs.csv", *drawn, *(f"confusion-{name}.png" for name in EXPERIMENTS)}  # fmt: skip
    assert pd.read_csv(folder / "runs.csv")["test/accuracy"].tolist() == pytest.approx([0.7, 0.6, 0.8, 0.7])
    params = yaml.safe_load(project.run(f"git show {project.experiments()[EXPERIMENTS[3]]}:params.yaml").stdout)
    assert (params["train"]["model"], params["train"]["weights"]) == ("resnet50", "none")
    assert params["train"]["recipe"] == "retinopathy/resnet50-scratch"
    assert params["machine"] == project.params()["machine"]
    assert project.params()["dataset"]["name"] == "demo"  # the workspace stays as it is

    with sqlite3.connect(project.folder / "mlflow.db") as store:
        ((parent,),) = store.execute("select run_uuid from tags where key = 'fovea.sweep'").fetchall()
        adopted = store.execute("select run_uuid from tags where key = 'mlflow.parentRunId' and value = ?", (parent,))
        assert adopted.fetchall() == [(training.id,)]
        values = dict(store.execute("select key, value from latest_metrics where run_uuid = ?", (parent,)))
        shared = dict(store.execute("select key, value from params where run_uuid = ?", (parent,)))
    assert values == {f"test/accuracy/{name}": value
                      for name, value in zip(EXPERIMENTS, (0.7, 0.6, 0.8, 0.7), strict=True)}  # fmt: skip
    assert shared["dataset.name"] == "retinopathy" and "train.model" not in shared


@pytest.mark.parametrize("name", recipe_names(ROOT / "recipes"))
def test_dvc_sets_every_recipe_as_fovea_recipe_writes_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = read_recipe(name, ROOT / "recipes")
    experiment = plan_recipe(ROOT / "recipes" / f"{name}.yaml", False, [])[-1]
    wanted = resolve(found, choose(found, name, list(found.get("variants", {None: {}}))[-1], False))
    params = {section: values for section, values in experiment.params.items() if section in wanted}
    assert flatten_params(params) == flatten_params(json.loads(json.dumps(wanted)))


ODD = ["", "null", "true", "1", "1.5", "a b", "it's", 'say "so"', "a,b", "[x]", "{y}",
       "$z", "a=b", "~c", "\\", "d\\'", "é", "#e"]


def test_any_text_reaches_params_yaml_through_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    now = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    wanted = json.loads(json.dumps(now))
    wanted["dataset"] |= {"classes": ODD, "labels": {f"k{number}": text for number, text in enumerate(ODD)},
                          "group": "^(?P<group>[^']+)$"}
    wanted["augment"]["balance"], wanted["train"]["full"]["lr"] = True, 2
    assert _params_with(list(settings_between(now, wanted))) == wanted


@pytest.mark.parametrize(("arguments", "message"), [
    (["recipes/retinopathy.yaml", "--seeds", "2"], "--seeds, --folds: a recipe states its seed and split"),
    (["try", "--quick"], "--quick: is of a recipe"),
    (["recipes/nothing.yaml"], "recipe nothing: unknown; known are demo"),
])  # fmt: skip
def test_what_cannot_be_swept_is_one_line(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("fovea.sweep.recipe.baseline", lambda root: "0" * 40)  # whatever this checkout holds
    done = CliRunner().invoke(app, ["sweep", *arguments])
    assert done.exit_code == 1 and done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1
