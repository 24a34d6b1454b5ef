"""What the report says of the commit that a run started from, in a real git and DVC repository."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from fovea.evaluation.paired import compare_paired
from fovea.evaluation.table import write_predictions
from fovea.files import write_json
from fovea.report import content
from fovea.report.changes import Changes, said, since_commit
from fovea.report.environment import environment
from tests.project import Project

CLASSES = ["a", "b"]


def predictions(seed: int, images: range = range(40)) -> pd.DataFrame:
    """A test part of which some 70 % are told rightly."""
    labels = np.arange(40) % 2
    chance = np.clip(labels + np.random.default_rng(seed).normal(0, 0.6, 40), 0.01, 0.99)
    names = np.array(CLASSES)
    table = pd.DataFrame({"image": [f"{number}.png" for number in range(40)], "split": "test", "label": names[labels],
                          "prediction": names[(chance > 0.5).astype(int)], "p_a": 1 - chance, "p_b": chance})
    return table.iloc[list(images)].reset_index(drop=True)


def lock(lr: float, code: str, data: str, table: str = "0" * 32) -> dict[str, Any]:
    return {"schema": "2.0", "stages": {
        "train": {"cmd": "python stages/train.py",
                  "deps": [{"path": "data/raw/eyes", "md5": data}, {"path": "src/fovea/training/loop.py", "md5": code},
                           {"path": "data/cache", "md5": data}],
                  "params": {"params.yaml": {"train": {"full": {"lr": lr}, "seed": 0}}}},
        "evaluate": {"cmd": "python stages/evaluate.py", "deps": [],
                     "outs": [{"path": "reports/predictions.csv", "md5": table}]},
        "report": {"cmd": "python stages/report.py", "params": {"params.yaml": {"report": {"title": str(lr)}}}},
    }}  # fmt: skip


def write_lock(project: Project, content: dict[str, Any]) -> None:
    (project.folder / "dvc.lock").write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture
def project(committed: Path, tmp_path: Path) -> Project:
    """A commit with results, whose predictions are in DVC's cache; the workspace has another rate and other code."""
    shutil.copytree(committed, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("committed")
    project = Project(tmp_path)
    project.run("git init -q -b main")
    project.run("dvc init -q")
    write_predictions(tmp_path / "reports/predictions.csv", predictions(0))
    content = (tmp_path / "reports/predictions.csv").read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    kept = tmp_path / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    write_json(tmp_path / "reports/metrics.json", {"test": {"n": 40, "balanced_accuracy": 0.75, "auroc_macro": 0.9}})
    write_lock(project, lock(0.1, "1" * 32, "2" * 32, digest))
    (tmp_path / ".gitignore").write_text("predictions.csv\n")
    project.commit("A first <b>result</b>\n\nWith a body.")
    write_lock(project, lock(0.2, "3" * 32, "2" * 32))
    return tmp_path


def since(project: Project, table: pd.DataFrame) -> Changes:
    write_predictions(project.folder / "reports/predictions.csv", table)
    found = since_commit(project.folder)
    assert found is not None
    return found


def test_parameters_code_and_figures_of_the_commit_are_compared(project: Project) -> None:
    found = since(project, predictions(1))
    assert found.subject == "A first <b>result</b>"
    assert found.commit == project.run("git rev-parse --short HEAD").stdout.strip()
    assert found.metrics["balanced_accuracy"] == 0.75
    differs = found.difference
    assert differs.parameters == [("train.full.lr", "0.1", "0.2")]  # and not the title of the report
    assert (differs.code, differs.data) == (["src/fovea/training/loop.py"], [])
    assert differs.paired is not None and differs.paired["rows"]["compared"] == 40
    one, other = (np.mean(table["label"] == table["prediction"]) for table in (predictions(1), predictions(0)))
    assert differs.paired["figures"]["accuracy"]["difference"] == pytest.approx(one - other)
    assert said(found).startswith(f"Changed since commit {found.commit}: 1 parameter, 1 file of code. Balanced ")


def test_another_test_part_is_compared_on_what_both_have_and_that_is_said(project: Project) -> None:
    found = since(project, predictions(1, range(10, 40)))
    assert found.difference.paired is not None
    assert found.difference.paired["rows"] == {"compared": 30, "only_one": 0, "only_other": 10, "other_label": 0}
    assert "on the 30 test images that both have (10 others are left out)" in said(found)


def test_other_images_and_classes_are_never_compared(project: Project) -> None:
    write_lock(project, lock(0.1, "1" * 32, "4" * 32))
    other = predictions(1).rename(columns={"p_a": "p_x", "p_b": "p_y"}).replace({"a": "x", "b": "y"})
    found = since(project, other)
    assert found.difference.paired is None and "classes" in found.difference.unpaired
    assert found.difference.data == ["data/raw/eyes"]
    assert "Changed since commit" in said(found) and "the images" in said(found) and "classes" in said(found)


def test_predictions_that_are_not_on_this_machine_are_not_fetched(project: Project) -> None:
    for path in (project.folder / ".dvc/cache").rglob("*"):
        if path.is_file():
            path.unlink()
    found = since(project, predictions(1))
    assert found.difference.paired is None
    assert "reports/predictions.csv is not in DVC's cache on this machine; `uv run dvc" in found.difference.unpaired


def test_validation_rows_are_not_compared(project: Project) -> None:
    table = predictions(1)
    table.loc[30:, "split"] = "val"
    found = since(project, table).difference.paired
    assert found is not None
    assert found["rows"] == {"compared": 30, "only_one": 0, "only_other": 10, "other_label": 0}


def test_patients_are_drawn_whole_in_the_comparison(project: Project) -> None:
    table = predictions(1)
    groups = pd.Series([f"patient {number // 10}" for number in range(40)], table["image"])
    manifest = table[["image", "label"]].assign(digest=table["image"], group=groups.to_numpy(), given_split=None)
    (project.folder / "data").mkdir()
    manifest.to_parquet(project.folder / "data/manifest.parquet")
    found = since(project, table).difference
    assert found.paired is not None
    by_patient, by_image = (compare_paired(table, predictions(0), CLASSES, one)["figures"]["accuracy"]
                            for one in (groups, pd.Series(dtype=object)))
    assert found.paired["figures"]["accuracy"] == by_patient != by_image


def test_parameters_and_code_that_came_or_went_are_listed(project: Project) -> None:
    content = lock(0.2, "3" * 32, "2" * 32)
    stage = content["stages"]["train"]
    stage["params"]["params.yaml"]["train"] = {"seed": 0, "new": 1}
    stage["deps"] = [stage["deps"][0], {"path": "src/fovea/new.py", "md5": "5" * 32}]
    write_lock(project, content)
    found = since(project, predictions(1))
    assert found.difference.parameters == [("train.full.lr", "0.1", None), ("train.new", None, "1")]
    assert found.difference.code == ["src/fovea/new.py", "src/fovea/training/loop.py"]


def test_a_commit_without_a_message_has_no_subject(project: Project) -> None:
    subprocess.run(["git", "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", ""], cwd=project.folder,
                   env=project.environment, check=True)
    found = since(project, predictions(1))
    assert found.subject == "" and re.fullmatch(r"\d{4}-\d\d-\d\d", found.date)


@pytest.mark.parametrize("written", ["{broken", "[]", '{"test": null}'])
def test_a_commit_with_a_broken_file_of_figures_is_compared_with_nothing(project: Project, written: str) -> None:
    amend_metrics(project, written)
    assert since_commit(project.folder) is None


def test_figures_of_another_version_are_not_shown(project: Project) -> None:
    amend_metrics(project, '{"test": {"n": 40, "f1": 0.7}}')
    assert since(project, predictions(1)).metrics == {}


def amend_metrics(project: Project, written: str) -> None:
    (project.folder / "reports/metrics.json").write_text(written)
    project.run("git commit -q --amend -m Other reports/metrics.json")


def test_later_commits_do_not_change_what_is_compared_with_the_lock_of_the_workspace(project: Project) -> None:
    before = since(project, predictions(1))
    (project.folder / "note.txt").write_text("x")
    subprocess.run(["git", "stash", "-q", "--", "dvc.lock"], cwd=project.folder, check=True)
    project.commit("Later")
    subprocess.run(["git", "stash", "pop", "-q"], cwd=project.folder, check=True)
    after = since(project, predictions(1))
    assert after.difference == before.difference
    assert after.commit != before.commit


def test_a_commit_without_results_is_compared_with_nothing(project: Project) -> None:
    project.run("git rm -q --cached dvc.lock")
    project.run("git commit -qm Without")
    assert (project.folder / "dvc.lock").is_file()
    assert since_commit(project.folder) is None


def test_outside_of_git_there_is_nothing_to_compare_with(project: Project) -> None:
    shutil.rmtree(project.folder / ".git")
    assert since_commit(project.folder) is None


def test_what_changed_is_shown_with_figures_without_and_where_there_are_none(project: Project) -> None:
    """Undefined names fail in templates. The last commit is of a run that was killed before `evaluate`."""
    found = since(project, predictions(1))
    assert "On the same test images" in shown(found)
    (project.folder / "dvc.lock").write_text("stages: {}")  # the predictions are not known any more
    project.commit("Without predictions")
    assert "No comparison image by image" in shown(since(project, predictions(1)))
    project.run("git rm -q --cached reports/metrics.json")
    project.run("git commit -qm Killed")
    page = shown(since(project, predictions(1)))
    assert "Killed" in page and "No comparison" not in page
    assert "nothing to hold it against" in shown(None)


def shown(changes: Changes | None) -> str:
    template = environment(autoescape=True).get_template("changes.html")
    return template.render(r=SimpleNamespace(changes=changes), content=content)
