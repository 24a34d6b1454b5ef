"""Figures and tables of the published pieces of work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fovea.cli import app
from fovea.published import normalised_confusion, published_predictions

PREDICTIONS = """image,split,label,prediction,p_benign,p_malignant
images/a.jpg,test,benign,benign,0.9,0.1
images/b.jpg,val,malignant,malignant,0.2,0.8
images/c.jpg,test,malignant,benign,0.6,0.4
images/d.jpg,test,malignant,malignant,0.3,0.7
"""
HISTORY = "epoch,train_accuracy,val_accuracy\n1,0.5,0.4\n2,0.7,0.6\n"
PARAMS = "train: {{model: {model}, weights: {weights}}}\n"
runner = CliRunner()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository in which the tags `with` and `without` hold finished runs, and `empty` none."""
    monkeypatch.chdir(tmp_path)
    for command in ("git init -q", "git config user.email a@b", "git config user.name a"):
        subprocess.run(command.split(), check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    _commit("empty", {"README": "nothing yet"})
    for tag, weights in (("with", "imagenet"), ("without", "none")):
        files = {"params.yaml": PARAMS.format(model="resnet50", weights=weights)}
        _commit(tag, files | {"reports/history.csv": HISTORY, "reports/predictions.csv": PREDICTIONS})
    return tmp_path


def _commit(tag: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    for command in ("git add .", f"git commit -q -m {tag}", f"git tag {tag}"):
        subprocess.run(command.split(), check=True)


def test_the_exported_table_has_class_numbers_of_the_test_part(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(PREDICTIONS)
    out = tmp_path / "out.csv"
    result = runner.invoke(app, ["export-predictions", str(out), "--predictions", str(tmp_path / "in.csv")])
    assert result.output == f"{out}: 3 test images\n"
    assert out.read_text() == "img_path,label,predict\nimages/a.jpg,0,0\nimages/c.jpg,1,0\nimages/d.jpg,1,1\n"


def test_class_names_that_look_like_numbers_stay_text() -> None:
    rows = [["a", "test", "10", "2", ".4", ".6"], ["b", "test", "2", "2", ".1", ".9"]]
    table = pd.DataFrame(rows, columns=["image", "split", "label", "prediction", "p_10", "p_2"])
    assert published_predictions(table)[["label", "predict"]].to_numpy().tolist() == [[0, 1], [1, 1]]


def test_missing_predictions_are_one_line(tmp_path: Path) -> None:
    result = runner.invoke(app, ["export-predictions", str(tmp_path / "o.csv"), "--predictions", "no/such.csv"])
    assert (result.exit_code, result.stderr) == (1, "error: no/such.csv: not there; run `dvc repro` first\n")


def test_rows_of_the_confusion_matrix_are_shares_of_the_actual_class() -> None:
    table = pd.DataFrame({"label": ["a", "b", "b", "b"], "prediction": ["a", "a", "b", "b"]})
    assert np.allclose(normalised_confusion(table, ["a", "b"]), np.array([[1, 0], [1 / 3, 2 / 3]]))


def test_a_class_without_images_has_no_shares() -> None:
    table = pd.DataFrame({"label": ["a"], "prediction": ["a"]})
    assert np.isnan(normalised_confusion(table, ["a", "b"])[1]).all()


def test_figures_are_drawn_from_runs_that_dvc_knows_by_name(repository: Path) -> None:
    result = runner.invoke(app, ["figures", "with", "without", "--out", "drawn"])
    expected = ["drawn/accuracy-resnet50.png", "drawn/confusion-with.png", "drawn/confusion-without.png"]
    assert result.output.splitlines() == expected
    for path in expected:
        with Image.open(path) as image:
            image.verify()


@pytest.mark.parametrize("name", ["empty", "nope"])
def test_a_name_without_a_finished_run_is_one_line(repository: Path, name: str) -> None:
    result = runner.invoke(app, ["figures", name])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {name}: no finished run (")
    assert result.stderr.count("\n") == 1
