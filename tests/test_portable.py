"""Without Fovea: a model's file loads with torch and torchvision alone, by the lines that docs/export.md shows."""

import ast
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from packaging.requirements import Requirement
from torch import nn
from typer.testing import CliRunner

from fovea.cache.read import Cache
from fovea.classifier import onnx as graphs
from fovea.cli import app
from fovea.evaluation.prediction import Prediction, digest_of, save_prediction
from fovea.training.model import save_model
from tests.import_closure import ROOT
from tests.test_export import make_classifier

PAGE = (ROOT / "docs/export.md").read_text(encoding="utf-8")
OF_TORCH, OF_ONNX = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def packages(*names: str) -> dict[str, Path]:
    """What these distributions and their requirements have installed: top-level names and where they are."""
    todo, seen = [Requirement(name) for name in names], set()
    found: dict[str, Path] = {}
    while todo:
        wanted = todo.pop()
        if (wanted.name, *sorted(wanted.extras)) in seen:
            continue
        seen.add((wanted.name, *sorted(wanted.extras)))
        installed = distribution(wanted.name)
        tops = {file.parts[0] for file in installed.files or ()}
        found |= {top: Path(str(installed.locate_file(top))) for top in tops if not top.startswith("..")}
        needs = [Requirement(each) for each in installed.requires or ()]
        todo += [need for need in needs if need.marker is None
                 or any(need.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras))]
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with torch, torchvision and what they need."""
    folder = tmp_path_factory.mktemp("bare")
    for name, path in packages("torch", "torchvision").items():
        (folder / name).symlink_to(path)
    return folder


def run_bare(bare: Path, folder: Path, code: str) -> list[Any]:
    """The lines that `code` prints, run in `folder` with the packages `bare` and the standard library alone."""
    command = [sys.executable, "-I", "-S", "-c", code, str(bare)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


def test_both_files_of_a_model_load_without_fovea(cache: Cache, bare: Path, tmp_path: Path) -> None:
    """models/model.pt as `train` writes it, and what `fovea export` makes of it."""
    classifier = make_classifier(cache, tmp_path / "cache", "resnet18", largest=2)
    save_model(tmp_path / "model.pt", classifier.model, classifier.record)
    prediction = Prediction(**{**vars(classifier.prediction), "model": digest_of(tmp_path / "model.pt")})
    save_prediction(tmp_path / "prediction.pt", prediction)
    command = ["export", str(tmp_path / "classifier.pt"), "--model", str(tmp_path / "model.pt")]
    assert CliRunner().invoke(app, command).exit_code == 0
    squares = cache.take(np.arange(3))
    np.save(tmp_path / "square.npy", squares[2])
    code = f"""
import importlib.util, sys
sys.path.append(sys.argv[1])
assert not any(importlib.util.find_spec(name) for name in ("fovea", "pandas", "mlflow"))
import numpy, torch
square = torch.from_numpy(numpy.load("square.npy"))
{OF_TORCH}
print(probabilities.tolist())
{OF_TORCH.replace("classifier.pt", "model.pt")}
print(probabilities.tolist())
"""
    found = run_bare(bare, tmp_path, code)
    np.testing.assert_allclose(found, 2 * [classifier.see(squares).chances[2]], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "changes", "rows"),
    [("squeezenet1_1", {}, ["squeezenet..."]), ("resnet18", {"stem": "small", "hidden": 6}, ["small", "above 0"])],
)
def test_the_lines_for_other_nets_build_what_fovea_builds(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, changes: dict[str, Any], rows: list[str]
) -> None:
    classifier = make_classifier(cache, tmp_path / "cache", model, largest=2, **changes)
    save_model(tmp_path / "classifier.pt", classifier.model, classifier.record)
    lines = []
    for row in rows:
        (then,) = re.findall(rf"^\|.*\| `?{re.escape(row)}`? \| (.*) \|$", PAGE, re.MULTILINE)
        lines += [code if "=" in code.split("(")[0] else f"model.fc = {code}" for code in re.findall("`(.*?)`", then)]
    code = OF_TORCH.replace("model.load_state_dict", "\n".join([*lines, "model.load_state_dict"]), 1)
    monkeypatch.chdir(tmp_path)
    square = cache.take(np.arange(1))
    names: dict[str, Any] = {"nn": nn, "square": torch.from_numpy(square[0])}
    names |= {"outputs": 3, "hidden": 6, "features": 512}
    exec(code, names)
    found = names["probabilities"].detach().numpy()
    np.testing.assert_allclose(found, classifier.see(square).chances[0], rtol=0, atol=1e-6)


def test_the_lines_for_onnx_give_the_probabilities_of_fovea(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier(cache, tmp_path / "cache", "squeezenet1_1", largest=2)
    proto = graphs.to_onnx(classifier)
    (tmp_path / "classifier.onnx").write_bytes(proto.SerializeToString())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"squares": cache.take(np.arange(4))}
    exec(OF_ONNX, names)
    seen = classifier.see(names["squares"])
    np.testing.assert_allclose(names["probabilities"], seen.chances, rtol=0, atol=1e-5)
    assert names["best"] == classifier.labels(seen.chances).tolist()
    described = {key for line in PAGE.split("The metadata are texts")[1].split("\n\n")[0].splitlines()
                 for key in re.findall("`([a-z_0-9]+)`", line)}
    assert set(names["about"]) <= described
    assert [each.name for each in names["session"].get_outputs()] == list(graphs.Seen._fields)
    assert isinstance(names["session"], onnxruntime.InferenceSession)
