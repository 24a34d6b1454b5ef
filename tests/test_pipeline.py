"""What `dvc repro` runs again after which change, what it restores, and what it leaves in MLflow."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fovea.cache.read import Cache
from fovea.cli import app
from tests.import_closure import ROOT
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, STAGES, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small image set, reproduced once."""
    project = Project.create(tmp_path_factory.mktemp("project"))
    write_fundus_lesions(project.folder / "data/raw/small")
    project.set_params({**SMALL, "evaluate.explain": 1})
    assert project.repro() == list(STAGES)
    project.commit("First run")
    return project


def test_a_second_run_does_nothing(project: Project) -> None:
    assert "Data and pipelines are up to date." in project.run("dvc repro").stdout


def test_a_run_leaves_nothing_for_git_to_see_but_results(project: Project) -> None:
    """Images, cache and models stay out of git; small results and dvc.lock go in."""
    tracked = set(project.run("git ls-files").stdout.split())
    results = {"dvc.lock", "mlflow_run.json", "reports/metrics.json", "reports/ingest.json", "reports/split.json"}
    assert results <= tracked
    large = (".jpg", ".pt", ".npy", ".parquet", "report.html", ".db")
    assert not [name for name in tracked if name.endswith(large)]


CHANGES: list[tuple[str, Any, set[str]]] = [
    ("dataset.positive", "normal", {"ingest", "report"}),
    ("ingest.max_rejected", 0.5, {"ingest", "report"}),
    ("split.seed", 7, {"split", "report"}),
    ("augment.image_size", 40, {"augment", "report"}),
    ("train.batch_size", 4, {"train", "report"}),
    ("evaluate.curve_points", 50, {"evaluate", "report"}),
    ("report.title", "Another", {"report"}),
    ("machine.workers", 3, set()),
]


@pytest.mark.parametrize(("key", "value", "stages"), CHANGES, ids=[key for key, _, _ in CHANGES])
def test_a_changed_value_concerns_the_stages_that_read_it(
    project: Project, key: str, value: Any, stages: set[str]
) -> None:
    before = project.text("params.yaml")
    project.set_params({key: value})
    changed = project.changed()
    (project.folder / "params.yaml").write_text(before)
    assert changed == stages


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("src/fovea/split.py", {"split"}),
        ("src/fovea/training/loss.py", {"train", "evaluate"}),
        ("src/fovea/report/page.py", {"report"}),
        ("src/fovea/tracking/runs.py", set()),
    ],
)
def test_an_edited_module_concerns_the_stages_that_import_it(project: Project, module: str, stages: set[str]) -> None:
    before = project.text(module)
    (project.folder / module).write_text(before + "\n# edited\n")
    changed = project.changed()
    (project.folder / module).write_text(before)
    assert changed == stages


def test_a_changed_value_runs_what_is_behind_it_and_changing_it_back_restores_everything(project: Project) -> None:
    before = project.text("params.yaml")
    results = ("reports/metrics.json", "reports/history.csv", "mlflow_run.json", "reports/report.html")
    first = {name: project.text(name) for name in results}
    runs = len(parent_runs(project))

    project.set_params({"train.batch_size": 4})
    assert project.repro() == ["train", "evaluate", "report"]
    assert project.text("reports/history.csv") != first["reports/history.csv"]
    assert len(parent_runs(project)) == runs + 1

    (project.folder / "params.yaml").write_text(before)
    assert project.repro() == []
    assert {name: project.text(name) for name in results} == first
    assert len(parent_runs(project)) == runs + 1


def test_another_image_size_is_rendered_and_not_restored_from_the_run_cache(project: Project) -> None:
    before = project.text("params.yaml")
    project.set_params({"augment.image_size": 24})
    project.run("dvc repro augment")
    assert Cache(project.folder / "data/cache").attrs["size"] == 24

    (project.folder / "params.yaml").write_text(before)
    assert project.repro() == []
    assert Cache(project.folder / "data/cache").attrs["size"] == SMALL["augment.image_size"]


def test_a_changed_image_set_runs_everything(project: Project) -> None:
    image = next((project.folder / "data/raw/small/normal").iterdir())
    content = image.read_bytes()
    image.unlink()
    assert project.changed() == {"ingest"}
    image.write_bytes(content)
    assert project.changed() == set()


def test_metrics_and_plots_are_shown_by_dvc(project: Project) -> None:
    shown = json.loads(project.run("dvc metrics show --json").stdout)[""]["data"]
    assert 0 <= shown["reports/metrics.json"]["data"]["test"]["balanced_accuracy"] <= 1
    assert "reports/metrics.json" in project.run("dvc metrics diff --all").stdout
    page = project.run("dvc plots show").stdout.strip().removeprefix("file://")
    text = Path(page).read_text(encoding="utf-8")
    for plot in ("train_loss", "val_accuracy", "confusion", "tpr", "recall"):
        assert plot in text


def test_predictions_hold_every_validation_and_test_image_once(project: Project) -> None:
    split = pd.read_parquet(project.folder / "data/split.parquet").set_index("image")["split"]
    predictions = pd.read_csv(project.folder / "reports/predictions.csv").set_index("image")
    assert predictions.index.is_unique
    pd.testing.assert_series_equal(
        predictions["split"], split[split != "train"].sort_index(), check_dtype=False, check_names=False
    )
    assert (predictions.filter(like="p_").sum(axis=1) - 1).abs().max() < 1e-6


def test_the_kept_epoch_scored_on_validation_what_its_saved_predictions_score(project: Project) -> None:
    """Selection read the validation rows, and prediction treats pixels as training did."""
    predictions = pd.read_csv(project.folder / "reports/predictions.csv")
    val = predictions[predictions["split"] == "val"]
    right = val["label"] == val["prediction"]
    best = json.loads(project.text("models/model.json"))["best"]
    assert best["val_accuracy"] == pytest.approx(right.mean())
    assert best["val_balanced_accuracy"] == pytest.approx(right.groupby(val["label"]).mean().mean())
    chance = val.apply(lambda row: row[f"p_{row['label']}"], axis=1)
    assert best["val_loss"] == pytest.approx(-np.log(chance).mean(), abs=1e-4)


def test_an_exported_model_is_checked_on_the_validation_images(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of docs/export.md. `evaluate` notes which cache its figures are of, so that `export` knows it again."""
    monkeypatch.chdir(project.folder)
    lines = re.findall(r"^    uv run fovea (export .*?)(?:  .*)?$", (ROOT / "docs/export.md").read_text(), re.MULTILINE)
    done = [CliRunner().invoke(app, line.replace("fundus", str(tmp_path / "fundus")).split()) for line in lines]
    assert [each.exit_code for each in done] == [0, 0, 0]
    images = json.loads(project.text("reports/metrics.json"))["val"]["n"]
    for each in done[1:]:
        assert f"on {images} validation images: " in each.output


def parent_runs(project: Project) -> list[str]:
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        children = "select run_uuid from tags where key = 'mlflow.parentRunId'"
        return [run for (run,) in store.execute(f"select run_uuid from runs where run_uuid not in ({children})")]


def test_mlflow_has_one_run_with_everything_about_the_training(project: Project) -> None:
    run = json.loads(project.text("mlflow_run.json"))["run_id"]
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        def column(query: str) -> set[str]:
            return {value for (value,) in store.execute(query, (run,))}

        params = column("select key from params where run_uuid = ?")
        metrics = column("select key from latest_metrics where run_uuid = ?")
        tags = dict(store.execute("select key, value from tags where run_uuid = ?", (run,)))
        (status,) = column("select status from runs where run_uuid = ?")
    assert status == "FINISHED"
    assert {"dataset.name", "split.test", "augment.image_size", "train.full.lr", "machine.device"} <= params
    assert {"epoch/val_loss", "epoch/train_accuracy", "samples/train_loss", "test/balanced_accuracy"} <= metrics
    assert tags["dataset.name"] == "small" and tags["dataset.md5"].endswith(".dir")
    files = {path.name for path in (project.folder / "mlartifacts").rglob("*") if path.is_file()}
    assert {"model.pt", "model.json", "report.html", "confusion.png", "history.csv"} <= files


def test_the_share_of_waiting_for_data_is_logged_for_every_epoch_and_stays_out_of_the_history(project: Project) -> None:
    """A timing in reports/history.csv would make it another file each time."""
    run = json.loads(project.text("mlflow_run.json"))["run_id"]
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        query = "select step, value from metrics where run_uuid = ? and key = 'epoch/data_wait' order by step"
        shares = dict(store.execute(query, (run,)))
    history = pd.read_csv(project.folder / "reports/history.csv")
    assert list(shares) == history["epoch"].tolist()
    assert all(0 < share < 1 for share in shares.values())
    assert "data_wait" not in history.columns


def test_a_data_set_is_added_pushed_deleted_checked_out_and_run_in_a_temporary_folder(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    write_fundus_lesions(project.folder / "data/raw/small")
    images = {path.name: path.read_bytes() for path in (project.folder / "data/raw/small").rglob("*.jpg")}
    project.set_params(SMALL)
    project.run("dvc add -q data/raw/small")
    project.run(f"dvc remote add -q -d storage {tmp_path / 'storage'}")
    project.commit("Track the image set")
    project.run("dvc push -q")

    for lost in ("data/raw/small", ".dvc/cache"):
        project.run(f"rm -rf {lost}")
    project.run("dvc pull -q data/raw/small.dvc")
    assert {path.name: path.read_bytes() for path in (project.folder / "data/raw/small").rglob("*.jpg")} == images

    project.run("dvc exp run --temp -n tried")
    shown = json.loads(project.run("dvc exp show --json").stdout)
    assert "tried" in json.dumps(shown)
    project.run("dvc exp apply tried")
    assert json.loads(project.text("reports/metrics.json"))["test"]["n"] > 0
    (run,) = parent_runs(project)
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        tags = dict(store.execute("select key, value from tags where run_uuid = ?", (run,)))
    assert tags["dvc.experiment"] == "tried"

    written = project.run("fovea figures tried --out figures").stdout.split()
    assert written == ["figures/accuracy-squeezenet1_1.png", "figures/confusion-tried.png"]
    assert all((project.folder / name).stat().st_size > 5000 for name in written)
