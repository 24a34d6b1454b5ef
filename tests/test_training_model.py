"""Networks by name, their heads, their weights, their file."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from fovea.errors import UserError
from fovea.training.model import build_model, load_model, load_pretrained, save_model

FAMILIES = [  # one small member of each
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2",
]  # fmt: skip


def test_every_family_of_torchvision_is_tried() -> None:
    def family(name: str) -> str:
        return name.split("_")[0].rstrip("0123456789")

    assert {family(name) for name in models.list_models(module=models)} == {family(name) for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_head_gives_as_many_logits_as_asked(name: str) -> None:
    torch.manual_seed(0)
    model, head = build_model(name, 3, 7, 0.1, 224)
    with torch.no_grad():
        assert model.eval()(torch.randn(2, 3, 224, 224)).shape == (2, 3)
    assert any(module is head for module in model.modules())


def test_squeezenet_can_give_negative_logits() -> None:
    """The ReLU behind its own last convolution would cut them off."""
    torch.manual_seed(0)
    model, _ = build_model("squeezenet1_1", 10, 0, 0.0, 64)
    assert (model.eval()(torch.randn(4, 3, 64, 64)) < 0).any()


def test_a_head_without_hidden_units_is_linear() -> None:
    assert isinstance(build_model("resnet18", 3, 0, 0.0, 64)[1], nn.Linear)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.model: torchvision has no classifier 'resnet19'"):
        build_model("resnet19", 3, 0, 0.0, 64)


def test_a_size_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.model: inception_v3 cannot take images of 64 px"):
        build_model("inception_v3", 3, 0, 0.0, 64)


def test_a_saved_model_gives_the_same_logits(tmp_path: Path) -> None:
    model, _ = build_model("resnet18", 2, 5, 0.2, 32)
    record = {"model": "resnet18", "outputs": 2, "hidden": 5, "dropout": 0.2, "size": 32, "classes": ["a", "b"]}
    save_model(tmp_path / "model.pt", model, record)
    loaded, read = load_model(tmp_path / "model.pt")
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(inputs), model.eval()(inputs))
    assert read == record


def test_the_bytes_of_a_model_do_not_depend_on_its_path(tmp_path: Path) -> None:
    model, _ = build_model("squeezenet1_1", 2, 0, 0.0, 64)
    record = {"model": "squeezenet1_1", "outputs": 2, "hidden": 0, "dropout": 0.0, "size": 64}
    for name in ("one", "two"):
        save_model(tmp_path / name, model, record)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_weights_of_a_file_fill_the_backbone_and_leave_the_head(tmp_path: Path) -> None:
    theirs = models.resnet18()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    model, head = build_model("resnet18", 3, 0, 0.0, 64)
    before = head.get_parameter("weight").clone()
    load_pretrained(model, head, "resnet18", str(tmp_path / "weights.pth"))
    deep = "layer4.1.conv2.weight"
    assert torch.equal(model.get_parameter(deep), theirs.get_parameter(deep))
    assert torch.equal(head.get_parameter("weight"), before)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(models.resnet18().state_dict(), tmp_path / "weights.pth")
    model, head = build_model("resnet50", 3, 0, 0.0, 64)
    with pytest.raises(UserError, match=r"train.weights: .*weights.pth does not fit resnet50: \d+ of \d+ tensors"):
        load_pretrained(model, head, "resnet50", str(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"not weights", "is no state dict that torch can read")]
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content:
        (tmp_path / "weights.pth").write_bytes(content)
    model, head = build_model("resnet18", 3, 0, 0.0, 64)
    with pytest.raises(UserError, match=message):
        load_pretrained(model, head, "resnet18", str(tmp_path / "weights.pth"))


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
    model, head = build_model("resnet18", 3, 0, 0.0, 64)
    load_pretrained(model, head, "resnet18", "imagenet")
    (kept,) = (tmp_path / "torch").rglob("*.pth")
    assert torch.equal(model.get_parameter("conv1.weight"), torch.load(kept)["conv1.weight"])


def test_without_network_one_line_says_how_to_give_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(models.ResNet18_Weights.IMAGENET1K_V1.value, "url", "http://127.0.0.1:9/resnet18-00000000.pth")
    model, head = build_model("resnet18", 3, 0, 0.0, 64)
    with pytest.raises(UserError, match=r"could not be downloaded .* set train.weights to the path of the file$"):
        load_pretrained(model, head, "resnet18", "imagenet")
