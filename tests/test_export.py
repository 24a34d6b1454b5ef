"""`fovea export`: an ONNX graph gives the probabilities of its classifier, in eight bits nearly; it says what it is."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from fovea.cache.read import Cache
from fovea.classifier import onnx as graphs
from fovea.classifier.classifier import Classifier, save_classifier
from fovea.cli import app
from fovea.errors import UserError
from fovea.evaluation.prediction import Point, Prediction, data_of
from fovea.evaluation.unlike import make_reference
from fovea.training.data import make_rows
from fovea.training.model import build_model
from tests.import_closure import ROOT
from tests.small import write_cache

CPU = torch.device("cpu")
OUTPUTS = {"ordinal": 2, "binary_cross_entropy": 3, "cross_entropy": 3, "focal": 3}  # of three classes


def make_classifier(
    cache: Cache, folder: Path, model: str, views: int = 1, largest: float = 12, **changes: Any
) -> Classifier:
    """With random weights, logits up to `largest`, and a temperature that makes small probabilities large."""
    loss = changes.get("loss", "cross_entropy")
    shape = {"outputs": OUTPUTS[loss], "hidden": 0, "dropout": 0.0, "size": cache.attrs["size"], "stem": "standard"}
    record = {"model": model, "crop": None, **shape, "scaling": "imagenet", "loss": loss,
              "square": cache.attrs["square"], "classes": cache.attrs["classes"], "positive": None, **changes}
    torch.manual_seed(0)
    network, head = build_model(model, *(record[key] for key in shape))
    network.eval()
    with torch.no_grad():
        rows = make_rows(cache, np.ones(len(cache), bool), record["crop"], record["scaling"], CPU)
        logits = network(next(rows.in_order(48)))
        last = head[-1] if isinstance(head, nn.Sequential) else head
        for values in last.parameters():
            values.mul_(largest / logits.abs().max())
    points = [Point("b", "sensitivity", 0.9, 0.4)]
    reference = make_reference(network, record, cache, CPU)
    return Classifier(network, record, Prediction("0" * 32, data_of(cache, folder), views, 3.0, points, reference), CPU)


class Place(NamedTuple):
    """A classifier in a file, and the cache that it belongs to."""

    model: Path
    cache: Path
    classifier: Classifier

    def export(self, out: Path, *options: str) -> Result:
        found = CliRunner().invoke(app, ["export", str(out), "--model", str(self.model), *options])
        assert found.exception is None or isinstance(found.exception, SystemExit)
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("export")
    cache = write_cache(folder / "cache", images=120)
    classifier = make_classifier(cache, folder / "cache", "squeezenet1_1")
    save_classifier(folder / "model.pt", classifier)
    return Place(folder / "model.pt", folder / "cache", classifier)


@pytest.fixture(scope="module")
def exported(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "x.onnx"
    assert "on 30 validation images: " in place.export(path, "--cache", str(place.cache)).output
    return path


@pytest.mark.parametrize(
    ("model", "views", "changes"),
    [
        ("squeezenet1_1", 1, {"scaling": "caffe", "crop": 24, "size": 24}),
        ("squeezenet1_1", 2, {"loss": "ordinal", "scaling": "symmetric", "hidden": 8}),
        ("squeezenet1_1", 1, {"loss": "binary_cross_entropy", "scaling": "unit", "largest": 50}),
        ("squeezenet1_1", 8, {"loss": "binary_cross_entropy", "outputs": 1, "classes": ["a", "b"]}),
        ("resnet18", 2, {"loss": "focal", "stem": "small"}),
        ("timm/test_convnext", 2, {}),
        ("timm/test_efficientnet", 1, {}),
        ("timm/test_vit", 1, {"loss": "ordinal"}),
    ],
    ids=str,
)
def test_a_graph_gives_what_the_classifier_sees(
    cache: Cache, tmp_path: Path, model: str, views: int, changes: dict[str, Any]
) -> None:
    classifier = make_classifier(cache, tmp_path / "cache", model, views, **changes)
    squares = np.concatenate([cache.take(np.arange(12)), np.zeros((1, 32, 32, 3), np.uint8)])
    seen = classifier.see(squares)
    assert seen.chances.max() > 0.8 and seen.chances.min() < 0.01  # or the rest would show little
    session = graphs.open_session(graphs.to_onnx(classifier))
    for some in (slice(0, 13), slice(12, 13), slice(5, 8)):
        found = graphs.run(session, squares[some])
        np.testing.assert_allclose(found.probabilities, seen.chances[some], rtol=0, atol=5e-5)
        np.testing.assert_allclose(found.calibrated, classifier.calibrated(seen.chances[some]), rtol=0, atol=5e-5)
        np.testing.assert_allclose(found.distance, seen.distances[some], rtol=0, atol=1e-3)
        np.testing.assert_array_equal(found.unlike, seen.distances[some] > 1)


def test_an_exported_graph_is_checked_on_validation_images_and_explains_itself(place: Place, exported: Path) -> None:
    said = onnxruntime.InferenceSession(exported).get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == ["a", "b", "c"]
    assert json.loads(said["square"]) == place.classifier.record["square"]
    assert json.loads(said["operating_points"])[0]["threshold"] == 0.4
    assert json.loads(said["data"])["digest"] == "0" * 40
    onnx.checker.check_model(exported, full_check=True)


def test_the_same_classifier_gives_the_same_bytes_and_they_tell_no_path(place: Place, exported: Path) -> None:
    assert graphs.to_onnx(place.classifier).SerializeToString() == (content := exported.read_bytes())
    for path in (ROOT, Path(torch.__file__).parent, Path(sys.prefix)):
        assert str(path).encode() not in content


def test_images_of_another_split_are_not_taken_for_validation(place: Place, tmp_path: Path) -> None:
    write_cache(tmp_path / "cache", images=132)
    done = place.export(tmp_path / "x.onnx", "--cache", str(tmp_path / "cache"))
    assert "on 64 drawn squares, as " in done.output
    done = place.export(tmp_path / "y.onnx", "--cache", str(tmp_path / "cache"), "--int8")
    assert done.exit_code == 1 and "needs the training and validation images of this very model" in done.output
    assert not (tmp_path / "y.onnx").exists()


@pytest.mark.parametrize("part", ["weight", "pixels"])
def test_a_graph_that_gives_something_else_is_not_written(
    place: Place, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """As a fault of the exporter would: one constant of the graph is off."""
    proto = onnx.load(exported)
    found = [each for each in proto.graph.initializer if part in each.name]
    value = onnx.numpy_helper.to_array(found[-1])
    found[-1].CopyFrom(onnx.numpy_helper.from_array((1.2 * value).astype(value.dtype), found[-1].name))
    monkeypatch.setattr(graphs, "to_onnx", lambda classifier: proto)
    done = place.export(tmp_path / "x.onnx")
    assert done.exit_code == 1 and "nothing is written" in done.output
    assert not list(tmp_path.iterdir())


def test_a_net_that_torch_cannot_export_is_refused_in_one_line(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    class Falling(nn.Module):
        """ONNX has no cummin."""

        def __init__(self) -> None:
            super().__init__()
            self.model = place.classifier.model

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.model(inputs.cummin(3).values))

    with pytest.raises(UserError, match=r"^squeezenet1_1: torch can't export it to ONNX \(.*cummin.*as \.pt$"):
        graphs.to_onnx(Classifier(Falling(), place.classifier.record, place.classifier.prediction, CPU))
    assert not any(capfd.readouterr())


def test_int8_is_smaller_and_says_its_loss(place: Place, exported: Path, tmp_path: Path) -> None:
    done = place.export(tmp_path / "small.onnx", "--int8", "--cache", str(place.cache))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "small.onnx").stat().st_size < 0.6 * exported.stat().st_size
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    said = session.get_modelmeta().custom_metadata_map
    loss = json.loads(said["int8"])

    cache = Cache(place.cache)
    rows = np.flatnonzero(cache.index["split"] == "val")
    squares, targets = cache.take(rows), cache.index["target"].to_numpy()[rows]
    small, whole = graphs.run(session, squares).probabilities, place.classifier.see(squares).chances
    assert loss["n"] == 30
    assert loss["largest_difference"] == pytest.approx(np.abs(small - whole).max(), abs=1e-4)
    assert loss["largest_difference"] > 1e-3
    assert loss["before"]["accuracy"] == pytest.approx((whole.argmax(1) == targets).mean())
    assert loss["after"]["accuracy"] == pytest.approx((small.argmax(1) == targets).mean())
    assert loss["labels_changed"] == (small.argmax(1) != whole.argmax(1)).sum()
    accuracy = f"accuracy {loss['before']['accuracy']:.4f} -> {loss['after']['accuracy']:.4f}"
    assert f"on 30 validation images: {accuracy}" in done.output
    assert json.loads(said["classes"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [("x.h5", (), "must end with .pt or .onnx"), ("x.pt", ("--int8",), "--int8 goes with .onnx")],
)
def test_what_cannot_be_exported_is_refused(
    place: Place, tmp_path: Path, name: str, options: tuple[str, ...], message: str
) -> None:
    done = place.export(tmp_path / name, *options)
    assert done.exit_code == 1 and message in done.output


def test_without_the_extra_the_error_names_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = place.export(tmp_path / "x.onnx")
    assert done.exit_code == 1 and "needs onnxscript, which is not installed: uv sync --extra onnx" in done.output
