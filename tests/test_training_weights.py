"""Weights that a model starts from, and the report of what was taken."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from fovea.errors import UserError
from fovea.params.train import SYMMETRIC
from fovea.training.model import build_model
from fovea.training.weights import Taken, load_pretrained
from tests.real_sets import REAL_WEIGHTS, needs_real_weights
from tests.small import train_params

DEEP = "layer4.1.conv2.weight"
RESNET18_TENSORS = 100  # of its backbone, without the counters of its norms


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    return models.resnet18().state_dict()


def load(path: Path, name: str = "resnet18", strict: bool = False, stem: str = "standard") -> tuple[nn.Module, Taken]:
    model, head = build_model(name, 3, 0, 0.0, 64, stem)
    before = head.get_parameter("weight").clone()
    taken = load_pretrained(model, head, name, 64, str(path), strict)
    assert torch.equal(head.get_parameter("weight"), before), "the head is new"
    return model, taken


@pytest.mark.parametrize("strict", [False, True])
def test_weights_of_a_file_fill_the_backbone_and_leave_the_head(
    tmp_path: Path, theirs: dict[str, torch.Tensor], strict: bool
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(theirs, path)
    model, taken = load(path, strict=strict)
    assert torch.equal(model.get_parameter(DEEP), theirs[DEEP])
    assert taken == Taken(sha256(path.read_bytes()).hexdigest(), RESNET18_TENSORS, [], [], ["fc.weight", "fc.bias"])


@pytest.mark.parametrize("wrap", [lambda state: {"state_dict": state, "epoch": 3}, lambda state: {"model": state}])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "module.backbone."])
def test_checkpoints_as_other_programs_write_them_fit(
    tmp_path: Path, theirs: dict[str, torch.Tensor], wrap: Any, prefix: str
) -> None:
    torch.save(wrap({prefix + key: value for key, value in theirs.items()}), tmp_path / "checkpoint.pth")
    model, taken = load(tmp_path / "checkpoint.pth")
    assert torch.equal(model.get_parameter(DEEP), theirs[DEEP])
    assert (taken.taken, taken.missing, taken.other_shape) == (RESNET18_TENSORS, [], [])


def test_what_does_not_fit_is_left_and_listed(tmp_path: Path, theirs: dict[str, torch.Tensor]) -> None:
    state = {key: value for key, value in theirs.items() if key != "bn1.weight"}
    torch.save({**state, DEEP: torch.ones(3), "extra": torch.ones(1)}, tmp_path / "weights.pth")
    model, taken = load(tmp_path / "weights.pth")
    assert torch.equal(model.get_parameter("conv1.weight"), theirs["conv1.weight"])
    assert (taken.missing, taken.other_shape, taken.unused) == (
        ["bn1.weight"], [DEEP], ["fc.weight", "fc.bias", "extra"])  # fmt: skip
    assert str(taken) == (f"98 tensors taken, 1 not in the file (bn1.weight, ..), 1 of another shape ({DEEP}, ..), "
                          "3 unused (fc.weight, ..)")


def test_the_small_stem_is_new_and_listed(tmp_path: Path, theirs: dict[str, torch.Tensor]) -> None:
    torch.save(theirs, tmp_path / "weights.pth")
    model, taken = load(tmp_path / "weights.pth", stem="small")
    assert torch.equal(model.get_parameter(DEEP), theirs[DEEP])
    assert (taken.taken, taken.other_shape) == (RESNET18_TENSORS - 1, ["conv1.weight"])


def test_with_strict_weights_of_another_network_are_refused(tmp_path: Path, theirs: dict[str, torch.Tensor]) -> None:
    torch.save(theirs, tmp_path / "weights.pth")
    message = r"train.weights: .*weights.pth does not fit resnet50: \d+ of \d+ .* the first is layer1.0.conv1.weight; "
    with pytest.raises(UserError, match=message + ".*train.strict: false"):
        load(tmp_path / "weights.pth", "resnet50", strict=True)


def test_weights_of_which_none_fits_are_refused(tmp_path: Path, theirs: dict[str, torch.Tensor]) -> None:
    torch.save(theirs, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"does not fit vgg11: 20 of 20 tensors .*; use weights made for vgg11$"):
        load(tmp_path / "weights.pth", "vgg11")


def test_a_changed_file_behind_the_same_path_has_another_digest(
    tmp_path: Path, theirs: dict[str, torch.Tensor]
) -> None:
    sources = []
    for factor in (1, 2):
        torch.save({key: value * factor for key, value in theirs.items()}, tmp_path / "weights.pth")
        sources.append(load(tmp_path / "weights.pth")[1].source)
    assert sources[0] != sources[1]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"not weights", "is no state dict that torch can read")]
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content:
        (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "weights.pth")


def test_a_pickled_module_is_refused_with_the_reason(tmp_path: Path) -> None:
    torch.save(models.squeezenet1_1(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"holds a pickled torchvision\S+SqueezeNet, .* can run any code; save the"):
        load(tmp_path / "weights.pth")


def test_which_imagenet_weights_expect_pixels_from_minus_one_to_one() -> None:
    """As torchvision has it, whose two Inceptions rescale inside when they are built with their weights."""
    weights = {name: models.get_model_weights(name) for name in models.list_models(module=models)}
    means = {name: (sets.__members__.get("IMAGENET1K_V1") or sets.DEFAULT).transforms().mean
             for name, sets in weights.items()}
    assert {name for name, mean in means.items() if mean == [0.5] * 3} | {"googlenet", "inception_v3"} == {*SYMMETRIC}
    with pytest.raises(ValueError, match="scaling: must be symmetric for the ImageNet weights of efficientnet_v2_l"):
        train_params(model="efficientnet_v2_l", weights="imagenet")
    assert train_params(model="efficientnet_v2_l", weights="imagenet", scaling="symmetric")


@needs_real_weights
def test_the_real_features_of_squeezenet_are_all_taken() -> None:
    (path,) = Path(REAL_WEIGHTS or "").glob("squeezenet1_1*.pth")
    model, taken = load(path, "squeezenet1_1")
    real = torch.load(path, weights_only=True)
    assert torch.equal(model.get_parameter("features.12.expand3x3.bias"), real["features.12.expand3x3.bias"])
    assert (taken.taken, taken.missing, taken.other_shape, taken.unused) == (len(real), [], [], [])


@pytest.fixture
def weights_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ResNet-18's ImageNet weights at a server on loopback: random, under a name with their true checksum."""
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save(models.resnet18().state_dict(), folder / "weights.pth")
    name = f"resnet18-{sha256((folder / 'weights.pth').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "weights.pth").rename(folder / name)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *arguments: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = models.ResNet18_Weights.IMAGENET1K_V1
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(weights.value, "url", f"http://127.0.0.1:{server.server_port}/{name}")
        yield
        server.shutdown()


def test_imagenet_weights_are_downloaded_into_the_cache_of_torch(weights_server: None, tmp_path: Path) -> None:
    model, head = build_model("resnet18", 3, 0, 0.0, 64, "standard")
    load_pretrained(model, head, "resnet18", 64, "imagenet", strict=True)
    (kept,) = (tmp_path / "torch").rglob("*.pth")
    assert torch.equal(model.get_parameter("conv1.weight"), torch.load(kept)["conv1.weight"])


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Address of a server in the place of the Hugging Face hub with one model of timm, and its weights."""
    state = pytest.importorskip("timm").create_model("resnet10t").state_dict()
    content = pytest.importorskip("safetensors.torch").save(state)
    headers = {"ETag": '"1"', "X-Repo-Commit": "0" * 40, "Content-Length": str(len(content))}

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path.endswith("/model.safetensors") else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", state
        server.shutdown()


LOADED = """
import sys, torch
from fovea.training.model import build_model
from fovea.training.weights import load_pretrained
model, head = build_model("timm/resnet10t", 3, 0, 0.0, 64, "standard")
taken = load_pretrained(model, head, "timm/resnet10t", 64, "imagenet", strict=True)
torch.save((model.state_dict(), taken.source), sys.argv[1])
"""


def test_imagenet_weights_of_timm_come_through_its_own_download(
    tmp_path: Path, hub: tuple[str, dict[str, torch.Tensor]]
) -> None:
    """In a process of its own: the hub's client reads its address when it is imported."""
    address, theirs = hub
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-c", LOADED, str(tmp_path / "got")], env=environment, check=True)
    state, source = torch.load(tmp_path / "got")
    assert torch.equal(state["layer1.0.conv1.weight"], theirs["layer1.0.conv1.weight"])
    assert source == "timm/resnet10t.c3_in1k"


def test_without_network_one_line_says_that_timm_could_not_get_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # at once; without it the hub is tried for 50 s
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model, head = build_model("timm/resnet10t", 3, 0, 0.0, 64, "standard")
    with pytest.raises(UserError, match=r"timm could not get the weights of timm/resnet10t .* path of the file$"):
        load_pretrained(model, head, "timm/resnet10t", 64, "imagenet", strict=True)


def test_without_network_one_line_says_how_to_give_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(models.ResNet18_Weights.IMAGENET1K_V1.value, "url", "http://127.0.0.1:9/resnet18-00000000.pth")
    model, head = build_model("resnet18", 3, 0, 0.0, 64, "standard")
    with pytest.raises(UserError, match=r"could not be downloaded .* set train.weights to the path of the file$"):
        load_pretrained(model, head, "resnet18", 64, "imagenet", strict=True)
